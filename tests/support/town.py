"""A town of packages for the pages for people: an Orchard that has served some, with all that pages can show.

`hostile`: the same with markup wherever text comes from elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from shared.objects.measured import KEY, Amount, Measured
from shared.postgres.connection import Session, session
from shared.queue.jobs import FetchIndex
from shared.queue.keys import DeadLetter, dead_key, encode_job
from tests.support.builders import build_sdist, build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Repository
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Reply, Upstream

DAY = 86_400.0
MARK = "<script>alert('orchard')</script><img src=x onerror=alert(1)>\"'&"
"""What no page may take for its own."""

SETTINGS = {"ORCHARD_NOTHING_AFTER": "2099-01-01"}
"""Of the town's Orchard: a rule that is in force and holds nothing back."""

POLICY = """
[[rule]]
name = "licences"
protocols = ["npm", "pypi"]
licences = {deny = ["AGPL-3.0-only", "SSPL-1.0"]}

[[rule]]
name = "what the language has itself"
protocols = ["npm"]
names = ["left-pad", "is-odd"]
refuse = true
action = "warn"
reason = %s

[[rule]]
name = "conditions"
protocols = ["cargo"]
when = "scripts && size_bytes > 1000000"
"""

_EVENT = """
INSERT INTO events (kind, protocol, project, filename, detail, detail_digest, count, last_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, now() - $8 * interval '1 second')
"""

_QUARANTINED = """
INSERT INTO quarantine (protocol, project, file_id, filename, version, sha256, advisory, since)
SELECT protocol, project, file_id, filename, '3.1.3', sha256, 'MAL-0000-1' || $1, now() - interval '2 days'
FROM cached_urls WHERE project = 'werkzeug' AND role = 'file' LIMIT 1
"""

_HELD = """
INSERT INTO held_versions (protocol, project, version, rule, why, published, until, change) VALUES
('pypi', 'werkzeug', '99.0.0', 'nothing_after', 'published after 2099-01-01' || $1, 4102444800, 0, $2::jsonb)
"""

_HOSTILE = (
    "INSERT INTO packages (protocol, name, owner) SELECT 'pypi', 'evil' || $1 || repeat('y', 180), owner FROM"
    " packages LIMIT 1",
    "INSERT INTO audit (who, action, target, after) VALUES"
    " (left($1, 60), left($1, 60), $1, jsonb_build_object($1, $1 || repeat('y', 180)))",
    "UPDATE upstream_sources SET name = left(name || $1 || repeat('y', 180), 120) WHERE protocol = 'cargo'",
    "UPDATE artifacts SET extraction_reason = $1 || repeat('y', 180), requires_python = $1",
    "UPDATE cached_urls SET upstream_url = upstream_url || $1 || repeat('y', 180)",
    "UPDATE artifact_dependencies SET requirement = requirement || $1",
    "UPDATE serving_clients SET tool = left($1, 60), token = $1",
)


def build(orchard: Cluster, upstream: Upstream, token: str, *, mark: str = "") -> dict[str, str]:
    """Publishes, installs, decides. Returns the `sha256` of a stored file, the id of a `build`, the key of a
    `lock`. `mark` is put into every text that others write."""
    pypi(
        upstream,
        "flask",
        ["2.3.3", "3.0.0", "3.0.3", "3.1.0"],
        mark,
        requires=["werkzeug>=3", "click>=8.1.3"],
    )
    pypi(upstream, "werkzeug", ["3.0.4", "3.1.3"], mark)
    pypi(upstream, "click", ["8.1.7", "8.1.8"], mark)
    upstream.add_project(
        "setuptools", {"setuptools-80.0-py3-none-any.whl": build_wheel("setuptools", "80.0")}
    )
    upstream.add_project("from-source", {"from_source-1.0.tar.gz": build_sdist("from-source", "1.0")})
    publish(
        upstream,
        "left-pad",
        {"1.2.0": {}, "1.3.0": {"deprecated": f"use String.prototype.padStart {mark}", **_said(mark)}},
        time={"1.2.0": "2016-03-22T00:00:00.000Z", "1.3.0": "2018-04-09T01:34:53.000Z"},
    )
    publish(upstream, "@example/button", {"4.2.0": {"dependencies": {"left-pad": "^1.2.0"}}})
    repository = Repository(upstream)
    jar = repository.add("org.example", "library", "1.4", size_bytes=90_000)
    repository.add_metadata("org.example", "library", ["1.3", "1.4"])
    fixed = repository.add("org.example", "fixed", "4.13.2")  # whose list of versions nobody asks for
    Registry(upstream).add("serde-like", "1.0.0", size_bytes=40_000)
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=orchard.gateway.base, headers=headers, trust_env=False, timeout=60) as client:
        files = _install(client, jar, fixed)
        sha256 = files["flask"]
        wait_until(
            lambda: client.get(f"/api/v1/artifacts/{sha256}").json()["extraction_state"] == "extracted",
            seconds=150,
            what="the extraction",
        )
        _decide(client, upstream.url, mark)
        lock = _ensure(client)
        build_id = _record(client, mark)
    asyncio.run(_rows(orchard, mark))
    _letters(orchard, mark)
    return {"sha256": sha256, "build": build_id, "lock": lock}


def _said(mark: str) -> dict[str, Any]:
    """What its publisher says of a version, with an address that no page may lead to."""
    return {
        "description": f"Pads on the left {mark}",
        "license": f"WTFPL {mark}",
        "homepage": f"https://left-pad.example.com/{quote(mark)}",
        "repository": {"type": "git", "url": "javascript:alert(1)"},
        "maintainers": [{"name": f"somebody {mark}"}],
    }


def pypi(
    upstream: Upstream, name: str, versions: Sequence[str], mark: str, requires: Sequence[str] = ()
) -> None:
    """A project with dates, sizes, one yanked file."""
    wheels = {
        f"{name}-{version}-py3-none-any.whl": build_wheel(name, version, requires=requires, size_bytes=60_000)
        for version in versions
    }
    page = upstream.add_project(name, wheels)
    reply = upstream.reply(page)
    document = json.loads(reply.body)
    for place, file in enumerate(document["files"]):
        age = (len(versions) - place) * 40 * DAY
        file["upload-time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
        if place == 1:
            file["yanked"] = f"breaks on Windows {mark}"
    upstream.put(page, Reply(json.dumps(document).encode(), reply.content_type))


def _install(client: httpx.Client, *jars: str) -> dict[str, str]:
    found = {}
    accept = {"accept": "application/vnd.pypi.simple.v1+json"}
    for name in ("flask", "werkzeug", "click"):
        for _ in range(6):
            page = client.get(f"/pypi/simple/{name}/", headers=accept)
        file = page.json()["files"][-1]
        for _ in range(3):
            assert client.get(str(page.url.join(file["url"]))).status_code == 200
        found[name] = file["hashes"]["sha256"]
    for path in (
        "/npm/left-pad",
        "/npm/left-pad/-/left-pad-1.3.0.tgz",
        "/npm/@example/button",
        "/npm/@example/button/-/button-4.2.0.tgz",
        "/maven/org/example/library/maven-metadata.xml",
        *(f"/maven/{jar}" for jar in jars),
        "/cargo/se/rd/serde-like",
        "/cargo/dl/serde-like/1.0.0/download",
    ):
        for _ in range(2):
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
    return found


def _decide(client: httpx.Client, upstream: str, mark: str) -> None:
    def post(path: str, body: Mapping[str, Any], status: int = 201) -> None:
        answer = client.post(f"/api/v1/admin/{path}", json=body)
        assert answer.status_code == status, answer.text

    post("blocks", {"protocol": "npm", "name": "left-pad", "version": "1.2.0", "reason": f"broken {mark}"})
    post("blocks", {"protocol": "pypi", "name": "flsak", "reason": f"a trap for typing errors {mark}"})
    post("exemptions", {"of": "pkg:pypi/click@8.1.8", "reason": f"needed today {mark}", "expires": "7d"})
    post("policy", {"policy": POLICY % json.dumps(f"nobody should need it {mark}"), "yes": True}, 200)
    hook = {"name": "siem", "url": f"{upstream}/in", "types": ["orchard.block.*"], "allow_private": True}
    post("webhooks", hook)
    post("tokens", {"name": "ci", "scope": "read", "owner": f"the builders {mark}", "protocols": ["npm"]})


def _ensure(client: httpx.Client) -> str:
    body = '[pypi]\nrequirements = ["flask==3.1.0", "from-source"]\n'
    wait_until(
        lambda: client.post("/api/v1/ensure", content=body).status_code == 200, seconds=150, what="the lock"
    )
    return str(client.post("/api/v1/ensure", content=body).json()["key"])


def _record(client: httpx.Client, mark: str) -> str:
    made = client.post("/api/v1/builds", json={"name": f"nightly {mark}"})
    assert made.status_code == 201, made.text
    for path in ("/pypi/simple/flask/", "/npm/left-pad"):
        assert client.get(made.json()["base"] + path).status_code == 200
    return str(made.json()["id"])


async def _rows(orchard: Cluster, mark: str) -> None:
    """What takes an upstream's misbehaviour, or a long time, to come about."""
    async with session(orchard.database_url) as database:
        while not await database.fetch("SELECT FROM servings_daily LIMIT 1"):
            await asyncio.sleep(0.1)  # the ledger is stored within seconds
        await _events(database, mark)
        await database.fetch(_QUARANTINED, mark)
        change = {"since": "3.1.3", "dependencies": ["left-pad"], "maintainers": [f"somebody else {mark}"]}
        await database.fetch(_HELD, mark, json.dumps(change))
        if mark:
            for statement in _HOSTILE:
                await database.fetch(statement, mark)


async def _events(database: Session, mark: str) -> None:
    found = await database.fetch(
        "SELECT project, filename, encode(sha256, 'hex') AS sha256 FROM cached_urls"
        " WHERE project = 'werkzeug' AND role = 'file'"
    )
    row, long = found[0], "y" * 180 if mark else ""
    changed = {"sealed_sha256": row["sha256"], "upstream_sha256": "ab" * 32, "source": f"pypi{mark}"}
    for kind, project, filename, detail, count, age in (
        ("upstream_mutated", row["project"], row["filename"], changed, 3, 1800),
        (
            "source_shadowed",
            f"corp-lib{mark}{long}",
            f"{long}.whl" if mark else "",
            {"owner": "corp", "also_at": f"pypi{mark}{long}"},
            41,
            3 * DAY,
        ),
        ("empty_index", "tomllib", "", {"source": "pypi"}, 1, 9 * DAY),
        ("malware_stored", row["project"], row["filename"], {"advisory": f"MAL-0000-1{mark}"}, 1, 2 * DAY),
    ):
        text = json.dumps(detail)
        digest = hashlib.sha256(text.encode()).digest()
        await database.fetch(_EVENT, kind, "pypi", project, filename, text, digest, count, float(age))


def _letters(orchard: Cluster, mark: str) -> None:
    job = FetchIndex(protocol="pypi", identity=f"simple/heavy{mark}")
    letter = DeadLetter(
        job.id, f"its worker was killed three times {mark}", 3, time.time() - 7200, encode_job(job)
    )
    with orchard.client(orchard.queue) as queue:
        queue.lpush(dead_key("index"), msgspec.json.encode(letter))
        for day in range(8, 0, -1):
            folders = {"artifacts": Amount(400 - day, (90 - day) * 10**8), "documents": Amount(80, 10**7)}
            queue.lpush(KEY, msgspec.json.encode(Measured(time.time() - day * DAY, folders, 10**8)))
