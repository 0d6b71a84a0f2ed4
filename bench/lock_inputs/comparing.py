"""A lock posted to an Orchard, and its answer beside what the lock names."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec

from bench.lock_inputs.reading import Named, plain

ORCHARD_SECONDS = 900.0
_PLAIN = ("pypi", "cargo")  # whose names have several spellings


class Compared(msgspec.Struct):
    """The outcome for one lock. `named` files: of these `equal` came back as they are named."""

    named: int
    packages: int = 0  # different name and version
    equal: int = 0
    differing: list[str] = []  # each with what is known of it
    size_bytes: int = 0
    key: str = ""


def posted(base: str, body: bytes, query: Mapping[str, str]) -> httpx.Response:
    """The end of an ensure. Raises `RuntimeError` when it does not end."""
    answer = httpx.post(f"{base}/api/v1/ensure", content=body, params=query, timeout=60, trust_env=False)
    deadline = time.monotonic() + ORCHARD_SECONDS
    location = answer.headers.get("location", "")
    while answer.status_code in (202, 503):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no end within {ORCHARD_SECONDS:.0f} s: {answer.text[:300]}")
        time.sleep(0.5)
        if location:
            answer = httpx.get(base + location, timeout=60, trust_env=False)
        else:
            answer = httpx.post(
                f"{base}/api/v1/ensure", content=body, params=query, timeout=60, trust_env=False
            )
            location = answer.headers.get("location", "")
    return answer


def compare(base: str, named: set[Named], answer: httpx.Response) -> Compared:
    """Every file that the lock names beside every file of the answer."""
    found = Compared(len(named), len({(each.name, each.version) for each in named}))
    if answer.status_code != 200:
        found.differing.append(f"{answer.status_code}: {answer.text[:300]}")
        return found
    lock = answer.json()
    found.size_bytes, found.key = lock["size_bytes"], lock["key"]
    return beside(
        found, named, lock, lambda path: httpx.get(base + path, timeout=300, trust_env=False).content
    )


def beside(
    found: Compared, named: set[Named], lock: Mapping[str, Any], bytes_at: Callable[[str], bytes]
) -> Compared:
    """The same of a decoded lock; `bytes_at` gives the served file of a path."""
    left: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for protocol, table in lock["protocols"].items():
        for package in table["packages"]:
            name = plain(package["name"]) if protocol in _PLAIN else package["name"]
            left.setdefault((name, package["version"]), []).append(package)
    reasons: dict[str, list[str]] = {}
    for each in lock["missing"]:
        reasons.setdefault(plain(each["name"]), []).append(f"{each.get('cause')}: {each['reason']}")
    for each in sorted(named):
        files = left.get((each.name, each.version), [])
        fit = [file for file in files if _is(each, file, bytes_at)]
        if len(fit) == 1:
            files.remove(fit[0])
            found.equal += 1
        elif each.optional and not fit:
            found.named -= 1
        else:
            why = "; ".join(reasons.get(plain(each.name), [])) or f"{len(fit)} files of the answer are it"
            found.differing.append(f"{each.name} {each.version} {each.filename or each.digest[:20]}: {why}")
    for (name, version), files in left.items():
        found.differing += (f"{name} {version}: the lock does not name {file['filename']}" for file in files)
    return found


def _is(named: Named, file: Mapping[str, Any], bytes_at: Callable[[str], bytes]) -> bool:
    """Whether a file of the answer, and the bytes that are served for it, are the one that is named."""
    if named.filename and named.filename != file["filename"]:
        return False
    algorithm, _, digest = named.digest.partition(":")
    if algorithm == "sha256" and digest != file["sha256"]:
        return False
    body = bytes_at(file["path"])
    served = {name: hashlib.new(name, body).hexdigest() for name in {"sha256", algorithm or "sha256"}}
    return served["sha256"] == file["sha256"] and served[algorithm or "sha256"] == (digest or file["sha256"])
