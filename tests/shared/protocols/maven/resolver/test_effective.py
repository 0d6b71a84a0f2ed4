"""Effective dependencies: what parents, BOMs, properties, profiles and management make of a POM."""

from __future__ import annotations

import io
from functools import partial

import msgspec
import pytest

from shared.models import Dependency
from shared.protocols.maven.metadata import dependency, extract
from shared.protocols.maven.model import Coordinates, Pom, decode_pom
from shared.protocols.maven.resolver.effective import Models
from shared.protocols.maven.resolver.inheritance import Gap
from shared.protocols.maven.resolver.ranges import fits, generic_key
from shared.protocols.resource import DocumentName
from tests.support.maven_builders import Dep, build_pom


class Derived(msgspec.Struct):
    """What the models make of a POM; `problems` says what could not be settled."""

    dependencies: tuple[Dependency, ...]
    problems: tuple[str, ...]
    relocated_to: str


def name(coordinates: str) -> DocumentName:
    group, artifact, version = coordinates.split(":")
    return DocumentName(f"{group}:{artifact}", version, f"{artifact}-{version}.pom")


def _find(
    known: dict[DocumentName, Pom | None], missing: set[DocumentName], wanted: DocumentName
) -> Pom | Gap:
    if wanted not in known:
        missing.add(wanted)
        return Gap("", pending=True)
    return known[wanted] or Gap(f"missing: {wanted.filename}")


class Library:
    """POMs by their coordinates, and the loop that gives the pure step what it asks for."""

    def __init__(self) -> None:
        self.poms: dict[DocumentName, Pom] = {}
        self.turns = 0
        self.is_listed = True

    def add(
        self, coordinates: str, *deps: Dep, parent: str = "", managed: tuple[Dep, ...] = (), extra: str = ""
    ) -> None:
        group, artifact, version = coordinates.split(":")
        if parent:
            g, a, v = parent.split(":")
            extra += (
                f"<parent><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version></parent>"
            )
        if managed:
            inner = "".join(each.xml() for each in managed)
            extra += f"<dependencyManagement><dependencies>{inner}</dependencies></dependencyManagement>"
        body = build_pom(group, artifact, version, deps, extra=extra)
        extraction = extract(io.BytesIO(body), len(body))
        assert extraction.state == "extracted"
        pom = decode_pom(extraction.model)
        assert pom is not None
        self.poms[name(coordinates)] = pom

    def _listed(self, of: Coordinates) -> list[str] | Gap:
        if not self.is_listed:
            return Gap("maven-metadata.xml: an upstream fails", passing=True)
        versions = [each.file_id for each in self.poms if each.project == f"{of.group}:{of.artifact}"]
        return sorted((each for each in versions if fits(of.version, each)), key=generic_key)

    def derive(self, coordinates: str) -> Derived:
        known: dict[DocumentName, Pom | None] = {}
        for self.turns in range(1, 500):
            missing: set[DocumentName] = set()
            models = Models(partial(_find, known, missing), self._listed)
            model = models.effective(name(coordinates))
            if not missing:
                break
            assert not missing & set(known), "asked again"
            known |= {each: self.poms.get(each) for each in missing}
        else:
            raise AssertionError("it never ends")
        rows = tuple(dependency(*each) for each in enumerate(model.dependencies))
        problems = [model.gap.reason] if model.gap is not None else list(model.problems)
        problems += [f"unresolved: {row.requirement}" for row in rows if row.marker or not row.specifier]
        return Derived(rows, tuple(problems), str(model.relocation or ""))

    def lines(self, coordinates: str) -> list[str]:
        derived = self.derive(coordinates)
        assert derived.problems == ()
        return [f"{each.requirement} {each.kind}" for each in derived.dependencies]


@pytest.fixture
def library() -> Library:
    return Library()


def bom(coordinates: str) -> Dep:
    group, artifact, version = coordinates.split(":")
    return Dep(group, artifact, version, scope="import", extra="<type>pom</type>")


def test_no_parent__as_declared_with_default_scope(library: Library) -> None:
    library.add("g:a:1", Dep("b", "b", "2"), Dep("c", "c", "3", scope="test"))
    assert library.lines("g:a:1") == ["b:b:2 compile", "c:c:3 test"]


def test_parent__properties_management_and_dependencies_inherited(library: Library) -> None:
    library.add(
        "g:top:1",
        managed=(Dep("b", "b", "${b}", scope="runtime"),),
        extra="<properties><b>1</b></properties>",
    )
    library.add("g:mid:1", Dep("m", "m", "${project.version}"), parent="g:top:1")
    library.add("g:a:7", Dep("b", "b"), parent="g:mid:1", extra="<properties><b>2</b></properties>")
    assert library.lines("g:a:7") == ["b:b:2 runtime", "m:m:7 compile"]
    assert library.turns == 4


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("[1,2)", "1.10"),
        ("[1,2]", "2"),
        ("(,1.10)", "1.9"),
        ("[1.9]", "1.9"),
        ("[1,1.5),[2,2]", "2"),
    ],
)
def test_parent_named_by_a_range__is_the_newest_in_it(library: Library, wanted: str, taken: str) -> None:
    for version in ("1", "1.9", "1.10", "2", "3"):
        library.add(f"g:top:{version}", managed=(Dep("b", "b", "${project.parent.version}"),))
    library.add("g:a:7", Dep("b", "b"), parent=f"g:top:{wanted}")
    assert library.lines("g:a:7") == [f"b:b:{taken} compile"]


@pytest.mark.parametrize("own", ["", "${project.version}", "${project.parent.version}", "${pom.version}"])
def test_version_below_a_range__must_be_a_constant(library: Library, own: str) -> None:
    library.add("g:top:1")
    library.add("g:a:7", Dep("b", "b", "1"), parent="g:top:[1,2)")
    at = name("g:a:7")
    library.poms[at] = msgspec.structs.replace(library.poms[at], version=own or "[1,2)")
    assert any("must be a constant" in each for each in library.derive("g:a:7").problems)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("[1,)", "has no end"),
        ("[1,2),[3,)", "has no end"),
        ("[8,9]", "unresolved: no source has a version in the range"),
        ("[2,1]", "its ends are in the wrong order"),
    ],
)
def test_range_without_a_parent_in_it__is_told(library: Library, wanted: str, said: str) -> None:
    library.add("g:top:1")
    library.add("g:a:7", parent=f"g:top:{wanted}")
    assert any(said in each for each in library.derive("g:a:7").problems)
    if wanted == "[8,9]":
        library.is_listed = False
        assert library.derive("g:a:7").problems == ("maven-metadata.xml: an upstream fails",)


@pytest.mark.parametrize("wanted", ["[1,2)", "[1,2]", "[1,)", "[1]", "${range}"])
def test_bom_named_by_a_range__nothing_is_read_of_the_pom_that_imports_it(
    library: Library, wanted: str
) -> None:
    library.add("x:one:1", managed=(Dep("b", "b", "1"),))
    library.add(
        "g:a:1",
        Dep("b", "b", "1"),
        managed=(bom(f"x:one:{wanted}"),),
        extra="<properties><range>[1,2)</range></properties>",
    )
    assert any("takes no range there" in each for each in library.derive("g:a:1").problems)


def test_own_word__wins_over_management(library: Library) -> None:
    library.add("g:a:1", Dep("b", "b", "3", scope="test"), managed=(Dep("b", "b", "1", scope="runtime"),))
    assert library.lines("g:a:1") == ["b:b:3 test"]


def test_boms__own_management_first_then_in_order(library: Library) -> None:
    library.add("x:one:1", managed=(Dep("b", "b", "1"), Dep("c", "c", "1"), Dep("d", "d", "1")))
    library.add(
        "x:two:1",
        managed=(Dep("c", "c", "2"), Dep("e", "e", "${v}")),
        extra="<properties><v>2</v></properties>",
    )
    library.add(
        "g:a:1",
        *(Dep(each, each) for each in "bcde"),
        managed=(bom("x:one:${one}"), bom("x:two:1"), Dep("d", "d", "9")),
        extra="<properties><one>1</one><v>wrong</v></properties>",
    )
    assert library.lines("g:a:1") == ["b:b:1 compile", "c:c:1 compile", "d:d:9 compile", "e:e:2 compile"]
    assert library.turns == 3, "both BOMs are asked for at once"


def test_management__matches_type_and_classifier_and_brings_exclusions(library: Library) -> None:
    exclusions = (
        "<exclusions><exclusion><groupId>x</groupId><artifactId>y</artifactId></exclusion></exclusions>"
    )
    library.add(
        "g:a:1",
        Dep("b", "b"),
        Dep("b", "b", extra="<classifier>linux</classifier>"),
        managed=(
            Dep("b", "b", "1", extra=exclusions),
            Dep("b", "b", "2", extra="<classifier>linux</classifier>"),
        ),
    )
    assert library.lines("g:a:1") == ["b:b:1 !x:y compile", "b:b:jar:linux:2 compile"]


def test_profiles__only_those_active_by_default(library: Library) -> None:
    profile = (
        "<profile><id>{0}</id><activation><activeByDefault>{1}</activeByDefault></activation>"
        "<properties><v>{0}</v></properties><dependencies><dependency><groupId>p</groupId>"
        "<artifactId>{0}</artifactId><version>${{v}}</version></dependency></dependencies></profile>"
    )
    extra = f"<profiles>{profile.format('on', 'true')}{profile.format('off', 'false')}</profiles>"
    library.add("g:a:1", Dep("b", "b", "${v}"), extra=f"<properties><v>0</v></properties>{extra}")
    assert sorted(library.lines("g:a:1")) == ["b:b:on compile", "p:on:on compile"]


def test_relocation__named_with_what_it_leaves_out(library: Library) -> None:
    extra = "<distributionManagement><relocation><groupId>new</groupId></relocation></distributionManagement>"
    library.add("old:a:1", Dep("b", "b", "1"), extra=extra)
    assert library.derive("old:a:1").relocated_to == "new:a:1"


def test_unresolved__kept_as_written_and_named(library: Library) -> None:
    library.add("g:a:1", Dep("b", "b", "${nobody.knows}"), Dep("c", "c"))
    derived = library.derive("g:a:1")
    assert [each.specifier for each in derived.dependencies] == ["${nobody.knows}", ""]
    assert derived.dependencies[0].marker == "unresolved"
    assert len(derived.problems) == 2 and all(each.startswith("unresolved") for each in derived.problems)


def test_missing_parent__the_rest_and_a_problem(library: Library) -> None:
    library.add("g:a:1", Dep("b", "b", "1"), parent="g:gone:1")
    derived = library.derive("g:a:1")
    assert [each.requirement for each in derived.dependencies] == ["b:b:1"]
    assert derived.problems == ("missing: gone-1.pom",)


def test_hostile__cycles_and_depth_end(library: Library) -> None:
    library.add("g:self:1", Dep("b", "b", "1"), parent="g:self:1")
    library.add("g:one:1", parent="g:two:1")
    library.add("g:two:1", parent="g:one:1")
    library.add("g:loop:1", managed=(bom("g:pool:1"),))
    library.add("g:pool:1", managed=(bom("g:loop:1"),))
    for number in range(100):
        library.add(f"g:p{number}:1", parent=f"g:p{number + 1}:1")
    for start in ("self", "one", "loop", "p0"):
        derived = library.derive(f"g:{start}:1")
        assert derived.problems and derived.problems[0].startswith(("cycle", "depth")), start


def test_hostile__references_in_a_circle_or_growing__kept(library: Library) -> None:
    laughs = "".join(
        f"<l{n}>{'${l' + str(n + 1) + '}' * 1}{'${l' + str(n + 1) + '}'}</l{n}>" for n in range(30)
    )
    extra = f"<properties><a>${{b}}</a><b>${{a}}</b>{laughs}<l30>ha</l30></properties>"
    library.add("g:a:1", Dep("b", "b", "${a}"), Dep("c", "c", "${l0}"), extra=extra)
    derived = library.derive("g:a:1")
    assert all(each.marker == "unresolved" for each in derived.dependencies)
    assert all(len(each.specifier) < 2000 for each in derived.dependencies)


def test_hostile__parent_that_no_path_can_hold__never_asked_for(library: Library) -> None:
    for parent in ("../../etc:a:1", "g:a:../1", "g:a/b:1", "g:a:[1,2)"):
        library.add("g:x:1", parent=parent)
        assert library.derive("g:x:1").problems[0].startswith("unresolved")
