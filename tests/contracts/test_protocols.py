"""What every protocol must do: the same cases for all that are listed, and a sample for each."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.errors import OrchardError, UpstreamInvalid
from shared.models import SealedFile, UpstreamSource
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Redirect, Resource
from shared.protocols.roles.documents import Documents
from shared.protocols.roles.grammar import Names
from shared.protocols.roles.pages import Pages

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "shared" / "protocols"


class Sample(msgspec.Struct, frozen=True):
    """One real request and one real document of a protocol."""

    index_path: bytes
    file_path: bytes
    upstream_url: str
    content_type: str
    golden: str  # the upstream's document, under tests/shared/protocols/<name>/golden/
    golden_project: str  # whose document that is; "" = the one of index_path


SAMPLES: Mapping[str, Sample] = {
    "pypi": Sample(
        index_path=b"/simple/flask/",
        file_path=b"/files/flask/" + b"0" * 64 + b"/flask-3.0.0-py3-none-any.whl",
        upstream_url="https://packages.example.com/simple/project/",
        content_type="application/vnd.pypi.simple.v1+json",
        golden="project.upstream.json",
        golden_project="demo-pkg",
    ),
    "npm": Sample(
        index_path=b"/left-pad",
        file_path=b"/left-pad/-/left-pad-1.3.0.tgz",
        upstream_url="https://registry.example.com/project",
        content_type="application/json",
        golden="project.upstream.json",
        golden_project="@demo/pkg",
    ),
    "maven": Sample(
        index_path=b"/com/example/tool/maven-metadata.xml",
        file_path=b"/com/example/tool/1.0/tool-1.0.jar",
        upstream_url="https://repository.example.com/com/example/tool/maven-metadata.xml",
        content_type="text/xml",
        golden="versions.xml",
        golden_project="",
    ),
    "cargo": Sample(
        index_path=b"/de/mo/demo",
        file_path=b"/dl/demo/1.0.0/download",
        upstream_url="https://index.example.com/ex/am/example-crate",
        content_type="text/plain",
        golden="example-crate.index",
        golden_project="example-crate",
    ),
}

HOSTILE = [
    b"/../x",
    b"/a/../../b",
    b"/%2e%2e/x",
    b"/..%2f..%2fetc/passwd",
    b"/a%00b",
    b"/a%0d%0aX: y",
    b"/%ff/x",
    b"/%c0%ae%c0%ae/",
    b"/%ed%a0%80/",
    b"/%e2%84%aaelvin/",
    b"/a\\b/",
    b"//evil.example.com/x",
    b"/" + b"a" * 9000,
    b"",
    b"/",
    b"/@/x",
    b"/__proto__",
    b"/node_modules",
    b"/%",
    b"/%zz",
    b"/a b",
    "/naïve".encode(),
]

GARBAGE = [
    b"",
    b"<html><body><form>Please log in</form></body></html>",
    b"{",
    b"[]",
    b"null",
    b'{"meta": NaN}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe\x00",
    b"<!DOCTYPE x [<!ENTITY a 'b'>]><metadata>&a;</metadata>",
    b"PK\x03\x04",
]

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)


def _source(protocol: PackageProxyBase) -> UpstreamSource:
    return UpstreamSource(
        id=1, protocol=protocol.name, name="sample", url="https://packages.example.com/simple/"
    )


def _classify(protocol: PackageProxyBase, path: bytes, method: str = "GET") -> Resource | Redirect | None:
    """What the grammar says; None when it refused by an error of the catalogue."""
    try:
        return protocol.grammar.classify(method, path, b"", {b"accept": b"*/*"})
    except OrchardError as error:
        assert 400 <= error.status < 500
        return None


def test_roles__what_rules_are_judged_by_has_no_default() -> None:
    """A protocol that says nothing of it would be outside of the firewall, and nobody would know."""
    assert "version_key" in Names.__abstractmethods__
    assert {"dated", "traits"} <= Documents.__abstractmethods__
    assert "without_blocked" in Pages.__abstractmethods__
    assert not {"osv_ecosystem", "attests"} & vars(Names).keys()


@each_protocol
def test_advisories__can_be_about_its_packages_and_their_ranges(protocol: PackageProxyBase) -> None:
    names = protocol.names
    assert isinstance(names.osv_ecosystem, str) and isinstance(names.attests, bool)
    if names.osv_ecosystem:
        assert names.osv_ecosystem == names.osv_ecosystem.lower().replace(".", "-")
        keys = [names.version_key(version) for version in ("1.0.0", "1.2.0", "1.10.0", "2.0.0")]
        assert all(key is not None for key in keys) and keys == sorted(keys)


@each_protocol
def test_list_of_versions__names_each_for_the_rules(protocol: PackageProxyBase) -> None:
    """What `dated` has not no rule but those about names can hide; what it has is asked of its traits."""
    identity, decoded = _golden_document(protocol)
    dated = list(protocol.documents.dated(identity, decoded, marks=True))
    assert dated and all(each.name and each.version for each in dated)
    assert {each.version for each in protocol.documents.traits(identity, decoded)} <= {
        each.version for each in dated
    }


def test_every_folder__is_listed_has_a_sample_and_golden_files() -> None:
    folders = {each.name for each in FOLDER.iterdir() if (each / "paths.py").exists()}
    assert folders == {protocol.name for protocol in PROTOCOLS} == set(SAMPLES)
    for name in folders:
        assert (FOLDER / name / "README.md").exists()
        assert any((ROOT / "tests" / "shared" / "protocols" / name / "golden").iterdir())


@each_protocol
@pytest.mark.parametrize("prefix", [b"", b"/simple", b"/files", b"/@scope", b"/com/example"])
def test_classify__hostile_path__refused_by_the_catalogue_or_canonical(
    protocol: PackageProxyBase, prefix: bytes
) -> None:
    for hostile in HOSTILE:
        found = _classify(protocol, prefix + hostile)
        if isinstance(found, Resource):
            shown = found.identity + found.project + found.filename
            assert shown.isascii() and shown.isprintable() and " " not in shown
            assert ".." not in shown.split("/") and "\\" not in shown
        elif isinstance(found, Redirect):
            assert "//" not in found.location and ":" not in found.location


@each_protocol
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_classify__method_that_writes__refused(protocol: PackageProxyBase, method: str) -> None:
    assert _classify(protocol, SAMPLES[protocol.name].index_path, method) is None
    assert _classify(protocol, SAMPLES[protocol.name].file_path, method) is None


@each_protocol
def test_identities__round_trip(protocol: PackageProxyBase) -> None:
    sample = SAMPLES[protocol.name]
    page = _classify(protocol, sample.index_path)
    file = _classify(protocol, sample.file_path)
    assert isinstance(page, Resource) and page.kind == "index"
    assert isinstance(file, Resource) and file.kind == "artifact"
    assert protocol.grammar.project_of(page.identity) == page.project
    again = protocol.grammar.artifact_resource(file.file)
    assert again.identity == file.identity
    assert protocol.grammar.artifact_path(file.file).encode() == sample.file_path
    assert protocol.upstream.upstream_request(page.identity, _source(protocol)).url.startswith(
        "https://packages.example.com/"
    )


@each_protocol
def test_package_url__names_the_project_it_was_made_of(protocol: PackageProxyBase) -> None:
    sample = SAMPLES[protocol.name]
    found = _classify(protocol, sample.file_path)
    assert isinstance(found, Resource)
    for project in (found.project, sample.golden_project or found.project):
        assert protocol.names.project_of_purl(*protocol.names.purl_parts(project)) == project
    assert protocol.grammar.gives_file(found)
    page = _classify(protocol, sample.index_path)
    assert isinstance(page, Resource) and not protocol.grammar.gives_file(page)


@each_protocol
def test_names_of_pins__beside_its_own_are_of_groups_that_it_is_in(protocol: PackageProxyBase) -> None:
    file = _classify(protocol, SAMPLES[protocol.name].file_path)
    assert isinstance(file, Resource)
    own, *groups = protocol.names.pin_names(file.project)
    assert own == file.project and not protocol.names.group_prefix(own)
    for group in groups:
        prefix = protocol.names.group_prefix(group)
        assert prefix and file.project.startswith(prefix)
    assert not any(protocol.names.group_prefix(bad) for bad in ("", "*", ":*", "..:*", "com.acme", "a:*:*"))


@each_protocol
def test_core_metadata__is_found_from_its_file_and_back(protocol: PackageProxyBase) -> None:
    file = _classify(protocol, SAMPLES[protocol.name].file_path)
    assert isinstance(file, Resource)
    name = protocol.archive.metadata_filename(file.filename)
    assert protocol.archive.parent_of(file.filename) is None
    if name is not None:  # rows are joined by that
        assert name.startswith(file.filename) and protocol.archive.parent_of(name) == file.filename


@each_protocol
def test_equal_requests__equal_resources(protocol: PackageProxyBase) -> None:
    sample = SAMPLES[protocol.name]
    for path in (sample.index_path, sample.file_path):
        assert _classify(protocol, path) == _classify(protocol, path)


@each_protocol
def test_read_index__garbage__upstream_invalid_and_nothing_else(protocol: PackageProxyBase) -> None:
    sample = SAMPLES[protocol.name]
    page = _classify(protocol, sample.index_path)
    assert isinstance(page, Resource)
    for body in GARBAGE:
        for content_type in (sample.content_type, "text/html", ""):
            with pytest.raises(UpstreamInvalid):
                protocol.documents.read_index(
                    page.identity,
                    _source(protocol),
                    url=sample.upstream_url,
                    content_type=content_type,
                    body=body,
                )


def _golden_document(protocol: PackageProxyBase) -> tuple[str, Any]:
    """Identity and decoded canonical document of the golden upstream answer."""
    sample = SAMPLES[protocol.name]
    body = (ROOT / "tests" / "shared" / "protocols" / protocol.name / "golden" / sample.golden).read_bytes()
    page = _classify(protocol, sample.index_path)
    assert isinstance(page, Resource)
    identity = (
        protocol.grammar.index_identity(sample.golden_project) if sample.golden_project else page.identity
    )
    document = protocol.documents.read_index(
        identity,
        _source(protocol),
        url=sample.upstream_url,
        content_type=sample.content_type,
        body=body,
    )
    return identity, protocol.documents.decode_document(document.body)


@each_protocol
def test_rewrite_index__deterministic_and_without_the_upstream_s_host(protocol: PackageProxyBase) -> None:
    identity, document = _golden_document(protocol)
    sealed: dict[tuple[str, str], SealedFile] = {}
    base_url = "http://orchard.example.org/x" if protocol.pages.per_base_url(identity) else ""
    first = protocol.pages.rewrite_index(identity, document, sealed=sealed, base_url=base_url)
    second = protocol.pages.rewrite_index(identity, document, sealed=sealed, base_url=base_url)
    assert first and first.keys() == second.keys()
    for name, rendering in first.items():
        assert rendering.body == second[name].body
        assert rendering.body and rendering.content_type
        assert b"/-/" not in rendering.body or b"orchard.example.org" in rendering.body


@each_protocol
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" + b"\0" * 100, b"\x1f\x8b" + b"\0" * 50, b"<project>", b"{}"]
)
def test_extract__not_what_its_name_says__a_state_and_no_exception(
    protocol: PackageProxyBase, content: bytes
) -> None:
    for filename in (
        "project-1.0-py3-none-any.whl",
        "project-1.0.tar.gz",
        "project-1.0.0.tgz",
        "project-1.0.pom",
        "project-1.0.0.crate",
        "x",
    ):
        extraction, _ = protocol.archive.extract(filename, io.BytesIO(content), len(content))
        assert extraction.state in ("unknown", "unextractable")
        assert extraction.reason


RESERVED = {"api", "ui", "v", "health", "metrics", "live", "forward"}


def test_mounts__one_segment_each_none_twice_none_of_our_own() -> None:
    mounts = [protocol.mount for protocol in PROTOCOLS]
    assert len(set(mounts)) == len(mounts)
    for mount in mounts:
        assert mount.startswith("/") and mount.endswith("/") and mount.count("/") == 2
        assert mount.strip("/") not in RESERVED


@each_protocol
@pytest.mark.parametrize("base_url", ["", "https://orchard.example.org/x"])
def test_challenge__a_scheme_and_parameters(protocol: PackageProxyBase, base_url: str) -> None:
    challenge = protocol.grammar.challenge(base_url)
    scheme, _, parameters = challenge.partition(" ")
    assert scheme.isalpha() and "=" in parameters
    assert challenge.isascii() and challenge.isprintable()
