"""`/cas/{algorithm}/{hex}`: stored files by a digest of their bytes, for tools that pin digests.

A digest is another way to a file's name, and no way past anything: what is found goes on as a request for the
file by that name, through the same door, gate and flow. Of several names the first that may be served counts.
"""

from __future__ import annotations

import contextlib
import re

import msgspec

from services.gateway.hits.gate import Gate
from services.gateway.http.access_log import escape
from services.gateway.http.requests import Key, Target
from services.gateway.serving.ports import Facts
from shared.access.bounds import Bounds
from shared.artifacts.repository import ArtifactRepository
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import ArtifactNotFound, Blocked, Forbidden, MethodNotAllowed, RouteNotFound
from shared.errors.passing import CacheUnavailable
from shared.http.conditions import Conditions
from shared.models import FileName, StoredFile
from shared.postgres.slots import deadline
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource

PREFIX = b"/cas/"
MOST_NAMES = 16  # of one content that are looked at
_PATH = re.compile(rb"/cas/(?:(sha256)/([0-9a-f]{64})|(sha512)/([0-9a-f]{128})|(sha1)/([0-9a-f]{40}))")
_decode = msgspec.msgpack.Decoder(list[FileName]).decode
_encode = msgspec.msgpack.Encoder().encode


class Contents:
    """Finds the file that a digest names: in the cache, else by one query."""

    def __init__(
        self,
        cache: CacheService,
        artifacts: ArtifactRepository,
        facts: Facts,
        gate: Gate,
        *,
        request_timeout: float,
    ) -> None:
        """`request_timeout` in seconds: no request waits longer for a database connection."""
        self._cache = cache
        self._artifacts = artifacts
        self._facts = facts
        self._gate = gate
        self._request_timeout = request_timeout

    async def read(self, key: Key, bounds: Bounds | None) -> Target:
        """The target of a request by digest, with a token of these bounds. Raises `RouteNotFound`,
        `MethodNotAllowed`, `ArtifactNotFound` where no stored file within them has it, `Blocked` and what it
        is the base of, `DatabaseUnavailable`."""
        method, raw_path, *_ = key
        found = _PATH.fullmatch(raw_path)
        if found is None:
            raise RouteNotFound(
                "a file is named by /cas/sha256/…, /cas/sha512/… or /cas/sha1/…, in lower-case hex"
            )
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{method[:16]} is not answered here")
        algorithm, digest = (part.decode() for part in found.groups() if part is not None)
        resource = await self._known(algorithm, digest, bounds)
        resource = resource or await self._stored(algorithm, digest, bounds)
        if resource is None:
            raise ArtifactNotFound(f"no file with the {algorithm} {digest} is stored here")
        protocol = find_protocol(resource.protocol)
        assert protocol is not None
        return Target(protocol, resource, Conditions().codings, (), escape(raw_path.decode("latin-1")))

    async def _known(self, algorithm: str, digest: str, bounds: Bounds | None) -> Resource | None:
        """By the names that the cache has; None where it has none, or none of them is of these bytes."""
        try:
            raw = await self._cache.get(Category.ARTIFACT_NAMES, algorithm, digest)
            names = [] if raw is None else _decode(raw)
        except (CacheUnavailable, msgspec.DecodeError):
            return None
        return await self._first(names, algorithm, digest, bounds)

    async def _stored(self, algorithm: str, digest: str, bounds: Bounds | None) -> Resource | None:
        with deadline(self._request_timeout):
            names = await self._artifacts.names_of(algorithm, digest, MOST_NAMES)
        resource = await self._first(names, algorithm, digest, bounds)
        if resource is not None:
            with contextlib.suppress(CacheUnavailable):
                await self._cache.set(Category.ARTIFACT_NAMES, algorithm, digest, _encode(names))
        return resource

    async def _first(
        self, names: list[FileName], algorithm: str, digest: str, bounds: Bounds | None
    ) -> Resource | None:
        """The first of these files that may be served; one whose date has yet to be found is the last. Raises
        `Blocked` where none may. What lies outside a token's bounds is to its bearer as if it were not
        stored."""
        refused: Blocked | None = None
        found: list[tuple[Resource, StoredFile]] = []
        for name in names:
            protocol = find_protocol(name.protocol)
            if protocol is None or not _is_within(bounds, protocol, name.project):
                continue
            try:
                facts = await self._facts.cached(name) or await self._facts.stored(name)
            except Blocked as error:
                refused = refused or error
                continue
            if facts is not None and _has(facts, algorithm, digest):
                resource = protocol.grammar.artifact_resource(name)
                found.append((msgspec.structs.replace(resource, sha256=facts.sha256), facts))
        if len({facts.sha256 for _, facts in found}) > 1:
            raise ArtifactNotFound(f"files of different bytes have the {algorithm} {digest}")
        undated: Resource | None = None
        for resource, facts in found:
            try:
                if self._gate.admits(resource, facts):
                    return resource
                undated = undated or resource
            except Blocked as error:
                refused = refused or error
        if undated is None and refused is not None:
            raise refused
        return undated


def _is_within(bounds: Bounds | None, protocol: PackageProxyBase, project: str) -> bool:
    try:
        if bounds is not None:
            bounds.check_package(protocol.name, protocol.names.meant_patterns, project)
    except Forbidden:
        return False
    return True


def _has(facts: StoredFile, algorithm: str, digest: str) -> bool:
    return digest == (facts.sha256 if algorithm == "sha256" else facts.digests.get(algorithm, ""))
