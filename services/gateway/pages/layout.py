"""What all pages share: the template engine, how numbers and times are written, the headers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from shared.process.disk import in_words
from shared.protocols.package_urls import purl

# Scripts, styles, forms and figures of this host only; nothing inline. uPlot styles its elements from script,
# which needs no 'unsafe-inline'.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # without any a form would say that its page has no origin (Fetch, 3.2)
    "cache-control": "no-store",
}

_NO_END = 2.5e11  # unix seconds: what the API takes for no bound
_UNITS = ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "min"))


def template_config() -> TemplateConfig[JinjaTemplateEngine]:
    """Templates lie beside the handlers of their subject. All that they show is escaped, and a name that no
    handler gave is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=in_one_direction,
    )
    environment.filters.update(
        size=in_words, count=count, ago=ago, span=span, moment=moment, iso=iso, segment=segment,
        query=urlencode, share=share, field=field, is_past=is_past,
    )  # fmt: skip
    environment.globals.update(address_of=address_of, purl_of=purl)
    environment.globals["parts"] = environment.get_template("parts.html").module
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment))


_TURNS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def in_one_direction(value: object) -> object:
    """What an expression of a template shows. Marks that turn the direction of the text after them (Unicode,
    UAX 9: embeddings, overrides, isolates) are shown in place of obeyed: others write most of it."""
    return value.translate(_TURNS) if isinstance(value, str) and not value.isascii() else value


def count(number: int) -> str:
    """1,234,567."""
    return f"{number:,}"


def share(part: int, whole: int) -> str:
    """A part in percent; never 100 % where something is left."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return f"{math.floor(percent) if percent > 99 else round(percent)} %"


def span(seconds: float) -> str:
    """How long: "3 d", "5 min", "120 ms"."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def ago(at: float) -> str:
    """How long ago, or how far ahead, a time in unix seconds is."""
    passed = round(time.time() - at)
    if passed < -5:
        return f"in {span(-passed)}"
    return "just now" if passed < 5 else f"{span(passed)} ago"


def is_past(at: float) -> bool:
    """Whether a time in unix seconds is over."""
    return at <= time.time()


def moment(at: float) -> str:
    """Unix seconds for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: float) -> str:
    """Unix seconds for `datetime` of a `time` element."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def field(value: object, name: str) -> object:
    """A value of the audit or an event as people read it: times as such, of a list of rules their names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(
            f"{key}: {field(each, key)}" for key, each in value.items() if each not in ("", [], 0)
        )
    if isinstance(value, list):
        names = (each.get("name", each) if isinstance(each, Mapping) else each for each in value)
        return ", ".join(str(each) for each in names) or "none"
    if isinstance(value, int | float) and (name.endswith("_at") or name in ("since", "until")):
        return moment(value) if 0 < value < _NO_END else "no bound"
    return value


def address_of(protocol: str, name: str, version: str = "") -> str:
    """The page of a package, or of one version, below `/ui/`."""
    page = f"packages/{segment(protocol)}/{segment(name)}"
    return f"{page}?{urlencode({'version': version})}" if version else page


def segment(text: str) -> str:
    """A name as part of an address; slashes stay, as npm's scopes have them."""
    return quote(text, safe="/@:")
