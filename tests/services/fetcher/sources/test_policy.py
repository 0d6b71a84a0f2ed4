"""Dependency confusion: which sources a name may reach, as rules one can read."""

from __future__ import annotations

import pytest

from services.fetcher.sources.policy import (
    candidates,
    higher,
    nobody_asked,
    owners,
    reading_of,
    unheard,
    why_absent,
    why_none,
)
from shared.errors import FileNotFound, NoSource, ProjectNotFound
from shared.imports.rows import PRIORITY, address_of
from shared.models import UpstreamSource
from shared.protocols import PROTOCOLS
from shared.sources.options import SourceOptions

PRIVATE = UpstreamSource(1, "pypi", "private", "https://private.example.com/", 10, include=("acme-*",))
PUBLIC = UpstreamSource(2, "pypi", "public", "https://public.example.com/", 20)
MIRROR = UpstreamSource(3, "pypi", "mirror", "https://mirror.example.com/", 20)
ALL = (MIRROR, PUBLIC, PRIVATE)


def names(project: str, pinned: int | None = None, sources: tuple[UpstreamSource, ...] = ALL) -> list[str]:
    return [source.name for source in candidates(sources, project, () if pinned is None else {pinned})]


def changed(source: UpstreamSource, **changes: object) -> UpstreamSource:
    import msgspec

    return msgspec.structs.replace(source, **changes)


def test_order__by_priority_then_age() -> None:
    assert names("flask") == ["public", "mirror"]
    assert names("flask", sources=(changed(MIRROR, priority=5), PUBLIC)) == ["mirror", "public"]


def test_include__bound_name__only_its_source() -> None:
    assert names("acme-tools") == ["private"]


def test_include__bound_to_two__both_in_order_and_no_other() -> None:
    second = changed(MIRROR, include=("acme-t*",))
    assert names("acme-tools", sources=(second, PUBLIC, PRIVATE)) == ["private", "mirror"]


def test_include__other_name__source_with_patterns_is_not_asked() -> None:
    assert "private" not in names("flask")


def test_include__bound_source_disabled__nobody_is_asked() -> None:
    off = (changed(PRIVATE, enabled=False), PUBLIC)
    assert names("acme-tools", sources=off) == []
    assert "private, which is paused: `orchard upstreams resume pypi/private`" in why_none(off, "acme-tools")


def test_exclude__matching_name__not_asked_there() -> None:
    sources = (changed(PUBLIC, exclude=("secret*",)), MIRROR)
    assert names("secret-lib", sources=sources) == ["mirror"]
    assert names("flask", sources=sources) == ["public", "mirror"]


def test_exclude__everywhere__none_and_said_so() -> None:
    sources = (changed(PUBLIC, exclude=("*",)),)
    assert names("flask", sources=sources) == []
    assert nobody_asked(sources, "flask", (), ProjectNotFound).message == "every source excludes flask"


def test_pin__known_project__only_that_source() -> None:
    assert names("flask", pinned=3) == ["mirror"]


@pytest.mark.parametrize("sources", [(PUBLIC,), (PUBLIC, changed(MIRROR, enabled=False))])
def test_pin__source_gone_or_disabled__never_the_next(sources: tuple[UpstreamSource, ...]) -> None:
    assert names("flask", pinned=3, sources=sources) == []
    assert "orchard pins remove pypi flask" in why_none(sources, "flask", {3})


def test_pin__to_a_source_outside_the_binding__nobody_until_unpinned() -> None:
    assert names("acme-tools", pinned=2) == []
    assert "pinned to source public" in why_none(ALL, "acme-tools", {2})
    assert names("acme-tools") == ["private"]


@pytest.mark.parametrize("pattern", ["Acme_*", "acme.*", "ACME-*", " acme-* "])
def test_patterns__other_spelling_of_a_pypi_name__still_binds(pattern: str) -> None:
    assert names("acme-tools", sources=(changed(PRIVATE, include=(pattern,)), PUBLIC)) == ["private"]


def test_patterns__other_protocols__taken_as_written() -> None:
    scoped = changed(PRIVATE, protocol="npm", include=("@acme/*",))
    assert names("@acme/tools", sources=(scoped, changed(PUBLIC, protocol="npm"))) == ["private"]
    group = changed(PRIVATE, protocol="maven", include=("com.acme:*",))
    assert names("com.acme:tools", sources=(group, changed(PUBLIC, protocol="maven"))) == ["private"]
    assert names("com-acme:tools", sources=(group, changed(PUBLIC, protocol="maven"))) == ["public"]


@pytest.mark.parametrize(
    ("protocol", "pattern", "bound", "free"),
    [
        ("npm", "@acme", "@acme/tools", "@acme-labs/tools"),
        ("npm", "@acme/", "@acme/tools", "acme"),
        ("npm", "@Acme/*", "@acme/tools", "@acmes/tools"),
        ("npm", "@acme*", "@acme-labs/tools", "@other/tools"),
        ("npm", "acme-*", "Acme-tools", "@acme/acme-tools"),
        ("maven", "com.acme", "com.acme:tools", "com.acme.sub:tools"),
        ("maven", "com.acme.*", "com.acme.sub:tools", "com.acmes:tools"),
        ("maven", "com.acme*", "com.acme:tools", "org.acme:tools"),
        ("maven", "Com.Acme:*", "com.acme:tools", "com.acme2:tools"),
        ("maven", "com.acme:t*", "com.acme:tools", "com.acme:lib"),
        ("maven", "*", "com.acme:tools", ""),
    ],
)
def test_patterns__a_scope_or_group_however_it_is_written__binds_what_is_in_it(
    protocol: str, pattern: str, bound: str, free: str
) -> None:
    sources = (changed(PRIVATE, protocol=protocol, include=(pattern,)), changed(PUBLIC, protocol=protocol))
    assert names(bound, sources=sources) == ["private"]
    if free:
        assert names(free, sources=sources) == ["public"]


def test_list_of_all_projects__no_patterns_no_pins() -> None:
    assert names("", pinned=1) == ["private", "public", "mirror"]


def test_disabled__never_asked() -> None:
    sources = (changed(PUBLIC, enabled=False),)
    assert names("flask", sources=sources) == []
    assert "`orchard upstreams resume pypi/public`" in why_none(sources, "flask")


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
@pytest.mark.parametrize(
    ("sources", "pinned", "code", "told"),
    [
        ((), (), "no_source", "orchard upstreams add"),
        ((), (9,), "no_source", "orchard upstreams add"),
        ((changed(PUBLIC, enabled=False),), (), "no_source", "orchard upstreams resume"),
        ((changed(PUBLIC, enabled=False),), (2,), "no_source", "orchard upstreams resume"),
        ((changed(PUBLIC, enabled=False), MIRROR), (2,), "no_source", "orchard pins remove"),
        ((MIRROR,), (2,), "no_source", "pinned to a source that is gone"),
        ((changed(PRIVATE, enabled=False, include=("*",)), MIRROR), (), "no_source", "upstreams resume"),
        ((changed(PUBLIC, exclude=("*",)), MIRROR), (2,), "no_source", "may not be asked"),
        ((changed(PUBLIC, exclude=("*",)),), (), "file_not_found", "every source excludes"),
        ((changed(PUBLIC, exclude=("*",), enabled=False),), (2,), "file_not_found", "every source excludes"),
    ],
)  # fmt: skip
def test_nobody_asked__a_404_only_where_every_source_excludes_the_name(
    protocol: str, sources: tuple[UpstreamSource, ...], pinned: tuple[int, ...], code: str, told: str
) -> None:
    spoken = [changed(source, protocol=protocol) for source in sources]
    assert not owners(spoken, "demo", pinned)
    error = nobody_asked(spoken, "demo", pinned, FileNotFound)
    assert error.code == code and told in error.message
    if "resume" in told:
        assert f"`orchard upstreams resume {protocol}/{spoken[0].name}`" in error.message


# --- owners: sources that belong together ----------------------------------------------------------------

CORP = SourceOptions(merge="corp")
RELEASES = UpstreamSource(4, "maven", "releases", "https://corp.example.com/releases/", 30, options=CORP)
SNAPSHOTS = UpstreamSource(5, "maven", "snapshots", "https://corp.example.com/snapshots/", 50, options=CORP)
CENTRAL = UpstreamSource(6, "maven", "central", "https://central.example.com/maven/", 40)
LIB = "com.corp:lib"


def groups(pinned: frozenset[int] = frozenset(), *sources: UpstreamSource) -> list[list[str]]:
    found = owners(sources or (SNAPSHOTS, CENTRAL, RELEASES), LIB, pinned)
    return [[source.name for source in owner] for owner in found]


def test_owners__merge_group__asked_together_where_its_first_stands() -> None:
    assert groups() == [["releases", "snapshots"], ["central"]]


@pytest.mark.parametrize("pinned", [4, 5])
def test_owners__pinned_to_one_of_a_group__all_of_it_and_no_other(pinned: int) -> None:
    assert groups(frozenset({pinned})) == [["releases", "snapshots"]]


def test_owners__pinned_to_one_of_a_group_that_is_paused__the_others_of_it() -> None:
    assert groups(frozenset({4}), changed(RELEASES, enabled=False), SNAPSHOTS, CENTRAL) == [["snapshots"]]


def test_owners__pinned_to_several__one_owner_in_order_of_priority() -> None:
    assert groups(frozenset({4, 6}), changed(RELEASES, options=SourceOptions()), CENTRAL) == [
        ["releases", "central"]
    ]


def test_higher__pinned_below__who_goes_before_it() -> None:
    sources = (RELEASES, SNAPSHOTS, CENTRAL)
    assert [source.name for source in higher(sources, LIB, {6})] == ["releases", "snapshots"]
    assert higher(sources, LIB, {5}) == []
    assert higher((RELEASES,), LIB, {99}) == []


def test_why_absent__another_might_have_it__whose_it_is_and_which_command_changes_it() -> None:
    said = why_absent((RELEASES, SNAPSHOTS, CENTRAL), LIB, {6}, "lib-1.0.jar")
    assert "central does not have lib-1.0.jar, and com.corp:lib belongs to it" in said
    assert "`orchard pins set maven com.corp:lib central releases`" in said
    assert why_absent((CENTRAL,), LIB, {6}, "lib-1.0.jar") == "no upstream has lib-1.0.jar"
    assert why_absent((RELEASES, CENTRAL), LIB, (), "lib-1.0.jar") == "no upstream has lib-1.0.jar"


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
def test_unheard__an_import_alone_says_absent_while_others_are_paused__is_no_404(protocol: str) -> None:
    imports = UpstreamSource(7, protocol, "import", address_of(protocol), PRIORITY)
    public = UpstreamSource(8, protocol, "public", "https://public.example.com/", 20)
    paused = changed(public, enabled=False)
    said = unheard((imports, paused), "demo", ())
    assert isinstance(said, NoSource) and f"`orchard upstreams resume {protocol}/public`" in said.message
    for sources, pinned in (
        ((imports,), ()),  # nothing else is there: it is what there is
        ((imports, public), ()),
        ((imports, public, changed(paused, id=9)), ()),
        ((imports, paused), (7,)),  # belongs to the import
        ((imports, changed(paused, exclude=("demo",))), ()),
    ):
        assert unheard(sources, "demo", pinned) is None


# --- readings: what an answer says -------------------------------------------------------------------------

HERE = "https://registry.example.com/simple/"
SOURCE = UpstreamSource(7, "pypi", "first", HERE)


@pytest.mark.parametrize(
    ("status", "url", "page", "reading"),
    [
        (404, HERE + "flask/", True, "absent"),
        (410, HERE + "flask/", False, "absent"),
        (404, HERE.replace("https", "HTTPS").replace("registry", "Registry") + "flask/", True, "absent"),
        (404, "https://registry.example.com/login", True, "strayed"),
        (404, "https://registry.example.com/simple-other/flask/", True, "strayed"),
        (404, "https://login.example.com/simple/flask/", True, "strayed"),
        (404, "https://registry.example.com:8443/simple/flask/", False, "strayed"),
        (404, "http://registry.example.com/simple/flask/", True, "strayed"),
        (200, HERE + "flask/", True, "here"),
        (200, "https://registry.example.com/elsewhere/flask/", True, "here"),
        (200, "https://other.example.com/simple/flask/", True, "strayed"),
        (304, "https://other.example.com/simple/flask/", True, "strayed"),
        (200, "https://files.example.com/flask-1.0.whl", False, "here"),
        (403, HERE + "flask/", True, "here"),
    ],
)
def test_reading__only_the_sources_own_word_counts(status: int, url: str, page: bool, reading: str) -> None:
    assert reading_of(SOURCE, status, HERE + "flask/", url, page=page) == reading


def test_reading__https_of_an_http_source__is_the_same_host() -> None:
    plain = changed(SOURCE, url="http://registry.example.com/simple/")
    assert reading_of(plain, 404, HERE + "flask/", HERE + "flask/", page=True) == "absent"


def test_reading__as_the_operator_says() -> None:
    told = changed(SOURCE, options=SourceOptions(absent_statuses=(403,), pages_elsewhere=True))
    assert reading_of(told, 403, HERE + "flask/", HERE + "flask/", page=True) == "absent"
    assert (
        reading_of(told, 200, HERE + "flask/", "https://other.example.com/simple/flask/", page=True) == "here"
    )
    assert (
        reading_of(told, 404, HERE + "flask/", "https://other.example.com/simple/flask/", page=True)
        == "strayed"
    )


@pytest.mark.parametrize(
    ("asked", "url", "reading"),
    [
        ("@acme%2Ftools", "@acme/tools", "absent"),
        ("@acme%2Ftools", "api/npm/@acme%2ftools/", "absent"),
        ("Acme_Tools/", "acme-tools/", "absent"),
        ("acme.tools", "ACME-tools?page=1#top", "absent"),
        ("acme-tools", "login", "strayed"),
        ("acme-tools", "login?next=/acme-tools", "strayed"),
        ("acme-tools", "", "strayed"),
        ("acme-tools", "%2e%2e/acme-tools", "strayed"),
        ("acme-tools", "x/%2E./acme-tools", "strayed"),
        ("acme-tools", "404.html", "strayed"),
    ],
)
def test_reading__absent_after_a_redirect__only_where_the_same_is_still_asked_for(
    asked: str, url: str, reading: str
) -> None:
    root = "https://registry.example.com/"
    source = changed(SOURCE, url=root)
    assert reading_of(source, 404, root + asked, root + url, page=True) == reading


@pytest.mark.parametrize(
    ("protocol", "same", "other"),
    [
        ("pypi", "ACME_tools", "tools"),
        ("npm", "acme.tools", "acme-tools"),
        ("cargo", "Acme.Tools", "acme-tools"),
    ],
)
def test_reading__absent_after_a_redirect__in_the_spellings_of_its_protocol(
    protocol: str, same: str, other: str
) -> None:
    root = "https://registry.example.com/"
    source = changed(SOURCE, protocol=protocol, url=root)
    assert reading_of(source, 404, f"{root}acme.tools", f"{root}x/{same}", page=True) == "absent"
    assert reading_of(source, 404, f"{root}acme.tools", f"{root}x/{other}", page=True) == "strayed"
