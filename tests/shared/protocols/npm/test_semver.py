"""Versions and ranges: the documented rules one by one, then generated cases beside node-semver itself."""

from __future__ import annotations

import json
import random
import subprocess
from itertools import pairwise

import pytest

from shared.protocols.npm.semver import clean_version, parse_version
from shared.protocols.npm.semver_ranges import parse_range, satisfies
from tests.shared.protocols.npm.resolver.npm_beside import NODE_MODULES, npm_is_there

ORDERED = (
    "0.0.0-alpha", "0.0.0", "0.0.1", "0.9.99", "1.0.0-0", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha",
    "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.0.1", "1.10.0", "2.0.0-pre", "2.0.0", "10.0.0",
)  # fmt: skip


def test_versions__in_the_order_of_the_specification() -> None:
    keys = [version.key for version in map(parse_version, ORDERED) if version is not None]
    assert len(keys) == len(ORDERED)
    assert all(low < high for low, high in pairwise(keys))


@pytest.mark.parametrize(
    ("text", "strict", "loose"),
    [
        ("1.2.3", "1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3", "1.2.3"),
        (" 1.2.3 ", "1.2.3", "1.2.3"),
        ("=1.2.3", None, "1.2.3"),
        ("= v 1.2.3", None, "1.2.3"),
        ("1.2.3-beta.1", "1.2.3-beta.1", "1.2.3-beta.1"),
        ("1.2.3beta", None, "1.2.3-beta"),
        ("01.02.03", None, "1.2.3"),
        ("1.2.3-01", None, "1.2.3-1"),
        ("1.2.3+build.5", "1.2.3", "1.2.3"),
        ("1.2.3-rc.1+build.5", "1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2", None, None),
        ("1.2.3.4", None, None),
        ("latest", None, None),
        ("", None, None),
        (f"{2**53}.0.0", None, None),
        ("1.2.3-" + "a" * 300, None, None),
        ("\u0661.2.3", None, None),
    ],
)
def test_version__spelling(text: str, strict: str | None, loose: str | None) -> None:
    found = [parse_version(text, loose=each) for each in (False, True)]
    assert [each and each.text for each in found] == [strict, loose]


def test_build_metadata__has_no_say_in_order() -> None:
    one, other = parse_version("1.0.0+a"), parse_version("1.0.0+b")
    assert one is not None and other is not None
    assert one.key == other.key
    assert clean_version("=v1.0.0+a") == "1.0.0"


@pytest.mark.parametrize(
    ("text", "desugared"),
    [
        ("^1.2.3", ">=1.2.3 <2.0.0-0"),
        ("^0.2.3", ">=0.2.3 <0.3.0-0"),
        ("^0.0.3", ">=0.0.3 <0.0.4-0"),
        ("^0.0", ">=0.0.0 <0.1.0-0"),
        ("^0.x", "<1.0.0-0"),
        ("^1.2.3-beta.2", ">=1.2.3-beta.2 <2.0.0-0"),
        ("~1.2.3", ">=1.2.3 <1.3.0-0"),
        ("~1", ">=1.0.0 <2.0.0-0"),
        ("~> 1.2", ">=1.2.0 <1.3.0-0"),
        ("1.x", ">=1.0.0 <2.0.0-0"),
        ("1.2", ">=1.2.0 <1.3.0-0"),
        ("*", ""),
        ("", ""),
        (">=0.0.0", ""),
        ("1.2.3 - 2.3.4", ">=1.2.3 <=2.3.4"),
        ("1.2 - 2.3", ">=1.2.0 <2.4.0-0"),
        (">1.2", ">=1.3.0"),
        ("<=1.2", "<1.3.0-0"),
        ("> 1.2.3 < 2", ">1.2.3 <2.0.0-0"),
        (">x", "<0.0.0-0"),
        ("^1 || ^3", ">=1.0.0 <2.0.0-0||>=3.0.0 <4.0.0-0"),
        ("^1 || *", ""),
        ("1.2.3+build", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        (">=1 nonsense <2", ">=1.0.0 <2.0.0-0"),
    ],
)
def test_range__desugars_as_documented(text: str, desugared: str) -> None:
    found = parse_range(text)
    assert found is not None
    assert found.text.replace(">=0.0.0 ", "") == desugared.replace(">=0.0.0 ", "")


@pytest.mark.parametrize("text", ["latest", "blerg", "git@somewhere", "x" * 5000])
def test_range__that_is_none(text: str) -> None:
    assert parse_range(text) is None
    assert not satisfies("1.0.0", text)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("1.2.3-beta", "*", False),
        ("1.2.3-beta", ">=1.2.3-alpha", True),
        ("1.2.4-beta", ">=1.2.3-alpha", False),
        ("1.2.3-beta", "^1.2.3-alpha", True),
        ("1.3.0-beta", "^1.2.3-alpha", False),
        ("2.0.0-0", "^1.2.3", False),
        ("1.9.9", "^1.2.3", True),
        ("0.1.9", "^0.1.2", True),
        ("0.2.0", "^0.1.2", False),
        ("1.2.3", "1.2.3+anything", True),
        ("v1.2.3", "=1.2.3", True),
        ("", "*", False),
    ],
)
def test_prereleases__fit_only_beside_one_of_the_same_release(version: str, wanted: str, fits: bool) -> None:
    assert satisfies(version, wanted) is fits


# --- beside node-semver -----------------------------------------------------------------------------

_SCRIPT = """
const semver = require(process.argv[1]);
const {pairs, versions} = JSON.parse(require('fs').readFileSync(process.argv[2]));
const options = (loose, includePrerelease) => ({loose, includePrerelease});
const judged = pairs.map(([v, r, l, p]) => [
  semver.valid(v, options(l, p)), semver.validRange(r, options(l, p)),
  semver.satisfies(v, r, options(l, p))]);
const order = versions.slice(1).map((v, at) => semver.compare(versions[at], v, true));
console.log(JSON.stringify({judged, order}));
"""
_TAILS = ("", "", "", "-0", "-alpha", "-alpha.1", "-beta.2", "-rc1", "-1", "-01", "beta", "-a.b", "--", "+b1")


class _Writer:
    """Writes versions and ranges as people do, and as they do by mistake."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def version(self) -> str:
        numbers = ".".join(str(self.chance.randint(0, 4)) for _ in range(3))
        return self.chance.choice(("", "", "v", "=")) + numbers + self.chance.choice(_TAILS)

    def range(self) -> str:
        sets = (self._set() for _ in range(self.chance.choice((1, 1, 1, 2, 3))))
        return self.chance.choice(("||", " || ")).join(sets)

    def _set(self) -> str:
        kind = self.chance.random()
        if kind < 0.15:
            return self._partial() + self.chance.choice((" - ", "  -  ", "-")) + self._partial()
        if kind < 0.2:
            return self.chance.choice(("", "*", "latest", "x", ">", ">=0.0.0", ">=0.0.0-0", "<0.0.0-0"))
        operators = ("", "", "^", "~", "~>", ">", "<", ">=", "<=", "=", "^ ", "> ", ">=  ", "!")
        count = self.chance.choice((1, 1, 2, 3))
        return " ".join(self.chance.choice(operators) + self._partial() for _ in range(count))

    def _partial(self) -> str:
        count = self.chance.choice((1, 2, 3, 3, 3))
        numbers = [self.chance.choice(("0", "1", "2", "3", "10", "01", "x", "X", "*")) for _ in range(count)]
        tail = self.chance.choice(_TAILS) if count == 3 or self.chance.random() < 0.1 else ""
        return self.chance.choice(("", "", "", "v", "=")) + ".".join(numbers) + tail


@pytest.mark.skipif(not npm_is_there(), reason="node or npm's own semver is not here")
def test_generated_cases__judged_as_by_node_semver(tmp_path: object) -> None:
    writer = _Writer(11)
    pairs = [
        (writer.version(), writer.range(), writer.chance.random() < 0.7, writer.chance.random() < 0.3)
        for _ in range(8000)
    ]
    made = (parse_version(writer.version()) for _ in range(3000))
    versions = [version.text for version in made if version is not None]
    cases = f"{tmp_path}/cases.json"
    with open(cases, "w") as file:
        json.dump({"pairs": pairs, "versions": versions}, file)
    done = subprocess.run(
        ["node", "-e", _SCRIPT, str(NODE_MODULES / "semver"), cases],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    differing = []
    fitting = 0
    for (version, wanted, loose, prereleases), judged in zip(pairs, theirs["judged"], strict=True):
        parsed, span = parse_version(version, loose), parse_range(wanted, loose, prereleases)
        ours = [
            parsed and parsed.text,
            span and (span.text or "*"),
            satisfies(version, wanted, loose, prereleases),
        ]
        fitting += ours[2] is True
        if ours != judged:
            differing.append((version, wanted, loose, prereleases, judged, ours))
    assert differing == []
    assert fitting > 500  # the cases are not all trivial
    keys = [version.key for version in map(parse_version, versions) if version is not None]
    assert [(one > other) - (one < other) for one, other in pairwise(keys)] == theirs["order"]
