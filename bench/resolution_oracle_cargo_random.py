"""`python -m bench.resolution_oracle_cargo_random [SEED] [--cases N]`: made-up registries, locked by both.

Real roots seldom show what happens with rival versions, yanks, `links`, prereleases, or features that ask
for what is not there. Each case is a registry of 5 to 30 entangled crates on loopback and one package;
compared is the set of locked packages, or that both refuse.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from bench.harness.cargo_lock import by_cargo, by_resolver, manifest, serve

VERSIONS = (
    "0.0.1", "0.0.2", "0.1.0", "0.1.1", "0.1.2", "0.2.0", "1.0.0", "1.0.1", "1.1.0", "1.1.0+build.2",
    "1.2.0", "1.3.0", "2.0.0", "2.1.0", "3.0.0",
)  # fmt: skip
EARLY = ("0.2.1-alpha.1", "1.2.0-beta.1", "1.2.0-beta.2", "1.4.0-beta.3", "2.0.0-rc.1", "3.1.0-0")
FEATURES = ("default", "std", "extra", "full", "net")
RUST = ("1.60", "1.70", "1.70.1", "1.80", "1.85", "1")
WORK = Path(__file__).resolve().parent / ".work" / "run"


class Made:
    """One made-up registry and a package's requirements, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = [
            self.random.choice("abcdef") + self.random.choice(("-", "_", "", "X", "-X")) + str(number)
            for number in range(self.random.randint(5, 30))
        ]
        most = self.random.choice((1, 2, 3, 4, 6, 12))
        self.busy = self.random.choice((4, 4, 6))  # dependencies of one version, at most
        self.versions = {
            name: self.random.sample(VERSIONS, self.random.randint(1, most))
            + self.random.sample(EARLY, self.random.choice((0, 0, 0, 1)))
            for name in self.names
        }
        # What most versions of a crate offer; what only some do is asked for less often.
        self.offers = {name: self.random.sample(FEATURES, self.random.randint(0, 4)) for name in self.names}
        self.strict = self.random.choice((0.0, 0.1, 0.3, 0.6))  # how often a requirement is narrow
        self.wild = self.random.choice((0.0, 0.0, 0.02, 0.1))  # how often something does not fit at all
        self.rust = self.random.choice(("", "", "", "1.70", "1.80"))
        self.files = {}
        for name in reversed(self.names):
            lines = [json.dumps(self._entry(name, version)) for version in self.versions[name]]
            self.random.shuffle(lines)
            self.files[name.lower()] = "".join(line + "\n" for line in lines).encode()
        self.requirements = self._roots()

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _requirement(self, name: str) -> str:
        version = self.random.choice(self.versions[name]).partition("+")[0]
        if self._chance(self.strict):
            major, minor, _ = version.partition("-")[0].split(".")
            return self.random.choice((
                f"={version}", f"~{version}", f"<{version}, >=0.0.1", f"<={version}", f"={major}.{minor}",
                f"~{major}", f">={version}, <{int(major) + 1}",
            ))  # fmt: skip
        if self._chance(self.wild):
            return self.random.choice(("^9", "=0.0.7", ">5"))
        return self.random.choice((f"^{version}", version, f"^{version}", f">={version}", "*", ">=0.0.1"))

    def _dependency(self, among: list[str], at: int) -> dict[str, Any]:
        name = self.random.choice(among)
        wanted = [each for each in self.offers[name] if self._chance(0.25) and each != "default"]
        if self._chance(self.wild):
            wanted.append(self.random.choice((*FEATURES, "nothing")))
        found: dict[str, Any] = {
            "name": name,
            "req": self._requirement(name),
            "features": wanted,
            "optional": self._chance(0.35),
            "default_features": self._chance(0.7),
            "target": self.random.choice((None, None, None, 'cfg(target_os = "hermit")')),
            "kind": self.random.choice(("normal", "normal", "normal", "normal", "build", "dev")),
        }
        if self._chance(0.1):
            found |= {"name": f"renamed{at}", "package": name}
        if found["kind"] == "dev":
            found["optional"] = False
        return found

    def _entry(self, name: str, version: str) -> dict[str, Any]:
        later = self.names[self.names.index(name) + 1 :]
        among = self.names if self._chance(self.wild) or not later else later
        count = self.random.randint(0, self.busy) if later or self._chance(self.wild) else 0
        deps = [self._dependency(among, at) for at in range(count)]
        table, second = self._features(name, deps)
        entry: dict[str, Any] = {
            "name": name,
            "vers": version,
            "deps": deps,
            "cksum": hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
            "features": table,
            "yanked": self._chance(0.08),
        }
        if second:
            entry |= {"features2": second, "v": 2}
        if self._chance(0.02):
            entry["v"] = 3
        if self._chance(0.06):
            entry["links"] = self.random.choice(("z", "ssl"))
        if self._chance(0.5):
            entry["rust_version"] = self.random.choice(RUST)
        return entry

    def _features(
        self, crate: str, deps: list[dict[str, Any]]
    ) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Both tables. Values that the syntax of 2021 added are in the second."""
        names = [each for each in self.offers[crate] if not self._chance(self.wild)]
        tables: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        hidden = {each["name"] for each in deps if each["optional"] and self._chance(0.4)} if names else set()
        for at, name in enumerate(names):
            new = self._chance(0.4) or (hidden and at == 0)
            values = [each for each in names[at + 1 :] if self._chance(0.4)]
            values += [f"dep:{each}" for each in sorted(hidden) if new and (at == 0 or self._chance(0.4))]
            for each in deps:
                offered = self.offers.get(each.get("package", each["name"]), [])
                feature = self.random.choice(offered or FEATURES)
                if (offered or self._chance(self.wild)) and self._chance(0.3):
                    weak = each["optional"] and self._chance(0.5)
                    values.append(f"{each['name']}{'?' * weak}/{feature}")
                if each["optional"] and each["name"] not in hidden and self._chance(0.4):
                    values.append(each["name"])
            if self._chance(self.wild / 4):
                values.append(self.random.choice(("nowhere", name)))
            tables[1 if new else 0][name] = values
        return tables

    def _roots(self) -> list[str]:
        names = self.random.sample(self.names, min(len(self.names), self.random.choice((1, 1, 2, 3, 4))))
        made = []
        for name in names:
            wanted = [each for each in self.offers[name] if self._chance(0.4)]
            made.append(
                f"{name}@{self._requirement(name)}"
                + (" --no-default-features" if self._chance(0.2) else "")
                + (f" --features {','.join(wanted)}" if wanted else "")
            )
        return made


def run(seed: int, cases: int, *, verbose: bool) -> int:
    """Exit code: 1 when a case differs."""
    work = WORK / "cargo-random"
    shutil.rmtree(work, ignore_errors=True)
    files: dict[str, bytes] = {}
    same = refused = 0
    ours_seconds = 0.0
    different = []
    with serve(lambda project: files.get(project)) as address:
        for case in range(seed, seed + cases):
            made = Made(case)
            files.clear()
            files.update(made.files)
            text = manifest(made.requirements, rust=made.rust)
            theirs, said = by_cargo(work / "project", work / "home", text, index_url=address)
            started = time.monotonic()
            ours, why = by_resolver(files.get, made.requirements, rust=made.rust)
            ours_seconds += time.monotonic() - started
            refused += theirs is None
            same += ours == theirs
            if ours != theirs:
                different.append(case)
                only = (
                    sorted((theirs or set()) - (ours or set())),
                    sorted((ours or set()) - (theirs or set())),
                )
                print(f"DIFFERS case {case}: cargo only {only[0]}, orchard only {only[1]}")
                print("   ", (said or "it locked").replace("\n", "\n    "), "\n   ", why or "it resolved")
            elif verbose:
                print(case, len(ours or ()), made.requirements, why)
    shutil.rmtree(work, ignore_errors=True)
    print(
        f"{same} of {cases} made-up registries agree with cargo (both refuse: {refused});"
        f" ours {1000 * ours_seconds / cases:.1f} ms each; differing: {different[:20]}"
    )
    return 1 if different else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.resolution_oracle_cargo_random", description=__doc__
    )
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sys.exit(run(options.seed, options.cases, verbose=options.verbose))
