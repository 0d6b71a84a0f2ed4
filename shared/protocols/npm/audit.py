"""npm's audits answered from advisories: the bulk endpoint (npm 7 and later) and the older ones, which take a
tree (yarn 1, pnpm). Pure; every severity is told, whatever the rules refuse.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from shared.errors import MalformedRequest
from shared.policy.advisories import Advisory, Span
from shared.protocols.npm import names
from shared.protocols.npm.semver import Version, parse_version

Told = Callable[[str], tuple[Advisory, ...]]
"""All advisories on a package."""

MAX_DEPTH = 100  # of a tree of dependencies
MOST_NAMES = 100_000  # in a request
LISTED = 200  # versions that a range spells out
SEVERITIES = ("info", "low", "moderate", "high", "critical")
_WORDS = {"medium": "moderate", "unknown": "moderate"}  # what nobody judged is not hidden by --audit-level
_URL = "https://osv.dev/vulnerability/"


def order(version: str) -> Any:
    """See `Names.version_key`."""
    found: Version | None = parse_version(version)
    return None if found is None else found.key


def bulk(asked: dict[str, Any], told: Told) -> bytes:
    """Of `{name: [versions]}`: by name, the advisories that affect one of them. Raises `MalformedRequest`."""
    if len(asked) > MOST_NAMES:
        raise MalformedRequest("the request names too many packages")
    answer = {}
    for name, versions in asked.items():
        if not isinstance(versions, list) or not all(isinstance(each, str) for each in versions):
            raise MalformedRequest("expected a list of versions for each name")
        found = [
            _in_bulk(each) for each in told(name) if any(_affects(each, version) for version in versions)
        ]
        if found:
            answer[name] = found
    return msgspec.json.encode(answer)


def tree(asked: dict[str, Any], told: Told) -> bytes:
    """Of a tree as a lock file has it. Raises `MalformedRequest`."""
    found: dict[int, dict[str, Any]] = {}
    actions: dict[str, dict[str, Any]] = {}
    counts = dict.fromkeys(SEVERITIES, 0)
    total = 0
    for name, version, path in _installed(asked, "", 0):
        total += 1
        if total > MOST_NAMES:
            raise MalformedRequest("the request names too many packages")
        for each in told(name):
            if not _affects(each, version):
                continue
            number = _number(each)
            entry = found.get(number)
            if entry is None:
                entry = found[number] = _in_tree(each, name)
                counts[entry["severity"]] += 1
            findings = entry["findings"]
            of = next((finding for finding in findings if finding["version"] == version), None)
            if of is None:
                findings.append({"version": version, "paths": [path]})
            else:
                of["paths"].append(path)
            action = actions.setdefault(name, {"action": "review", "module": name, "resolves": []})
            flags = {"dev": False, "optional": False, "bundled": False}
            action["resolves"].append({"id": number, "path": path, **flags})
    metadata = {
        "vulnerabilities": counts,
        "dependencies": total,
        "devDependencies": 0,
        "optionalDependencies": 0,
        "totalDependencies": total,
    }
    advisories = {str(number): entry for number, entry in found.items()}
    return msgspec.json.encode(
        {"actions": list(actions.values()), "advisories": advisories, "muted": [], "metadata": metadata}
    )


def _affects(advisory: Advisory, version: str) -> bool:
    return advisory.affects(names.canonical_version(version), order)


def _installed(node: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Name, version and path of each package below a node."""
    if depth > MAX_DEPTH:
        raise MalformedRequest("the tree of dependencies is too deep")
    below = node.get("dependencies")
    for name, each in below.items() if isinstance(below, dict) else ():
        if not isinstance(each, dict):
            continue
        version = each.get("version")
        own = f"{path}>{name}" if path else name
        if isinstance(version, str):
            alias, _, behind = version.removeprefix("npm:").rpartition("@")  # npm-package-arg, aliases
            is_alias = version.startswith("npm:") and alias
            yield (alias if is_alias else name), (behind if is_alias else version), own
        yield from _installed(each, own, depth + 1)


def _in_bulk(advisory: Advisory) -> dict[str, Any]:
    return {
        "id": _number(advisory),
        "url": _URL + advisory.id,
        "title": _title(advisory),
        "severity": _severity(advisory),
        "vulnerable_versions": _range(advisory),
        "cwe": ["CWE-506"] if advisory.is_malware else [],
        "cvss": {"score": advisory.score, "vectorString": None},
    }


def _in_tree(advisory: Advisory, name: str) -> dict[str, Any]:
    fixed = [each.fixed for each in advisory.spans if each.fixed]
    return {
        **_in_bulk(advisory),
        "module_name": name,
        "findings": [],
        "patched_versions": " || ".join(f">={each}" for each in fixed) or "<0.0.0",
        "cves": [each for each in advisory.aliases if each.startswith("CVE-")],
        "overview": _title(advisory),
        "recommendation": f"Upgrade to version {fixed[-1]} or later"
        if fixed
        else "No fixed version is known",
        "references": _URL + advisory.id,
        "access": "public",
    }


def _number(advisory: Advisory) -> int:
    """Clients want one; the same for the same id."""
    return zlib.crc32(advisory.id.encode())


def _title(advisory: Advisory) -> str:
    return f"{advisory.id}: {advisory.summary or ('malware' if advisory.is_malware else 'vulnerable')}"


def _severity(advisory: Advisory) -> str:
    return "critical" if advisory.is_malware else _WORDS.get(advisory.severity, advisory.severity)


def _range(advisory: Advisory) -> str:
    """As node-semver reads it."""
    parts = [_span(each) for each in advisory.spans]
    parts += advisory.versions[:LISTED]
    return "*" if "" in parts else " || ".join(parts)


def _span(span: Span) -> str:
    bounds = [
        f"{sign}{bound}"
        for sign, bound in ((">=", span.start), ("<", span.fixed), ("<=", span.last))
        if bound
    ]
    return " ".join(bounds)
