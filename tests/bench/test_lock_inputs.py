"""`python -m bench.lock_inputs`: its own readings agree on one lock, and its comparison can fail."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.lock_inputs.comparing import TRIES, Compared, beside, posted
from bench.lock_inputs.reading import Named, read

BODY = b"the bytes of a file"
SHA256, SHA512 = hashlib.sha256(BODY).hexdigest(), hashlib.sha512(BODY)
SRI = f"sha512-{base64.b64encode(SHA512.digest()).decode()}"
NODE = Named("@s/demo", "1.0.0", "", f"sha512:{SHA512.hexdigest()}")
ENTRY = {"version": "1.0.0", "integrity": SRI}
URL = "https://files.example.com/a/De_mo-1.0.tar.gz"
PYTHON = Named("de-mo", "1.0", "De_mo-1.0.tar.gz", f"sha256:{SHA256}")


@pytest.mark.parametrize(
    ("form", "text", "named"),
    [
        ("uv.lock", '[[package]]\nname="de-mo"\nversion="1.0"\nsource={registry="x"}\n'
         f'sdist={{url="{URL}",hash="sha256:{SHA256}"}}', PYTHON),
        ("pdm.lock", '[[package]]\nname="De.mo"\nversion="1.0"\n'
         f'files=[{{url="{URL}",hash="sha256:{SHA256}"}}]', PYTHON),
        ("requirements.txt", f"De_mo==1.0 \\\n    --hash=sha256:{SHA256}\n",
         Named("de-mo", "1.0", "", f"sha256:{SHA256}")),
        ("package-lock.json 3",
         json.dumps({"packages": {"": {}, "node_modules/a/node_modules/@s/demo": ENTRY}}), NODE),
        ("package-lock.json 1",
         json.dumps({"dependencies": {"b": {**ENTRY, "version": "npm:@s/demo@1.0.0"}}}), NODE),
        ("pnpm-lock.yaml 6",
         f"packages:\n  /@s/demo@1.0.0(a@1):\n    resolution: {{integrity: {SRI}}}\n", NODE),
        ("yarn.lock 1", f'# yarn\n\n\n"@s/demo@^1":\n  version "1.0.0"\n  integrity {SRI}\n', NODE),
        ("yarn.lock 4", '__metadata:\n  version: 8\n"b@npm:^1":\n  resolution: "@s/demo@npm:1.0.0"\n',
         Named("@s/demo", "1.0.0")),
    ],
)  # fmt: skip
def test_read__the_one_file_that_is_named(tmp_path: Path, form: str, text: str, named: Named) -> None:
    (tmp_path / "lock").write_text(text)
    assert read(form, tmp_path / "lock") == {named}


def lock(**fields: Any) -> dict[str, Any]:
    package = {"name": "@s/demo", "version": "1.0.0", "filename": "demo.tgz", "sha256": SHA256, "path": "/x"}
    return {"protocols": {"npm": {"packages": [{**package, **fields}]}}, "missing": []}


@pytest.mark.parametrize(
    ("answer", "served", "equal", "differing"),
    [
        (lock(), BODY, 1, 0),
        (lock(), b"other bytes", 0, 2),
        (lock(version="1.0.1"), BODY, 0, 2),
        (lock(sha256="0" * 64), BODY, 0, 2),
        ({"protocols": {}, "missing": []}, BODY, 0, 1),
    ],
)
def test_beside__what_is_not_the_same__differs(
    answer: dict[str, Any], served: bytes, equal: int, differing: int
) -> None:
    found = beside(Compared(1), {NODE}, answer, lambda path: served)
    assert (found.equal, len(found.differing)) == (equal, differing)


COMPLETE: dict[str, Any] = {"protocols": {}, "missing": []}
PASSING: dict[str, Any] = {"protocols": {}, "missing": [{"name": "a", "reason": "503", "passing": True}]}
LASTING: dict[str, Any] = {"protocols": {}, "missing": [{"name": "a", "reason": "404"}]}
BUSY: dict[str, Any] = {"location": "/api/v1/ensures/x"}


@pytest.mark.parametrize(
    ("answers", "again", "last"),
    [
        ([(200, COMPLETE)], 0, COMPLETE),
        ([(202, BUSY), (202, BUSY), (200, COMPLETE)], 0, COMPLETE),
        ([(503, {}), (200, COMPLETE)], 1, COMPLETE),
        ([(202, BUSY), (503, {}), (202, BUSY), (200, COMPLETE)], 1, COMPLETE),
        ([(200, PASSING), (200, PASSING), (200, COMPLETE)], 2, COMPLETE),
        ([(200, LASTING)], 0, LASTING),
        ([(422, {"code": "ensure_invalid"})], 0, {"code": "ensure_invalid"}),
        ([(200, PASSING)] * TRIES, TRIES - 1, PASSING),
    ],
)
def test_posted__passing_failures_alone__are_posted_again(
    answers: list[tuple[int, dict[str, Any]]], again: int, last: dict[str, Any]
) -> None:
    left = [httpx.Response(status, json=body) for status, body in answers]
    with httpx.Client(base_url="http://x", transport=httpx.MockTransport(lambda _: left.pop(0))) as send:
        found = posted(send, b"", {}, pause=lambda _: None)
    assert (found.again, found.answer.json(), left) == (again, last, [])
