"""A toy needs no other: the last file of each index is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.protocols.toy.index import ToyDocuments

from shared.errors import InvalidParameter
from shared.models import Extraction, SealedFile
from shared.protocols.resolution import (
    Absent,
    Document,
    Edge,
    KnownDocuments,
    NeededDocuments,
    Node,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    missing_root,
)


class ToyResolver(Resolver):
    protocol = "toy"
    chooses_optional = False

    def environment_named(self, name: str) -> str:
        return ""

    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        if not all(text.isalnum() for text in requirements):
            raise InvalidParameter("requirements: expected names of toys")
        return set(requirements)

    def prepare_index(self, body: bytes) -> Any:
        return ToyDocuments().decode_document(body)[1]

    def with_sealed(self, index: Any, sealed: Mapping[tuple[str, str], SealedFile]) -> Any:
        return index

    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Any:
        return Absent("the toy declares nothing")

    def resolve(
        self,
        request: ResolutionRequest,
        root: RootFile | None,
        known: KnownDocuments,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Resolution | NeededDocuments:
        wanted = {name: Document("index", name) for name in request.requirements}
        missing = tuple(each for each in wanted.values() if each not in known.documents)
        if missing:
            return NeededDocuments(missing)
        nodes = []
        for name, document in wanted.items():
            index = known.documents[document]
            if isinstance(index, Absent):
                raise missing_root(name, index)
            filename, digest = list(index.items())[-1]
            version = filename.removeprefix(f"{name}-").removesuffix(".bin")
            purl = f"pkg:generic/{name}@{version}"
            nodes.append(Node(purl, name, version, filename, digest, file_id=digest))
        edges = tuple(Edge("", node.purl, node.name) for node in nodes)
        return Resolution(request, request.key, True, tuple(nodes), edges)
