"""Rules about licences that stand in files: known once a file was read here, on every way from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.firewall.shelves import OLD, Maven, Shelf
from tests.firewall.test_rules import NewShelf, Policy, manifests, orchard, policy, purl, refused_by, shelf
from tests.support.builders import build_wheel, core_metadata
from tests.support.cargo_builders import build_crate
from tests.support.maven_builders import Repository, build_pom
from tests.support.orchard import wait_until

__all__ = ["orchard", "policy", "shelf"]  # fixtures

DENY = "name = 'no copyleft'\nlicences = {deny = ['AGPL-3.0-only']}"
LICENCES = {"1.0.0": "MIT", "2.0.0": "AGPL-3.0-only", "3.0.0": ""}
KINDS = ["pypi", "cargo", "maven", "maven, by the parent"]


def publish(shelf: NewShelf, kind: str) -> Shelf:
    """Three versions, of which the second is copyleft and the third tells nothing."""
    it = shelf(kind.partition(",")[0])
    for version, licence in LICENCES.items():
        if it.protocol == "pypi":
            field = f"\nLicense-Expression: {licence}\n\n" if licence else "\n\n"
            about = core_metadata(it.name, version, metadata_version="2.4").decode().replace("\n\n", field, 1)
            it.data[version] = build_wheel(it.name, version, metadata=about.encode())
        elif it.protocol == "cargo":
            line = f'license = "{licence}"\n' if licence else ""
            it.data[version] = build_crate(it.name, version, manifest=line)
    it.put(dict.fromkeys(LICENCES, OLD))
    if it.protocol == "npm":
        manifests(it, {version: {"license": told} if told else {} for version, told in LICENCES.items()})
    if isinstance(it, Maven):
        inherits = kind != "maven"
        for version, licence in LICENCES.items():
            told = f"<licenses><license><name>{licence}</name></license></licenses>" if licence else ""
            parent = f"{it.name}-parent"
            if inherits:
                Repository(it.upstream).add("org.example", parent, version, pom_extra=told)
                told = (
                    f"<parent><groupId>org.example</groupId><artifactId>{parent}</artifactId>"
                    f"<version>{version}</version></parent>"
                )
            path = it.file(version).replace(".jar", ".pom").removeprefix("/maven/")
            modified = it.upstream.reply(f"/maven/{path}").last_modified
            Repository(it.upstream).put(path, build_pom("org.example", it.name, version, extra=told))
            reply = it.upstream.reply(f"/maven/{path}")
            it.upstream.put(f"/maven/{path}", replace(reply, last_modified=modified))
    return it


def fetch(it: Shelf, kind: str, version: str) -> int:
    """The status of a version's file, asked for as a client does: the POM before the jar and its parent."""
    if it.protocol == "maven":
        pom = it.file(version).replace(".jar", ".pom")
        it.get(pom)
        if kind != "maven":
            it.get(pom.replace(it.name, f"{it.name}-parent"))
    return it.get(it.file(version)).status_code


@pytest.mark.parametrize("kind", KINDS)
def test_denied__known_once_a_file_was_read__refused_and_hidden_from_then_on(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = publish(shelf, kind)
    policy.apply(DENY)
    assert [fetch(it, kind, version) for version in ("1.0.0", "3.0.0")] == [200, 200]
    wait_until(lambda: fetch(it, kind, "2.0.0") == 403, seconds=60, what="the refusal")
    refused_by(it, it.file("2.0.0"), "no copyleft: its licence is AGPL-3.0-only")
    wait_until(lambda: it.shown() == ["1.0.0", "3.0.0"], seconds=60, what="the page without it")
    assert [fetch(it, kind, version) for version in ("1.0.0", "3.0.0")] == [200, 200]


@pytest.mark.parametrize("kind", [*KINDS, "npm"])
def test_none_told__is_another_thing_than_not_known(shelf: NewShelf, policy: Policy, kind: str) -> None:
    it = publish(shelf, kind)
    policy.apply("name = 'told'\nlicences = {none = 'hold'}")
    assert fetch(it, kind, "1.0.0") == 200
    wait_until(lambda: fetch(it, kind, "3.0.0") == 403, seconds=60, what="what tells none")
    refused_by(it, it.file("3.0.0"), "told: it tells no licence")
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0"], seconds=60, what="the page without it")


@pytest.mark.parametrize("kind", KINDS)
def test_not_known__held_where_the_rule_says_so__until_it_is_approved(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = publish(shelf, kind)
    policy.apply("name = 'known'\nlicences = {unknown = 'hold'}")
    assert fetch(it, kind, "1.0.0") == 403
    refused_by(it, it.file("1.0.0"), "known: its licence is not known")
    assert policy.post("held/approve", of=purl(it, "1.0.0"), reason="read").status_code in (200, 201)
    wait_until(lambda: fetch(it, kind, "1.0.0") == 200, seconds=60, what="the approval")
