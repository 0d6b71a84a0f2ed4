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
POLL_SECONDS = 0.5
RETRY_SECONDS = 5.0  # where no Retry-After tells
TRIES = 5
_PLAIN = ("pypi", "cargo")  # whose names have several spellings


class Compared(msgspec.Struct):
    """The outcome for one lock. `named` files: of these `equal` came back as they are named."""

    named: int
    packages: int = 0  # different name and version
    equal: int = 0
    differing: list[str] = []  # each with what is known of it
    size_bytes: int = 0
    key: str = ""
    again: int = 0  # posts after passing failures


class Posted(msgspec.Struct):
    """The last answer of an Orchard to a lock, and how often it was posted again after passing failures."""

    answer: httpx.Response
    again: int = 0


def posted(
    send: httpx.Client, body: bytes, query: Mapping[str, str], pause: Callable[[float], object] = time.sleep
) -> Posted:
    """The end of an ensure; `send` has the Orchard's address. A passing failure, of the whole (503) or of
    some files of it (`Missing.passing`), is what a client tries again: the lock is then posted anew, at most
    `TRIES` times in all. Raises `RuntimeError` when it does not end."""
    for again in range(TRIES):
        answer = _ended(send, body, query, pause)
        if again + 1 == TRIES or not _passing(answer):
            break
        pause(float(answer.headers.get("retry-after", RETRY_SECONDS)))
    return Posted(answer, again)


def _ended(
    send: httpx.Client, body: bytes, query: Mapping[str, str], pause: Callable[[float], object]
) -> httpx.Response:
    answer = send.post("/api/v1/ensure", content=body, params=query)
    deadline = time.monotonic() + ORCHARD_SECONDS
    while answer.status_code == 202:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no end within {ORCHARD_SECONDS:.0f} s: {answer.text[:300]}")
        pause(POLL_SECONDS)
        answer = send.get(answer.json()["location"])
    return answer


def _passing(answer: httpx.Response) -> bool:
    if answer.status_code != 200:
        return answer.status_code == 503
    return any(each.get("passing") for each in answer.json()["missing"])


def compare(send: httpx.Client, named: set[Named], posted: Posted) -> Compared:
    """Every file that the lock names beside every file of the answer."""
    found = Compared(len(named), len({(each.name, each.version) for each in named}), again=posted.again)
    answer = posted.answer
    if answer.status_code != 200:
        found.differing.append(f"{answer.status_code}: {answer.text[:300]}")
        return found
    lock = answer.json()
    found.size_bytes, found.key = lock["size_bytes"], lock["key"]
    return beside(found, named, lock, lambda path: send.get(path).content)


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
