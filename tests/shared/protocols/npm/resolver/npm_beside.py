"""npm's own resolver, asked what Orchard is asked: made-up registries, and where the two differ."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import OrchardError, ResolutionTooLarge
from shared.protocols.npm.lock_marks import mark
from shared.protocols.npm.package_json import dependencies_of, entry_fields, read_package_json
from shared.protocols.npm.resolver.overrides import OverrideFault
from shared.protocols.npm.resolver.projects import project_of_manifest
from shared.protocols.resolution import Resolution
from tests.shared.protocols.npm.resolver.inner_support import generated_locks
from tests.shared.protocols.npm.resolver.resolution_support import Table, packument, resolve, tarball, tree

Case = tuple[Table, Mapping[str, str], Mapping[str, Any]]
"""A registry, a project's dependencies and its overrides."""

Whole = tuple[Table, Mapping[str, Any]]
"""A registry, and a project's package.json."""

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
    const {members = {}, ...own} = one.manifest;
    if (Object.keys(members).length) own.workspaces = Object.keys(members);
    fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify(own));
    for (const [folder, about] of Object.entries(members)) {
      fs.mkdirSync(path.join(project, folder), {recursive: true});
      fs.writeFileSync(path.join(project, folder, 'package.json'), JSON.stringify(about));
    }
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
        if (node.location && node.package.version && !(node.location in members) && !node.target.isWorkspace)
          found[node.location.replaceAll('node_modules/', '')] = {
            is: `${node.packageName}@${node.version}`, optional: node.optional,
            inert: node.inert, extraneous: node.extraneous, dev: node.dev, peer: node.peer,
            devOptional: node.devOptional && !node.dev && !node.optional};
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
    manifests = [
        (table, {"dependencies": dict(dependencies), "overrides": dict(overrides)})
        for table, dependencies, overrides in cases
    ]
    return of_manifests_by_npm(manifests, folder, before)


def of_manifests_by_npm(cases: Sequence[Whole], folder: Path, before: str = "") -> list[dict[str, Any]]:
    """The same of whole manifests of projects."""
    asked = [
        {
            "registry": {name: packument(name, versions) for name, versions in table.items()},
            "manifest": manifest,
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
        for table, manifest in cases
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


Marks = dict[str, set[str]]
_MARKS = ("dev", "optional", "devOptional", "peer")


class Compared(msgspec.Struct):
    """What came of some cases. `finite`: those that have an end."""

    finite: int
    conflicts: int
    differing: list[Any]


def beside_npm(cases: Sequence[Case], folder: Path) -> Compared:
    """All cases resolved by both. What npm calls extraneous may be there or not."""

    def ours(at: int) -> Resolution:
        table, dependencies, overrides = cases[at]
        asked = [f"{name}@{wanted}" for name, wanted in dependencies.items()]
        return resolve(table, *asked, overrides=overrides)

    return _compare(cases, ours, lambda some: by_npm(some, folder), lambda at, found: {})


def manifests_beside_npm(cases: Sequence[Whole], folder: Path) -> Compared:
    """The same of whole manifests, and the marks of a package-lock.json."""

    def ours(at: int) -> Resolution:
        return resolve_manifest(*cases[at])

    def marks(at: int, found: Resolution) -> Marks:
        return marks_of(*cases[at], found)

    return _compare(cases, ours, lambda some: of_manifests_by_npm(some, folder), marks)


def resolve_manifest(table: Table, manifest: Mapping[str, Any]) -> Resolution:
    """What a project with this package.json is resolved to."""
    members = _members(manifest)
    read = read_package_json(json.dumps({**manifest, "members": None}))
    asked = [f"{each.name}@{each.text}" for each in dependencies_of(read)]
    return resolve(table, *asked, project=project_of_manifest(read, members))


def _members(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = manifest.get("members", {})
    return {folder: read_package_json(json.dumps(about)) for folder, about in found.items()}


def marks_of(table: Table, manifest: Mapping[str, Any], found: Resolution) -> Marks:
    """The marks of each folder, as `tree` names folders."""
    packages: dict[str, dict[str, Any]] = {"": read_package_json(json.dumps(manifest))}
    for node in found.nodes:
        fields = entry_fields(table[node.name][node.version], node.name)
        packages |= {place: dict(fields) for place in node.locations}
    members = _members(manifest)
    for folder, about in members.items():
        packages[folder] = dict(about)
        packages[f"node_modules/{about['name']}"] = {"resolved": folder, "link": True}
    mark(packages)
    return {
        place.replace("node_modules/", ""): {name for name in _MARKS if entry.get(name)}
        for place, entry in packages.items()
        if place and place not in members and not entry.get("link")
    }


def _compare(
    cases: Sequence[Any],
    ours: Callable[[int], Resolution],
    theirs: Callable[[Sequence[Any]], list[dict[str, Any]]],
    marks: Callable[[int, Resolution], Marks],
) -> Compared:
    outcomes: list[Resolution | Exception] = []
    for at in range(len(cases)):
        try:
            outcomes.append(ours(at))
        except (OrchardError, OverrideFault) as error:
            outcomes.append(error)
    # Where Orchard gives up, npm's tree has no end.
    finite = [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, ResolutionTooLarge)]
    found = Compared(len(finite), 0, [])
    for at, answer in zip(finite, theirs([cases[at] for at in finite]), strict=True):
        outcome = outcomes[at]
        if "error" in answer or isinstance(outcome, Exception):
            found.conflicts += 1
            if not ("error" in answer and isinstance(outcome, Exception)):
                found.differing.append((cases[at], answer, outcome))
        elif not _agree(outcome, answer["tree"]):
            found.differing.append((cases[at], answer, tree(outcome)))
        else:
            differ = {
                place: (own, answer["tree"][place])
                for place, own in marks(at, outcome).items()
                if own != {name for name in _MARKS if answer["tree"][place][name]}
                and not answer["tree"][place]["extraneous"]  # npm writes this mark alone
            }
            if differ:
                found.differing.append((cases[at], differ, tree(outcome)))
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


def generated_manifest(chance: random.Random, table: Table | None = None) -> Whole:
    """A small registry, and a package.json with dependencies of all kinds, some in two groups."""
    table = table or generated(chance)[0]
    groups = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
    manifest: dict[str, Any] = {"name": "made-up", "version": "1.0.0"}
    for name in chance.sample(sorted(table), chance.randint(2, 4)):
        for group in chance.choices(groups, (4, 4, 2, 3), k=chance.choice((1, 1, 1, 1, 2))):
            version = chance.choice(sorted(table[name]))
            wanted = chance.choices((f"^{version}", version, "*", f">={version}"), (6, 1, 1, 2))[0]
            manifest.setdefault(group, {})[name] = wanted
            if group == "peerDependencies" and chance.random() < 0.3:
                manifest.setdefault("peerDependenciesMeta", {})[name] = {"optional": True}
    return table, manifest


def generated_workspaces(chance: random.Random) -> Whole:
    """The same with members, some of which depend on one another or have the name of a package."""
    table, manifest = generated_manifest(chance)
    names = chance.sample(["a0", "one", "two", "zed"], chance.randint(1, 3))
    manifest["members"] = members = {}
    for name in names:
        about = generated_manifest(chance, table)[1]
        about |= {"name": name, "version": chance.choice(("1.0.0", "2.0.0"))}
        for other in names:
            if other != name and chance.random() < 0.4:
                group = chance.choice(("dependencies", "devDependencies", "peerDependencies"))
                wanted = chance.choice(("*", "^1.0.0", "^2.0.0") if other in table else ("*", ">=1"))
                about.setdefault(group, {})[other] = wanted
        for group in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
            about.get(group, {}).pop(name, None)
        members[f"packages/{name}"] = about
    return table, manifest


def main(seed: int, count: int, what: str = "overrides") -> None:
    """Print how many of some generated registries come out otherwise, with generated overrides or (`what`
    "locks") with packages that bring a lock of their own, or ("manifests", "workspaces") for whole
    package.json files."""
    chance = random.Random(seed)
    if what in ("manifests", "workspaces"):
        make = generated_manifest if what == "manifests" else generated_workspaces
        wholes = [make(chance) for _ in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            _print(seed, manifests_beside_npm(wholes, Path(folder)))
        return
    cases: list[Case] = []
    for _ in range(count):
        table, dependencies = generated(chance)
        if what == "locks":
            cases.append((generated_locks(chance, table), dependencies, {}))
        else:
            cases.append((table, dependencies, generated_overrides(chance, table, dependencies)))
    with tempfile.TemporaryDirectory() as folder:
        _print(seed, beside_npm(cases, Path(folder)))


def _print(seed: int, found: Compared) -> None:
    crashed = sum(_is_crash(theirs) for _, theirs, _ in found.differing)
    print(
        f"seed {seed}: {found.finite} with an end, {found.conflicts} conflicts;"
        f" {len(found.differing)} differ, on {crashed} of which npm crashed"
    )


def _is_crash(theirs: Mapping[str, Any]) -> bool:
    return str(theirs.get("error", "")).startswith(("TypeError", "RangeError", "Error:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
