"""Maven's version order, by its documented examples and against Maven's own class where it is here."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.protocols.maven.versions import compare, version_key

MAVEN_JARS = Path("/usr/share/maven/lib")
_TOKENS = [
    "0",
    "1",
    "2",
    "10",
    "00",
    "01",
    "20240101",
    "99999999999",
    "99999999999999999999",
    "alpha",
    "a",
    "b",
    "m",
    "beta",
    "rc",
    "cr",
    "snapshot",
    "SNAPSHOT",
    "ga",
    "final",
    "release",
    "sp",
    "x",
    "foo",
    "jre",
    "1a",
    "milestone",
    "Final",
    "RELEASE",
    "dev",
    "v",
]


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def test_order__ascending_as_the_specification_lists_them() -> None:
    ascending = [
        "1-alpha",
        "1-alpha-2",
        "1-alpha-10",
        "1-beta",
        "1-milestone",
        "1-rc",
        "1-SNAPSHOT",
        "1",
        "1-sp",
        "1-x",
        "1.0.1",
        "1.1",
        "1.2",
        "1.9",
        "1.10",
        "2",
    ]
    shuffled = random.Random(7).sample(ascending, len(ascending))
    assert sorted(shuffled, key=version_key) == ascending


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "1.0"),
        ("1", "1-ga"),
        ("1.0", "1-final"),
        ("1cr1", "1-rc-1"),
        ("1.0a1", "1-alpha-1"),
        ("1.x", "1-x"),
    ],
)
def test_order__different_spellings__equal(left: str, right: str) -> None:
    assert compare(left, right) == 0 == compare(right, left)


def test_order__deep_nesting__bounded() -> None:
    assert compare("1" + "-1" * 100, "1" + "-1" * 99) > 0


@pytest.mark.skipif(
    shutil.which("java") is None or not (MAVEN_JARS / "maven-artifact-3.x.jar").exists(),
    reason="needs java and Maven's own maven-artifact jar as the oracle",
)
def test_order__random_versions__as_mavens_own_class_says() -> None:
    chance = random.Random(11)

    def version() -> str:
        text = chance.choice(_TOKENS)
        for _ in range(chance.randint(0, 5)):
            text += chance.choice([".", "-", "", ".", "--", "..", "-."]) + chance.choice(_TOKENS)
        return text

    jars = ":".join(str(MAVEN_JARS / name) for name in ("maven-artifact-3.x.jar", "commons-lang3.jar"))
    oracle = "org.apache.maven.artifact.versioning.ComparableVersion"
    versions = [version() for _ in range(3000)]
    said = subprocess.run(
        ["java", "-cp", jars, oracle, *versions], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    pairs = re.findall(r"^\s+(\S+) (<|==|>) (\S+)$", said, re.MULTILINE)
    assert len(pairs) == len(versions) - 1
    wrong = [
        (left, order, right)
        for left, order, right in pairs
        if sign(compare(left, right)) != {"<": -1, "==": 0, ">": 1}[order]
    ]
    assert wrong == []
