"""The page that describes the API, without scripts: those of other hosts would run beside the admin API."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from litestar import Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin

from services.gateway.pages.front import HEADERS, STYLE
from shared.version import VERSION

PATH = "/api/v1/openapi"

_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Orchard API</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><style>'
    f"{STYLE}dt{{overflow-wrap:anywhere}}dd{{margin-left:1rem}}code{{font-size:.95em}}</style></head><body><main>"
    # Relative: a proxy in front may put Orchard under a path.
    f'<h1>Orchard API</h1><p><small>version {escape(VERSION)} · <a href="openapi/openapi.json">OpenAPI as '
    'JSON</a> · <a href="openapi/openapi.yaml">YAML</a> · <a href="../../">Orchard</a></small></p>\n'
)


class OpenApiPage(OpenAPIRenderPlugin):
    """Every operation with its parameters and the fields of its body."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The whole page."""
        schemas = openapi_schema.get("components", {}).get("schemas", {})
        found: dict[str, list[str]] = {}
        for path, operations in openapi_schema["paths"].items():
            for method, operation in operations.items():
                tag = next(iter(operation.get("tags") or ()), "probes")
                found.setdefault(tag, []).append("".join(_operation(method, path, operation, schemas)))
        sections = (f"<h2>{escape(tag)}</h2>\n{''.join(each)}" for tag, each in found.items())
        return f"{_HEAD}{''.join(sections)}</main></body></html>\n".encode()


def openapi_config() -> OpenAPIConfig:
    """OpenAPI at `PATH`: the page, and the description as JSON and as YAML."""
    return OpenAPIConfig(
        title="Orchard",
        version=VERSION,
        use_handler_docstrings=True,
        path=PATH,
        render_plugins=[OpenApiPage(path="/"), JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router(
            path=PATH, route_handlers=[], response_headers=HEADERS, include_in_schema=False
        ),
    )


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"<h3>{escape(operation.get('summary', ''))}</h3>\n"
    yield f'<pre tabindex="0">{method.upper()} {escape(path)}</pre>\n'
    for paragraph in operation.get("description", "").split("\n\n"):
        yield f"<p>{escape(paragraph)}</p>\n" if paragraph else ""
    rows = [
        (each["name"], each["in"], each.get("required", False), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for schema in _objects(content.get("schema", {}), schemas):
            needed = schema.get("required", ())
            rows += [
                (name, "body", name in needed, field.get("description", ""))
                for name, field in schema.get("properties", {}).items()
            ]
    if rows:
        yield "<dl>\n"
        for name, place, required, text in rows:
            where = f"{place}, required" if required else place
            yield f"<dt><code>{escape(name)}</code> <small>{where}</small></dt><dd>{escape(text)}</dd>\n"
        yield "</dl>\n"


def _objects(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of objects that a schema stands for: itself, what it refers to, or each of several."""
    if "$ref" in schema:
        yield from _objects(schemas.get(schema["$ref"].rpartition("/")[2], {}), schemas)
        return
    several = schema.get("oneOf") or schema.get("anyOf") or ()
    for each in several:
        yield from _objects(each, schemas)
    if not several:
        yield schema
