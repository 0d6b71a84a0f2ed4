"""The table of minimum age: what a registry has, what a real client asks for, and what it must end with.

Ages are in days; the rule is 7. `python -m scripts.age_table` prints it as docs/minimum-age.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

OLD, YOUNG, FORGED, BEFORE_REGISTRIES = 30.0, 1.0 / 24, 60.0, 12_000.0
REFUSED = "refused"

CLIENTS: Mapping[str, str] = {
    "pip": "pypi",
    "uv": "pypi",
    "poetry": "pypi",
    "npm": "npm",
    "pnpm": "npm",
    "yarn 1": "npm",
    "yarn 4": "npm",
    "bun": "npm",
    "cargo": "cargo",
    "mvn": "maven",
    "Gradle": "maven",
}
"""Each with its protocol."""

NODE = ("npm", "pnpm", "yarn 1", "yarn 4", "bun")

ALL_DATED = tuple(each for each, protocol in CLIENTS.items() if protocol != "maven")
"""Whose lists date each of their versions."""

NOTE = """Maven's lists date their newest version alone: another young one
is found out, and hidden, when its file is asked for."""

Ages = Mapping[str, float | None]
"""Version → days since it was published, as the registry says; None: it says nothing."""

PRE = {"pypi": "1.1.0rc{}", "npm": "1.1.0-rc.{}", "cargo": "1.1.0-rc.{}", "maven": "1.1.0-rc{}"}


@dataclass(frozen=True)
class Case:
    """One line of the table. `{1}` and `{2}` in versions stand for two candidates of the next release.

    `asks`: "any" version, any with "candidates", one "above" it, the one of a "tag", or of the version
    `wants`: "exactly", by its "hash", its "address", or a "lock".
    """

    name: str
    has: str
    ages: Ages
    expected: str
    asks: str = "any"
    wants: str = "2.0.0"
    clients: tuple[str, ...] = tuple(CLIENTS)
    before: Ages = field(default_factory=dict)  # what the registry had when it was first asked
    is_scoped: bool = False
    yanked: str = ""
    exempt: str = ""
    exempt_by: str = "version"  # or its "name", or its "sha256"
    is_over: bool = False  # the exemption was taken back
    blocked: str = ""  # by hand
    reuploaded: str = ""

    @property
    def is_alone(self) -> bool:
        """Whether it takes a project of its own: whose client must fail."""
        return self.expected == REFUSED

    def spelt(self, protocol: str, text: str) -> str:
        """A version as the protocol writes it."""
        return PRE[protocol].format(text[1]) if text.startswith("{") else text

    def ages_in(self, protocol: str, ages: Ages) -> dict[str, float | None]:
        return {self.spelt(protocol, version): age for version, age in ages.items()}


CASES: tuple[Case, ...] = (
    Case("young latest", "an old one and a young one", {"1.0.0": OLD, "2.0.0": YOUNG}, "1.0.0"),
    Case(
        "several young",
        "two old ones and two young ones",
        {"1.0.0": OLD, "1.1.0": OLD, "1.2.0": YOUNG, "2.0.0": YOUNG},
        "1.1.0",
        clients=ALL_DATED,
    ),
    Case("old enough", "an old one and one of 8 days", {"1.0.0": OLD, "2.0.0": 8.0}, "2.0.0"),
    Case(
        "almost old enough",
        "an old one and one of 6.9 days",
        {"1.0.0": OLD, "2.0.0": 6.9},
        "1.0.0",
    ),
    Case(
        "young next line",
        "two old ones of a line and a young one of the next",
        {"1.0.0": OLD, "1.0.1": OLD, "2.0.0": YOUNG},
        "1.0.1",
    ),
    Case(
        "young backport",
        "a young one between two old ones",
        {"1.0.0": OLD, "1.0.1": YOUNG, "2.0.0": OLD},
        "2.0.0",
        clients=ALL_DATED,
    ),
    Case(
        "young post-release",
        "an old one and its young post-release",
        {"1.0.0": OLD, "1.0.0.post1": YOUNG},
        "1.0.0",
        clients=("pip", "uv", "poetry"),
    ),
    Case(
        "exactly the old one",
        "an old one and a young one",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        asks="exactly",
        wants="1.0.0",
    ),
    Case(
        "young transitive",
        "the same, needed by an old package",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        asks="above",
    ),
    Case(
        "backdated",
        "an old one, and later one that says it is older",
        {"1.0.0": OLD, "2.0.0": FORGED},
        "1.0.0",
        before={"1.0.0": OLD},
    ),
    Case("missing date", "an old one and one without a date", {"1.0.0": OLD, "2.0.0": None}, "1.0.0"),
    Case("date in the future", "an old one and one of next month", {"1.0.0": OLD, "2.0.0": -30.0}, "1.0.0"),
    Case(
        "date that cannot be",
        "an old one and one of before there were registries",
        {"1.0.0": OLD, "2.0.0": BEFORE_REGISTRIES},
        "1.0.0",
    ),
    Case(
        "prerelease",
        "two candidates, the second young",
        {"1.0.0": OLD, "{1}": OLD, "{2}": YOUNG},
        "{1}",
        asks="candidates",
    ),
    Case(
        "re-uploaded",
        "two old ones, the newer later with other bytes",
        {"1.0.0": OLD, "2.0.0": OLD},
        "1.0.0",
        before={"1.0.0": OLD, "2.0.0": OLD},
        reuploaded="2.0.0",
        clients=("pip", "uv", "poetry", "cargo"),
    ),
    Case(
        "yanked",
        "an old one, a yanked one, a young one",
        {"1.0.0": OLD, "1.5.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        yanked="1.5.0",
        clients=("pip", "uv", "poetry", "cargo"),
    ),
    Case(
        "tag of the newest",
        "`latest`, or `RELEASE`, to the young one",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        asks="tag",
        wants="",
        clients=(*NODE, "mvn", "Gradle"),
    ),
    Case(
        "tag to an old one",
        "a tag `next` to the old one of two",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        asks="tag",
        wants="1.0.0",
        clients=NODE,
    ),
    Case(
        "scoped",
        "an old one and a young one of @scope",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        is_scoped=True,
        clients=NODE,
    ),
    Case(
        "exempt",
        "an old one, and a young one that an operator lets through",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "2.0.0",
        exempt="2.0.0",
    ),
    Case(
        "exempt by its name",
        "an old one and a young one, all of it let through",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "2.0.0",
        exempt="2.0.0",
        exempt_by="name",
    ),
    Case(
        "exempt by its SHA256",
        "an old one, and a young one whose bytes are let through",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "2.0.0",
        exempt="2.0.0",
        exempt_by="sha256",
        clients=("pip", "uv", "poetry", "cargo"),
    ),
    Case(
        "exempt no more",
        "an old one, and a young one that was let through for a while",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        exempt="2.0.0",
        is_over=True,
    ),
    Case(
        "blocked",
        "two old ones, the newer blocked by hand",
        {"1.0.0": OLD, "2.0.0": OLD},
        "1.0.0",
        blocked="2.0.0",
    ),
    Case(
        "exempt and blocked",
        "an old one, and a young one that is both",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        exempt="2.0.0",
        blocked="2.0.0",
    ),
    Case(
        "exempt only version",
        "a young one alone, that is let through",
        {"2.0.0": YOUNG},
        "2.0.0",
        exempt="2.0.0",
    ),
    Case(
        "exactly the exempt one",
        "both, the young one let through",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "2.0.0",
        asks="exactly",
        exempt="2.0.0",
    ),
    Case(
        "young prerelease alone",
        "an old one and a young candidate",
        {"1.0.0": OLD, "{1}": YOUNG},
        REFUSED,
        asks="candidates",
        clients=ALL_DATED,  # to Maven any candidate is a version like others
    ),
    Case(
        "yanked and young",
        "an old one and a young one that is yanked",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        yanked="2.0.0",
        clients=("pip", "uv", "poetry", "cargo"),
    ),
    Case(
        "scoped transitive",
        "an old one and a young one of @scope, needed by an old package",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        "1.0.0",
        asks="above",
        is_scoped=True,
        clients=NODE,
    ),
    Case("young only version", "a young one alone", {"2.0.0": YOUNG}, REFUSED),
    Case(
        "young only transitive",
        "a young one alone, needed by an old package",
        {"2.0.0": YOUNG},
        REFUSED,
        asks="above",
    ),
    Case(
        "exactly the young one of @scope",
        "both, of @scope",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        REFUSED,
        asks="exactly",
        is_scoped=True,
        clients=NODE,
    ),
    Case(
        "exactly the blocked one",
        "two old ones, the newer blocked by hand",
        {"1.0.0": OLD, "2.0.0": OLD},
        REFUSED,
        asks="exactly",
        blocked="2.0.0",
    ),
    Case(
        "blocked only version", "an old one alone, blocked by hand", {"2.0.0": OLD}, REFUSED, blocked="2.0.0"
    ),
    Case("exactly the young one", "both", {"1.0.0": OLD, "2.0.0": YOUNG}, REFUSED, asks="exactly"),
    Case(
        "scoped only version",
        "a young one alone, of @scope",
        {"2.0.0": YOUNG},
        REFUSED,
        is_scoped=True,
        clients=NODE,
    ),
    Case("no dates at all", "two without a date", {"1.0.0": None, "2.0.0": None}, REFUSED),
    Case(
        "tag to a young one",
        "a tag `next` to the young one",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        REFUSED,
        asks="tag",
        clients=NODE,
    ),
    Case(
        "pinned by its SHA256",
        "both",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        REFUSED,
        asks="hash",
        clients=("pip", "uv"),
    ),
    Case(
        "by its address",
        "both",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        REFUSED,
        asks="address",
        clients=("pip", "uv", *NODE),
    ),
    Case(
        "lock with the young one",
        "both, the lock written while it was exempt",
        {"1.0.0": OLD, "2.0.0": YOUNG},
        REFUSED,
        asks="lock",
        clients=("poetry", *NODE, "cargo"),
    ),
)


def rows() -> Iterator[tuple[Case, str]]:
    """Each case with each of its clients."""
    for case in CASES:
        for client in case.clients:
            yield case, client
