"""What tests of npm resolution share: a registry in a table, and npm's own resolver to ask the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.models import UpstreamSource
from shared.protocols.npm.resolver.resolve import NpmResolver
from shared.protocols.npm.semver import parse_version
from shared.protocols.resolution import Absent, KnownDocuments, NeededDocuments, Resolution, RootFile
from tests.shared.protocols.npm.support import NPM

Table = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Package → version → what its package.json says beside the two."""

RESOLVER = NpmResolver()
SOURCE = UpstreamSource(id=1, protocol="npm", name="main", url="https://registry.example.com/")
NODE_MODULES = (
    Path(__file__).resolve().parents[5]
    / ".cache"
    / "clients"
    / "npm-11"
    / "node_modules"
    / "npm"
    / "node_modules"
)
ENVIRONMENT = "node20.20.2-linux-x64-glibc"


def packument(name: str, versions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A package as a registry tells of it. A version's key `published` becomes its time; the newest
    release is `latest`, unless the package's entry "tags" says more."""
    found = {}
    times = {}
    for version, manifest in versions.items():
        if version == "tags":
            continue
        about = dict(manifest)
        times[version] = about.pop("published", "2020-01-01T00:00:00.000Z")
        base = f"https://registry.example.com/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        found[version] = {
            "name": name,
            "version": version,
            "dist": {"tarball": base, "integrity": f"sha512-{name}-{version}"},
            **about,
        }
    keys = {version: parsed.key for version in found if (parsed := parse_version(version)) is not None}
    newest = max(keys, key=lambda version: ("-" not in version, keys[version]))
    tags = {"latest": newest, **versions.get("tags", {})}
    return {"name": name, "dist-tags": tags, "versions": found, "time": times}


def page(name: str, versions: Mapping[str, Mapping[str, Any]]) -> Any:
    """The same as resolving reads it."""
    body = json.dumps(packument(name, versions)).encode()
    url = f"https://registry.example.com/{name}"
    document = NPM.documents.read_index(
        f"packument/{name}", SOURCE, url=url, content_type="application/json", body=body
    )
    return RESOLVER.prepare_index(document.body)


def resolve(
    table: Table,
    *requirements: str,
    root: RootFile | None = None,
    known: KnownDocuments | None = None,
    **options: Any,
) -> Resolution:
    """The resolution of requirements out of a table; what the table lacks is unknown to every source."""
    options.setdefault("environment", ENVIRONMENT)
    request = RESOLVER.request(requirements=requirements, artifact="f" * 64 if root else "", **options)
    known = known or KnownDocuments()
    for _ in range(200):
        outcome = RESOLVER.resolve(request, root, known)
        if isinstance(outcome, Resolution):
            return outcome
        assert isinstance(outcome, NeededDocuments)
        wanted = [each for each in outcome.documents if each not in known.documents]
        assert wanted, "it asks for what it has"
        for document in wanted:
            there = document.kind == "index" and document.project in table
            known.documents[document] = (
                page(document.project, table[document.project])
                if there
                else Absent("no source knows this project")
            )
    raise AssertionError("no end")


def tree(resolution: Resolution) -> dict[str, str]:
    """Folder, without its node_modules, → name@version."""
    return {
        place.replace("node_modules/", ""): f"{node.name}@{node.version}"
        for node in resolution.nodes
        for place in node.locations
    }


_SCRIPT = """
const fs = require('fs'), http = require('http'), path = require('path');
const [modules, folder] = process.argv.slice(1);
const Arborist = require(path.join(modules, '@npmcli/arborist'));
const cases = JSON.parse(fs.readFileSync(path.join(folder, 'cases.json')));
process.on('log', () => {});
const server = http.createServer((request, response) => {
  const [, at, name] = decodeURIComponent(request.url).match(/^\\/(\\d+)\\/(.*)$/);
  const found = cases[at].registry[name];
  response.writeHead(found ? 200 : 404, {'content-type': 'application/json'});
  response.end(found ? JSON.stringify(found) : '{}');
});
server.listen(0, '127.0.0.1', async () => {
  const answers = [];
  for (const [at, one] of cases.entries()) {
    const project = path.join(folder, String(at));
    fs.mkdirSync(project, {recursive: true});
    fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify({dependencies: one.dependencies}));
    const arborist = new Arborist({
      path: project, registry: `http://127.0.0.1:${server.address().port}/${at}/`, save: true, audit: false,
      cache: path.join(folder, 'cache'), packumentCache: new Map(), nodeVersion: 'v20.20.2',
      npmVersion: '11.6.0', os: 'linux', cpu: 'x64', libc: 'glibc', fetchRetries: 0,
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


def by_npm(
    cases: Sequence[tuple[Table, Mapping[str, str]]], folder: Path, before: str = ""
) -> list[dict[str, Any]]:
    """What npm's own resolver makes of tables and the dependencies of a project: `tree` or `error`."""
    asked = [
        {
            "registry": {name: packument(name, versions) for name, versions in table.items()},
            "dependencies": dict(dependencies),
            "before": before,
        }
        for table, dependencies in cases
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
