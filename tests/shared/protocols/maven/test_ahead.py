"""What Maven asks next: parents, BOMs and dependencies of a POM, as far as it tells them itself."""

from __future__ import annotations

import pytest

from shared.errors import UpstreamInvalid
from shared.models import FileName
from shared.protocols.maven.ahead import MavenAhead
from shared.protocols.roles.ahead import MOST_NAMES

AHEAD = MavenAhead()
FILE = FileName("maven", "g:a", "1", "a-1.pom")


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("Apache-Maven/3.9.6 (Java 17.0.9; Linux 6.1)", "apache-maven"),
        ("Gradle/8.5 (Linux;6.1;amd64)", "gradle"),
        ("Maven/3", ""),
        ("curl/8.5", ""),
        ("", ""),
    ],
)
def test_tool__of_a_user_agent(user_agent: str, expected: str) -> None:
    assert AHEAD.tool(user_agent) == expected


def dep(artifact: str, version: str = "1", more: str = "") -> str:
    told = f"<version>{version}</version>" if version else ""
    return f"<dependency><groupId>g</groupId><artifactId>{artifact}</artifactId>{told}{more}</dependency>"


def deps(*each: str) -> str:
    return f"<dependencies>{''.join(each)}</dependencies>"


def after(body: str, wanted: str = "") -> dict[str, str]:
    """File → wanted."""
    pom = f"<project><groupId>g</groupId><artifactId>a</artifactId><version>7</version>{body}</project>"
    found = AHEAD.after_file(FILE, pom.encode(), "apache-maven", wanted)
    for guess in found:
        assert guess.file is not None
        group, _, artifact = guess.project.partition(":")
        assert guess.file == FileName(
            "maven", f"{group}:{artifact}", guess.file.file_id, f"{artifact}-{guess.file.file_id}.pom"
        )
    return {guess.file.filename: guess.wanted for guess in found if guess.file}


PARENT = "<parent><groupId>g</groupId><artifactId>up</artifactId><version>3</version></parent>"
BOM = "<dependencyManagement>{}</dependencyManagement>".format(
    deps(dep("bom", more="<type>pom</type><scope>import</scope>"), dep("managed"))
)


@pytest.mark.parametrize(
    ("body", "wanted", "expected"),
    [
        (PARENT, "", {"up-3.pom": "parent"}),
        (PARENT, "import", {"up-3.pom": "import"}),
        (BOM, "", {"bom-1.pom": "import"}),
        (deps(dep("b"), dep("c")), "", {"b-1.pom": "", "c-1.pom": ""}),
        (deps(dep("b")), "parent", {"b-1.pom": ""}),
        (deps(dep("b")), "import", {}),
        (deps(dep("b", ""), dep("c", "[1,2)"), dep("d", "${other}"), dep("e", "1-SNAPSHOT")), "", {}),
        (deps(dep("b", "${project.version}")), "", {"b-7.pom": ""}),
        ("<properties><v>5</v><w>${v}</w></properties>" + deps(dep("b", "${w}")), "", {"b-5.pom": ""}),
        ("<properties><v>${v}${v}</v></properties>" + deps(dep("b", "${v}")), "", {}),
        (
            deps(
                *(dep(scope, more=f"<scope>{scope}</scope>") for scope in ("test", "provided", "system")),
                dep("b", more="<optional>true</optional>"),
                dep("c", more="<scope>runtime</scope>"),
            ),
            "",
            {"c-1.pom": ""},
        ),
        (deps(dep("b"), dep("c")), " g:b", {"c-1.pom": " g:b"}),
        (deps(dep("b"), dep("c")), " *:*", {}),
        (
            deps(
                dep(
                    "b",
                    more="<exclusions><exclusion><groupId>x</groupId><artifactId>y</artifactId></exclusion></exclusions>",
                )
            ),
            " g:c",
            {"b-1.pom": " g:c x:y"},
        ),
        (deps(dep("../../b"), dep("b", "../1")), "", {}),
        (deps(*(dep(f"p{n}") for n in range(MOST_NAMES + 1))), "", {}),
        (
            "<distributionManagement><relocation><artifactId>n</artifactId></relocation></distributionManagement>",
            "",
            {"n-7.pom": ""},
        ),
    ],
)
def test_pom__what_it_leads_to(body: str, wanted: str, expected: dict[str, str]) -> None:
    assert after(body, wanted) == expected


@pytest.mark.parametrize("content", [b"", b"<html/>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><project/>"])
def test_pom__is_none__says_so(content: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        AHEAD.after_file(FILE, content, "apache-maven", "")


def test_reads_file__poms_alone() -> None:
    assert AHEAD.reads_file("a-1.pom")
    assert not AHEAD.reads_file("a-1.jar")
