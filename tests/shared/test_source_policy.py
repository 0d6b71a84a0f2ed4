"""Dependency confusion: which sources a name may reach, as rules one can read."""

from __future__ import annotations

import pytest

from shared.models import UpstreamSource
from shared.source_policy import candidates, why_none

PRIVATE = UpstreamSource(1, "pypi", "private", "https://private.example.com/", 10, include=("acme-*",))
PUBLIC = UpstreamSource(2, "pypi", "public", "https://public.example.com/", 20)
MIRROR = UpstreamSource(3, "pypi", "mirror", "https://mirror.example.com/", 20)
ALL = (MIRROR, PUBLIC, PRIVATE)


def names(project: str, pinned: int | None = None, sources: tuple[UpstreamSource, ...] = ALL) -> list[str]:
    return [source.name for source in candidates(sources, project, pinned)]


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
    assert "private, which is disabled" in why_none(off, "acme-tools")


def test_exclude__matching_name__not_asked_there() -> None:
    sources = (changed(PUBLIC, exclude=("secret*",)), MIRROR)
    assert names("secret-lib", sources=sources) == ["mirror"]
    assert names("flask", sources=sources) == ["public", "mirror"]


def test_exclude__everywhere__none_and_said_so() -> None:
    sources = (changed(PUBLIC, exclude=("*",)),)
    assert names("flask", sources=sources) == []
    assert why_none(sources, "flask") == "every source excludes flask"


def test_pin__known_project__only_that_source() -> None:
    assert names("flask", pinned=3) == ["mirror"]


@pytest.mark.parametrize("sources", [(PUBLIC,), (PUBLIC, changed(MIRROR, enabled=False))])
def test_pin__source_gone_or_disabled__never_the_next(sources: tuple[UpstreamSource, ...]) -> None:
    assert names("flask", pinned=3, sources=sources) == []
    assert why_none(sources, "flask", 3)


def test_pin__to_a_source_outside_the_binding__nobody_until_unpinned() -> None:
    assert names("acme-tools", pinned=2) == []
    assert "pinned to source public" in why_none(ALL, "acme-tools", 2)
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


def test_list_of_all_projects__no_patterns_no_pins() -> None:
    assert names("", pinned=1) == ["private", "public", "mirror"]


def test_disabled__never_asked() -> None:
    sources = (changed(PUBLIC, enabled=False),)
    assert names("flask", sources=sources) == []
    assert why_none(sources, "flask") == "no upstream source is enabled"
