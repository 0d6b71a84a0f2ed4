"""npm's own resolver, asked what Orchard is asked: made-up registries, and where the two differ."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import OrchardError, ResolutionTooLarge
from shared.protocols.npm.resolver.overrides import OverrideFault
from shared.protocols.resolution import Resolution
from tests.shared.protocols.npm.resolver.inner_support import generated_locks
from tests.shared.protocols.npm.resolver.resolution_support import Table, packument, resolve, tarball, tree

Case = tuple[Table, Mapping[str, str], Mapping[str, Any]]
"""A registry, a project's dependencies and its overrides."""

NODE_MODULES = (
    Path(__file__).resolve().parents[5]
    / ".cache"
    / "clients"
    / "npm-11"
    / "node_modules"
    / "npm"
    / "node_modules"
)
_SCRIPT = """
const fs = require('fs'), http = require('http'), path = require('path');
const [modules, folder] = process.argv.slice(1);
const Arborist = require(path.join(modules, '@npmcli/arborist'));
const cases = JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')));
process.on('log', () => {});
const server = http.createServer((request, response) => {
  const [, at, name] = decodeURIComponent(request.url).match(/^\\/(\\d+)\\/(.*)$/);
  const {tarballs, registry} = cases[at];
  if (tarballs[name]) return response.end(Buffer.from(tarballs[name], 'base64'));
  const found = registry[name];
  const base = `http://127.0.0.1:${server.address().port}/${at}/`;
  for (const one of Object.values(found ? found.versions : {}))
    if (tarballs[`${one.name}/${one.version}`]) one.dist.tarball = `${base}${one.name}/${one.version}`;
  response.writeHead(found ? 200 : 404, {'content-type': 'application/json'});
  response.end(found ? JSON.stringify(found) : '{}');
});
server.listen(0, '127.0.0.1', async () => {
  const answers = [];
  for (const [at, one] of cases.entries()) {
    const project = path.join(folder, String(at));
    fs.mkdirSync(project, {recursive: true});
    fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify(
      {dependencies: one.dependencies, overrides: one.overrides}));
    const arborist = new Arborist({
      path: project, registry: `http://127.0.0.1:${server.address().port}/${at}/`, save: true, audit: false,
      cache: path.join(folder, 'cache'), packumentCache: new Map(), nodeVersion: 'v20.20.2',
      npmVersion: '11.6.0', os: 'linux', cpu: 'x64', libc: 'glibc', fetchRetries: 0,
      complete: Object.keys(one.tarballs).length > 0,
      ...(one.before ? {before: new Date(one.before)} : {}),
    });
    try {
      const tree = await arborist.buildIdealTree();
      const found = {};
      for (const node of tree.inventory.values())
        if (node.location && node.package.version)
          found[node.location.replaceAll('node_modules/', '')] = {
            is: `${node.packageName}@${node.version}`, optional: node.optional,
            inert: node.inert, extraneous: node.extraneous};
      answers.push({tree: found});
    } catch (error) { answers.push({error: error.code || String(error)}); }
  }
  console.log(JSON.stringify(answers));
  server.close();
});
"""


def npm_is_there() -> bool:
    return shutil.which("node") is not None and NODE_MODULES.exists()


def by_npm(cases: Sequence[Case], folder: Path, before: str = "") -> list[dict[str, Any]]:
    """What npm's own resolver makes of tables, a project's dependencies and overrides: `tree` or `error`."""
    asked = [
        {
            "registry": {name: packument(name, versions) for name, versions in table.items()},
            "dependencies": dict(dependencies),
            "overrides": dict(overrides),
            "before": before,
            "tarballs": {
                f"{name}/{version}": base64.b64encode(
                    tarball(name, version, about["npm-shrinkwrap"])
                ).decode()
                for name, versions in table.items()
                for version, about in versions.items()
                if "npm-shrinkwrap" in about
            },
        }
        for table, dependencies, overrides in cases
    ]
    (folder / "cases.json").write_text(json.dumps(asked))
    done = subprocess.run(
        ["node", "-e", _SCRIPT, str(NODE_MODULES), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


class Compared(msgspec.Struct):
    """What came of some cases. `finite`: those that have an end."""

    finite: int
    conflicts: int
    differing: list[Any]


def beside_npm(cases: Sequence[Case], folder: Path) -> Compared:
    """All cases resolved by both. What npm calls extraneous may be there or not."""
    outcomes: list[Resolution | Exception] = []
    for table, dependencies, overrides in cases:
        asked = [f"{name}@{wanted}" for name, wanted in dependencies.items()]
        try:
            outcomes.append(resolve(table, *asked, overrides=overrides))
        except (OrchardError, OverrideFault) as error:
            outcomes.append(error)
    # Where Orchard gives up, npm's tree has no end.
    finite = [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, ResolutionTooLarge)]
    found = Compared(len(finite), 0, [])
    for at, theirs in zip(finite, by_npm([cases[at] for at in finite], folder), strict=True):
        ours = outcomes[at]
        if "error" in theirs or isinstance(ours, Exception):
            found.conflicts += 1
            if not ("error" in theirs and isinstance(ours, Exception)):
                found.differing.append((cases[at], theirs, ours))
        elif not _agree(ours, theirs["tree"]):
            found.differing.append((cases[at], theirs, tree(ours)))
    return found


def _agree(ours: Resolution, theirs: Mapping[str, Any]) -> bool:
    every = {place: about["is"] for place, about in theirs.items()}
    needed = {place: is_ for place, is_ in every.items() if not theirs[place]["extraneous"]}
    flags: dict[str, list[bool]] = {}
    for about in theirs.values():
        if not about["extraneous"]:
            flags.setdefault(about["is"], []).append(about["optional"])
    optional = {f"{node.name}@{node.version}": node.optional for node in ours.nodes}
    if not needed.items() <= tree(ours).items() <= every.items():
        return False
    return all(optional[is_] == all(each) for is_, each in flags.items())


def generated(chance: random.Random) -> tuple[Table, dict[str, str]]:
    """A small registry with everything in it, and a project's dependencies."""
    names = list("abcdefgh"[: chance.randint(4, 8)])
    released = ["1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0", "3.0.0", "3.0.0-rc.1"]
    versions = {name: chance.sample(released, chance.randint(1, 4)) for name in names}

    def wish(name: str) -> str:
        version = chance.choice(versions[name])
        texts = (f"^{version}", f"~{version}", version, f">={version}", "*", f"^{version} || ^2", "latest")
        return chance.choices(texts, (50, 10, 10, 10, 8, 9, 3))[0]

    table: dict[str, dict[str, dict[str, Any]]] = {}
    for name in names:
        table[name] = {}
        for version in versions[name]:
            about: dict[str, Any] = {}
            for other in names:
                drawn = chance.random()
                if other == name:
                    continue
                if drawn < 0.22:
                    about.setdefault("dependencies", {})[other] = wish(other)
                elif drawn < 0.27:
                    about.setdefault("peerDependencies", {})[other] = wish(other)
                    if chance.random() < 0.3:
                        about.setdefault("peerDependenciesMeta", {})[other] = {"optional": True}
                elif drawn < 0.31:
                    about.setdefault("optionalDependencies", {})[other] = wish(other)
                elif drawn < 0.33:
                    about.setdefault("dependencies", {})[f"{other}-alias"] = f"npm:{other}@{wish(other)}"
            if chance.random() < 0.05:
                about["deprecated"] = "old"
            if chance.random() < 0.05:
                about["engines"] = {"node": ">=22"}
            table[name][version] = about
    return table, {name: wish(name) for name in chance.sample(names, chance.randint(1, 3))}


def generated_overrides(
    chance: random.Random, table: Table, dependencies: Mapping[str, str]
) -> dict[str, Any]:
    """Rules for a generated registry, one in another up to three deep."""
    names = sorted(table)

    def rules(depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in chance.sample(names, chance.randint(1, 2)):
            version = chance.choice(sorted(table[name]))
            if depth == 0 and name in dependencies:
                value: Any = chance.choice((f"${name}", dependencies[name]))
            else:
                ref = f"${chance.choice(sorted(dependencies))}"
                value = chance.choices((version, f"^{version}", "*", ref), (8, 4, 1, 1))[0]
            over = chance.choice(sorted(table[name]))
            key = chance.choices((name, f"{name}@^{over}", f"{name}@{over}"), (6, 3, 1))[0]
            if depth < 2 and chance.random() < 0.4:
                inner = rules(depth + 1)
                value = {".": value, **inner} if chance.random() < 0.4 else inner
            found[key] = value
        return found

    return rules(0)


def main(seed: int, count: int, what: str = "overrides") -> None:
    """Print how many of some generated registries come out otherwise, with generated overrides or (`what`
    "locks") with packages that bring a lock of their own."""
    chance = random.Random(seed)
    cases: list[Case] = []
    for _ in range(count):
        table, dependencies = generated(chance)
        if what == "locks":
            cases.append((generated_locks(chance, table), dependencies, {}))
        else:
            cases.append((table, dependencies, generated_overrides(chance, table, dependencies)))
    with tempfile.TemporaryDirectory() as folder:
        found = beside_npm(cases, Path(folder))
    crashed = sum(_is_crash(theirs) for _, theirs, _ in found.differing)
    print(
        f"seed {seed}: {found.finite} with an end, {found.conflicts} conflicts;"
        f" {len(found.differing)} differ, on {crashed} of which npm crashed"
    )


def _is_crash(theirs: Mapping[str, Any]) -> bool:
    return str(theirs.get("error", "")).startswith(("TypeError", "RangeError", "Error:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
