"""What the cases come to: each on a registry of its own, asked for by each client once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import httpx

from shared.protocols import protocol_named
from tests.clients.aged.cases import CASES, CLIENTS, Ages, Case
from tests.clients.aged.installers import INSTALLERS, Installer
from tests.firewall.feeds import purl_of
from tests.firewall.shelves import DAY, OLD, NewShelf, Shelf, moment, new_shelves
from tests.support.builders import build_wheel
from tests.support.cargo_builders import Registry
from tests.support.maven_builders import Dep, Repository
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = {"authorization": "Bearer operators-token-of-tests"}
_NEWEST = {"npm": "latest", "mvn": "RELEASE", "Gradle": "latest.release"}


class Outcome(NamedTuple):
    """Of one row."""

    done: CompletedProcess[str]
    versions: set[str]


class Table:
    """Of one Orchard. All that must work are in one project of a client."""

    def __init__(self, orchard: Cluster, upstream: Upstream, folder: Path) -> None:
        self.orchard, self.upstream, self.folder = orchard, upstream, folder
        self.new: NewShelf = new_shelves(orchard, upstream)
        self._stocked: dict[str, dict[str, Shelf]] = {}
        self._above: dict[tuple[str, str], Shelf] = {}  # by protocol and case
        self._together: dict[str, tuple[Installer, CompletedProcess[str]]] = {}
        self._locked: dict[str, dict[str, Installer]] = {}

    def outcome(self, case: Case, client: str) -> Outcome:
        shelf = self.shelf(case, client)
        if case.asks == "lock":
            installer = self._locks(case, INSTALLERS[client].protocol)[client]
            return Outcome(installer.again(), installer.has(name_of(shelf)))
        if case.is_alone:
            installer = self._installer(client, case.name)
            done = installer.install(self._wanted(case, client))
        else:
            installer, done = self._all_that_work(client)
        return Outcome(done, installer.has(name_of(shelf)))

    def shelf(self, case: Case, client: str) -> Shelf:
        """Where the case's package lies for this client."""
        protocol = CLIENTS[client]
        if protocol not in self._stocked:
            self._stocked[protocol] = self._stock(protocol)
        return self._stocked[protocol][case.name]

    def given(self, shelf: Shelf, version: str) -> int:
        """How often Orchard gave out a version's file, or a part of it."""
        ends = {shelf.file(version), *(shelf.beside(version) if shelf.protocol == "maven" else ())}
        count = 0
        for line in self.orchard.logs().splitlines():
            if '"event":"request"' in line and '"method":"GET"' in line:
                said = json.loads(line)
                count += said["path"] in ends and said["status"] in (200, 206)
        return count

    # --- clients ----------------------------------------------------------------------------------

    def _installer(self, client: str, what: str) -> Installer:
        folder = self.folder / client.replace(" ", "-") / what.replace(" ", "-")
        return INSTALLERS[client](folder, self.orchard)

    def _all_that_work(self, client: str) -> tuple[Installer, CompletedProcess[str]]:
        if client not in self._together:
            wanted: dict[str, str] = {}
            for case in CASES:
                if client in case.clients and not case.is_alone:
                    wanted |= self._wanted(case, client)
            installer = self._installer(client, "together")
            self._together[client] = installer, installer.install(wanted)
        return self._together[client]

    def _wanted(self, case: Case, client: str) -> Mapping[str, str]:
        shelf, kind = self.shelf(case, client), INSTALLERS[client]
        name, exactly = name_of(shelf), kind.exactly.format(case.wants)
        if case.asks == "above":
            return {name_of(self._above[kind.protocol, case.name]): kind.exactly.format("1.0.0")}
        if case.asks == "tag":
            return {name: (case.wants and "next") or _NEWEST.get(client) or _NEWEST[kind.protocol]}
        if case.asks == "hash":
            sha256 = hashlib.sha256(shelf.data[case.wants]).hexdigest()
            return {name: f"{exactly} --hash=sha256:{sha256}"}
        if case.asks == "address":
            address = self.orchard.url(shelf.file(case.wants))
            return {name: f" @ {address}" if kind.protocol == "pypi" else address}
        asked = {"any": kind.any_version, "candidates": kind.candidates}
        return {name: asked.get(case.asks, exactly)}

    def _locks(self, case: Case, protocol: str) -> Mapping[str, Installer]:
        """Clients with a lock that was written while the young version was exempt, which it is no more."""
        if protocol not in self._locked:
            made: dict[str, Installer] = {}
            shelf = self._stocked[protocol][case.name]
            number = self._exempt(shelf, case.wants)
            for client in case.clients:
                kind = INSTALLERS[client]
                if kind.protocol == protocol:
                    made[client] = self._installer(client, case.name)
                    done = made[client].install({name_of(shelf): kind.exactly.format(case.wants)})
                    assert done.returncode == 0, done.stdout + done.stderr
                    assert made[client].has(name_of(shelf)) == {case.wants}
            self._end(shelf, number, case.wants)
            file = shelf.file(case.wants)
            wait_until(lambda: shelf.get(file).status_code == 403, seconds=60, what="the exemption's end")
            self._locked[protocol] = made
        return self._locked[protocol]

    # --- what the registry has --------------------------------------------------------------------

    def _stock(self, protocol: str) -> dict[str, Shelf]:
        found: dict[str, Shelf] = {}
        for case in CASES:
            if not any(CLIENTS[client] == protocol for client in case.clients):
                continue
            shelf = found[case.name] = self.new("npm, scoped" if case.is_scoped else protocol)
            if case.asks == "tag" and case.wants:
                shelf.tags = {"next": case.wants}  # type: ignore[attr-defined]
            shelf.put(_seconds(case.ages_in(protocol, case.before or case.ages)))
            if case.asks == "above":
                self._above[protocol, case.name] = self._needing(shelf)
            if case.yanked:
                _yank(shelf, case.yanked)
            assert shelf.get(shelf.page).status_code == 200
        for name, shelf in found.items():
            case = next(each for each in CASES if each.name == name)
            if case.before:
                self._change(case, shelf)
            if case.exempt:
                number = self._exempt(shelf, case.exempt, case.exempt_by)
                if case.is_over:
                    self._end(shelf, number, case.exempt)
            if case.blocked:
                self._block(shelf, case.blocked)
        return found

    def _change(self, case: Case, shelf: Shelf) -> None:
        if case.reuploaded:
            shelf.data[case.reuploaded] = build_other(shelf.data[case.reuploaded])
        shelf.put(_seconds(case.ages_in(shelf.protocol, case.ages)))
        address = f"/api/v1/versions/{shelf.protocol}/{name_of(shelf)}"

        def is_known() -> bool:
            shown = shelf.shown()
            listed = {each["version"] for each in self.orchard.get(address).json()["items"]}
            return set(case.ages) == listed and shown == [case.expected]

        wait_until(is_known, seconds=60, what=f"the new list of {case.name}")

    def _exempt(self, shelf: Shelf, version: str, by: str = "version") -> int:
        of = {
            "version": f"{purl_of(shelf)}@{version}",
            "name": purl_of(shelf),
            "sha256": hashlib.sha256(shelf.data[version]).hexdigest(),
        }
        made = self._post("exemptions", of=of[by])
        wait_until(lambda: version in shelf.shown(), seconds=60, what="the exemption")
        return int(made["id"])

    def _end(self, shelf: Shelf, exemption: int, version: str) -> None:
        address = self.orchard.url(f"/api/v1/admin/exemptions/{exemption}")
        gone = httpx.delete(address, headers=ADMIN, trust_env=False)
        assert gone.status_code in (200, 204), gone.text
        wait_until(lambda: version not in shelf.shown(), seconds=60, what="the page without it")

    def _block(self, shelf: Shelf, version: str) -> None:
        canonical = protocol_named(shelf.protocol).names.canonical_version(version)
        self._post("blocks", protocol=shelf.protocol, name=name_of(shelf), version=canonical)
        wait_until(lambda: version not in shelf.shown(), seconds=60, what="the block")

    def _post(self, path: str, **value: str) -> Any:
        address = self.orchard.url(f"/api/v1/admin/{path}")
        made = httpx.post(address, json={"reason": "for a test", **value}, headers=ADMIN, trust_env=False)
        assert made.status_code in (200, 201), made.text
        return made.json()

    def _needing(self, it: Shelf) -> Shelf:
        """An old package that takes any version of `it`."""
        other = self.new(it.protocol)
        if it.protocol == "pypi":
            other.data["1.0.0"] = build_wheel(other.name, "1.0.0", requires=[f"{it.name}>=1"])
            other.put({"1.0.0": OLD})
        elif it.protocol == "npm":
            needs = {"1.0.0": {"dependencies": {it.name: ">=1.0.0"}}}
            time = {"1.0.0": moment(OLD)}
            other.data = publish(other.upstream, other.name, needs, size_bytes=400, time=time)
        elif it.protocol == "cargo":
            registry = Registry(other.upstream)
            registry.put_lines(other.name, [])
            needed = [f"{it.name} >=1"]
            other.data["1.0.0"] = registry.add(other.name, "1.0.0", needed, pubtime=moment(OLD))
        else:
            other.put({"1.0.0": OLD})
            date = other.upstream.reply(other.file("1.0.0")).last_modified
            needed_by = [Dep("org.example", it.name, "[1.0.0,)")]
            Repository(other.upstream).add("org.example", other.name, "1.0.0", needed_by)
            for path in (other.file("1.0.0"), other.file("1.0.0").replace(".jar", ".pom")):
                other.upstream.put(path, replace(other.upstream.reply(path), last_modified=date))
        return other


def name_of(it: Shelf) -> str:
    """As its clients name it."""
    return f"org.example:{it.name}" if it.protocol == "maven" else it.name


def build_other(data: bytes) -> bytes:
    """The same file with one byte changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _seconds(ages: Ages) -> dict[str, float | None]:
    return {version: None if age is None else age * DAY for version, age in ages.items()}


def _yank(shelf: Shelf, version: str) -> None:
    if shelf.protocol == "cargo":
        Registry(shelf.upstream).yank(shelf.name, version)
        return
    path = f"/simple/{shelf.name}/"
    reply = shelf.upstream.reply(path)
    page = json.loads(reply.body)
    for each in page["files"]:
        if each["filename"].split("-")[1] == version:
            each["yanked"] = "broken"
    shelf.upstream.put(path, replace(reply, body=json.dumps(page).encode()))
