"""The grammar below /toys: "/{name}/index", "/{name}/{sha256}/{filename}"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from shared.protocols.toy import names

from shared.errors import MalformedRequest, MethodNotAllowed, RouteNotFound
from shared.errors.base import Problem
from shared.models import FileName
from shared.protocols.resource import Redirect, Resource
from shared.protocols.roles.grammar import Grammar

_INDEX = re.compile(rf"/({names.NAME})/(index|address)")
_FILE = re.compile(rf"/({names.NAME})/([0-9a-f]{{64}})/([a-z0-9][a-z0-9.-]{{0,80}})")


class ToyGrammar(Grammar):
    takes_bare_token: ClassVar[bool] = True
    index_identity = staticmethod(names.index_identity)
    project_of = staticmethod(names.project_of)

    def classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes]
    ) -> Resource | Redirect:
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the toy is read-only")
        if not raw_path.isascii():
            raise MalformedRequest("names are ASCII")
        path = raw_path.decode()
        if found := _INDEX.fullmatch(path):
            return Resource(
                protocol="toy",
                kind="index",
                identity=f"{found[2]}/{found[1]}",
                per_base_url=names.has_address(f"{found[2]}/"),
                project=found[1],
                representation="text",
            )
        if found := _FILE.fullmatch(path):
            return self.artifact_resource(FileName("toy", found[1], found[2], found[3]))
        raise RouteNotFound("nothing of the toy lies here")

    def challenge(self, base_url: str) -> str:
        return f'Toy login_url="{base_url}/login"'

    def error_body(self, problem: Problem) -> tuple[str, bytes]:
        told = f"{problem.status} {problem.code}: {problem.detail}. {problem.hint}"
        return "text/plain; charset=utf-8", told.encode()

    def artifact_path(self, file: FileName) -> str:
        return f"/{file.identity}"

    def artifact_resource(self, file: FileName) -> Resource:
        return Resource(
            protocol="toy",
            kind="artifact",
            identity=file.identity,
            project=file.project,
            file_id=file.file_id,
            filename=file.filename,
            version=names.version_of(file.filename),
            sha256=file.file_id,
        )
