"""What stands in the tree: files, lines, modules that an image reaches, protocols named outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("shared", "services")
AT_FIRST = 3  # protocols that there were when the aims were set
IMAGES = ("gateway", "fetcher", "extractor")


def product_files() -> list[Path]:
    """Every Python file of the product, relative to the root, without empty `__init__.py`."""
    files = [path for top in PRODUCT for path in sorted((ROOT / top).rglob("*.py"))]
    return [
        path.relative_to(ROOT) for path in files if path.name != "__init__.py" or path.read_text().strip()
    ]


def sizes() -> dict[str, tuple[int, int]]:
    """Files and lines per part: "total", each service, shared, each protocol."""
    found: dict[str, tuple[int, int]] = {}
    for path in product_files():
        lines = len((ROOT / path).read_text().splitlines())
        parts = path.parts
        names = ["total", parts[0] if parts[0] == "shared" else f"services/{parts[1]}"]
        if parts[:2] == ("shared", "protocols") and len(parts) > 3 and parts[2] not in ("roles", "reading"):
            names.append(f"shared/protocols/{parts[2]}")
        for name in names:
            files, sum_ = found.get(name, (0, 0))
            found[name] = (files + 1, sum_ + lines)
    return found


def later(found: Mapping[str, tuple[int, int]]) -> list[str]:
    """The folders of protocols that came after the aims were set."""
    from shared.protocols import PROTOCOLS

    first = {f"shared/protocols/{each.name}" for each in PROTOCOLS[:AT_FIRST]}
    return [name for name in found if name.startswith("shared/protocols/") and name not in first]


def _is_protocol(folder: str) -> bool:
    from shared.protocols import PROTOCOLS

    return folder in {each.name for each in PROTOCOLS}


def _modules() -> dict[str, Path]:
    found = {}
    for top in PRODUCT:
        for path in (ROOT / top).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def _imported(module: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """The product's modules that a module imports when it is imported; those within functions come later."""
    statements = list(ast.parse(path.read_text()).body)
    while statements:
        node = statements.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            yield from (name for name in names if name in modules)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in modules)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            statements += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]


def reached() -> dict[str, tuple[int, int]]:
    """Modules and lines of shared/ that each image's service imports at its start."""
    modules = _modules()
    graph = {name: set(_imported(name, path, modules)) for name, path in modules.items()}
    found = {}
    for image in IMAGES:
        waiting, seen = [each for each in modules if each.startswith(f"services.{image}")], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            parents = [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
            waiting += [*graph[name], *(parent for parent in parents if parent in modules)]
        shared = [modules[name] for name in seen if name.split(".")[0] == "shared"]
        shared = [path for path in shared if path.read_text().strip()]
        found[image] = (len(shared), sum(len(path.read_text().splitlines()) for path in shared))
    return found
