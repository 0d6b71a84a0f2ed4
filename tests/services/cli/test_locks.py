"""What `orchard verify LOCK` believes of what is told: digests that the lock has and the log admits."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.cli.errors import CommandFailed
from services.cli.locks import FILE, OWN, check_lock, kind_of, locked_at
from services.cli.server import Answer, Server
from services.cli.target import choose_target
from shared.tlog.trees import Unproven

SUM, OTHER = "ab" * 32, "cd" * 32
FILES = [{"file": "demo-1.0.tar.gz", "sha256": SUM}]


class Told(Server):
    """Tells what a test has it tell."""

    def __init__(self, **named: Any) -> None:
        super().__init__(choose_target("http://127.0.0.1:9", {}))
        whole = {"protocol": "pypi", "name": "demo", "version": "1.0", "file": "", "optional": False}
        whole |= {"digests": {"sha256": [SUM]}, "admitted": FILES, "others": []} | named
        self._body = json.dumps({"kind": "uv.lock", "files": [whole], "elsewhere": []}).encode()

    def request(self, method: str, path: str, **_: Any) -> Answer:
        return Answer(200, {}, self._body)


def logs(digests: Mapping[str, str], **entry: str) -> Any:
    of = {"protocol": "pypi", "project": "demo", "file": "demo-1.0.tar.gz"} | entry
    return lambda sha256: {"entry": of | {"digests": {"sha256": sha256, **digests}}, "statement": None}


def checked(server: Server, data: bytes, proven: Any) -> dict[str, Any]:
    (found,) = check_lock(locked_at(server), "uv.lock", "uv.lock", data, proven)["files"]
    return dict(found)


def test_a_digest_that_the_lock_does_not_have__is_believed_of_no_orchard() -> None:
    for data in (
        f'hash = "sha256:{SUM}"',
        f"sha256-{base64.b64encode(bytes.fromhex(SUM)).decode()}",
        SUM.upper(),
    ):
        assert checked(Told(), data.encode(), logs({}))["result"] == "proven"
    for data in (OTHER, SUM + "ab", SUM[:-1], ""):
        with pytest.raises(Unproven, match=r"demo 1\.0: the Orchard tells a digest that is not in the lock"):
            checked(Told(), data.encode(), logs({}))


def test_a_file_that_the_log_has_with_other_digests__is_not_the_locks() -> None:
    wrong = Told(admitted=[{"file": "demo-1.0.tar.gz", "sha256": OTHER}])
    with pytest.raises(Unproven, match="which the lock does not name"):
        checked(wrong, SUM.encode(), logs({}))
    sha512 = "ef" * 64
    by_sha512 = Told(digests={"sha512": [sha512]})
    assert checked(by_sha512, sha512.encode(), logs({"sha512": sha512}))["compared"] == ["sha512"]
    with pytest.raises(Unproven, match="the log admits the sha512"):
        checked(by_sha512, sha512.encode(), logs({"sha512": "0" * 128}))
    assert checked(by_sha512, sha512.encode(), logs({}))["result"] == "unverified"


def test_a_file_that_the_lock_has_no_digest_of__is_named_and_not_proven() -> None:
    assert checked(Told(digests={}), b"", logs({}))["result"] == "named"
    assert checked(Told(digests={}), b"", logs({}, project="other"))["result"] == "misnamed"


@pytest.mark.parametrize(
    "entry", [{"protocol": "npm"}, {"project": "other"}, {"file": "demo-2.0.tar.gz"}, {"file": ""}]
)
def test_an_entry_of_another_name__is_not_the_clients_locks(entry: dict[str, str]) -> None:
    """An Orchard could tell a digest that stands elsewhere in the lock."""
    assert checked(Told(), SUM.encode(), logs({}, **entry))["result"] == "misnamed"
    assert checked(Told(file="demo-1.0.tar.gz"), SUM.encode(), logs({}))["result"] == "proven"
    assert checked(Told(file="demo-1.0.zip"), SUM.encode(), logs({}))["result"] == "misnamed"


def test_bytes_that_were_admitted_under_several_names__are_proven_by_a_statement_of_this_one() -> None:
    names = [{"protocol": "pypi", "project": each, "file": "demo-1.0.tar.gz"} for each in ("other", "demo")]

    def proven(stated: list[dict[str, str]]) -> Any:
        return lambda sha256: {**logs({}, project="other")(sha256), "stated_names": stated}

    assert checked(Told(), SUM.encode(), proven(names))["result"] == "proven"
    assert checked(Told(), SUM.encode(), proven(names[:1]))["result"] == "misnamed"


def test_an_entry_of_another_name_with_the_digest_of_an_own_lock__is_proven() -> None:
    package = {"filename": "demo-1.0.tar.gz", "sha256": SUM, "name": "demo", "version": "1.0"}
    lock = json.dumps({"protocols": {"pypi": {"packages": [package]}}}).encode()
    (found,) = check_lock(locked_at(Told()), "x", OWN, lock, logs({}, project="other"))["files"]
    assert found["result"] == "proven"


def test_what_is_not_in_the_log__differs_from_what_failed() -> None:
    def fails(status: int) -> Any:
        def proven(_: str) -> dict[str, Any]:
            raise CommandFailed("the log says nothing", status=status)

        return proven

    assert checked(Told(), SUM.encode(), fails(404))["result"] == "unlogged"
    with pytest.raises(CommandFailed):
        checked(Told(), SUM.encode(), fails(503))


def test_what_a_lock_may_have_and_nobody_stored__is_passed_over() -> None:
    optional = Told(optional=True, admitted=[])
    assert check_lock(locked_at(optional), "x", "gradle.lockfile", SUM.encode(), logs({}))["files"] == []
    assert checked(Told(admitted=[]), SUM.encode(), logs({}))["result"] == "absent"
    assert checked(Told(admitted=[], others=FILES), SUM.encode(), logs({}))["found"] == [SUM]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("uv.lock", "version = 1", "uv.lock"),
        ("bom.json", '{"bomFormat": "CycloneDX"}', "cyclonedx"),
        ("bom.json", '{"spdxVersion": "SPDX-2.3"}', "spdx"),
        ("bom.json", "{}", FILE),
        ("x.json", f'{{"format":1,"key":"{SUM}","ensure":{{}}}}', OWN),
        ("demo-1.0.tar.gz", "version = 1", FILE),
        *(
            (name, json.dumps({"components": [{"name": "x" * 100}] * 1000} | marks, indent=2), kind)
            for name, marks, kind in (
                ("bom.json", {"bomFormat": "CycloneDX"}, "cyclonedx"),
                ("bom.json", {"spdxVersion": "SPDX-2.2"}, "spdx"),
                ("bom.json", {"metadata": {"bomFormat": "CycloneDX"}}, FILE),
                ("orchard.lock.json", {"protocols": {}, "key": SUM, "format": 1}, OWN),
            )
        ),
        ("bom.json", '\ufeff{"bomFormat": "CycloneDX"}', "cyclonedx"),
        ("bom.json", '{"bomFormat": "CycloneDX", "components": [', "cyclonedx"),
        ("x.json", f'{{"format":1,"key":"{SUM}","ens', OWN),
    ],
)
def test_kind_of__by_name_and_mark_wherever_it_stands(
    tmp_path: Path, name: str, data: str, kind: str
) -> None:
    (tmp_path / name).write_text(data)
    assert kind_of(tmp_path / name) == kind
