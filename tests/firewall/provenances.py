"""Shelves whose versions have provenance: as their list tells it, signed by a Sigstore of the test."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from tests.firewall.shelves import DAY, Npm, PyPI, Scoped, Shelf
from tests.support.npm_builders import packument_path
from tests.support.orchard import Cluster
from tests.support.sigstore import SLSA, Attestation, RegistryKey, Sigstore
from tests.support.upstream import Upstream


class Attesting:
    """Puts versions on a shelf, with provenance or without."""

    def __init__(self, kind: str, orchard: Cluster, upstream: Upstream, name: str) -> None:
        self.upstream = upstream
        self.shelf: Shelf = _SHELVES[kind](orchard, upstream, name)

    def put(self, *versions: str) -> None:
        """Published a day apart, in this order, the last a month ago; none of them has provenance yet."""
        count = len(versions)
        self.shelf.put({each: (30 + count - number) * DAY for number, each in enumerate(versions)})

    def attest(
        self, version: str, sigstore: Sigstore, repository: str = "us/lib", **lies: Any
    ) -> Attestation:
        """Of a version, by a workflow of a repository. `lies`: what else the attestation says."""
        made = self.sign(version, sigstore, repository, **lies)
        self.tell(version, self.document(made))
        return made

    def path(self, version: str) -> str:
        """Where its registry has a version's attestations."""
        return f"/provenance/{self.shelf.name}/{version}"

    def tell(self, version: str, document: bytes | None) -> None:
        """Let the list say that a version has provenance; `document` None: which is not there."""
        if document is not None:
            self.upstream.put(self.path(version), document, "application/json")
        self._tell(version)

    def sign(self, version: str, sigstore: Sigstore, repository: str, **lies: Any) -> Attestation:
        raise NotImplementedError

    def document(self, made: Attestation) -> bytes:
        raise NotImplementedError

    def _tell(self, version: str) -> None:
        raise NotImplementedError


class _PyPI(Attesting):
    def sign(self, version: str, sigstore: Sigstore, repository: str, **lies: Any) -> Attestation:
        assert isinstance(self.shelf, PyPI)
        digest = hashlib.sha256(self.shelf.data[version]).hexdigest()
        return sigstore.attest(self.shelf.filename(version), {"sha256": digest}, repository, **lies)

    def document(self, made: Attestation) -> bytes:
        return json.dumps(made.pep740()).encode()

    def _tell(self, version: str) -> None:
        assert isinstance(self.shelf, PyPI)
        path = f"/simple/{self.shelf.name}/"
        reply = self.upstream.reply(path)
        page = json.loads(reply.body)
        for file in page["files"]:
            if file["filename"] == self.shelf.filename(version):
                file["provenance"] = self.upstream.url + self.path(version)
        self.upstream.put(path, replace(reply, body=json.dumps(page).encode()))


class NpmAttesting(Attesting):
    def sign_by(self, key: RegistryKey | None, version: str, text: str = "") -> None:
        """Let the list have the registry's signature of a version, None: none; of another `text`, if there is
        one."""
        path = packument_path(self.shelf.name)
        reply = self.upstream.reply(path)
        page = json.loads(reply.body)
        dist = page["versions"][version]["dist"]
        right = text or f"{self.shelf.name}@{version}:{dist['integrity']}"
        dist["signatures"] = [] if key is None else [key.sign(right)]
        self.upstream.put(path, replace(reply, body=json.dumps(page).encode()))

    def sign(self, version: str, sigstore: Sigstore, repository: str, **lies: Any) -> Attestation:
        digest = hashlib.sha512(self.shelf.data[version]).hexdigest()
        name = self.shelf.name.replace("@", "%40")
        return sigstore.attest(f"pkg:npm/{name}@{version}", {"sha512": digest}, repository, **lies)

    def document(self, made: Attestation) -> bytes:
        return json.dumps(made.bundles()).encode()

    def _tell(self, version: str) -> None:
        path = packument_path(self.shelf.name)
        reply = self.upstream.reply(path)
        page = json.loads(reply.body)
        page["versions"][version]["dist"]["attestations"] = {
            "url": self.upstream.url + self.path(version),
            "provenance": {"predicateType": SLSA},
        }
        self.upstream.put(path, replace(reply, body=json.dumps(page).encode()))


_SHELVES: dict[str, type[Shelf]] = {"pypi": PyPI, "npm": Npm, "npm, scoped": Scoped}
ATTESTING: dict[str, type[Attesting]] = {"pypi": _PyPI, "npm": NpmAttesting, "npm, scoped": NpmAttesting}
