"""A made-up index in memory, and the loop that drives a resolver over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.protocols.pypi.document import Envelope, encode_document
from shared.protocols.pypi.resolver.resolve import PyPIResolver
from shared.protocols.resolution import (
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    RootFile,
)

RESOLVER = PyPIResolver()


class Index:
    """Projects of made-up files. Every file's metadata is known unless said otherwise."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.metadata: dict[str, bytes | Any] = {}  # by file name
        self.steps = 0
        self.asked: list[Document] = []

    def add(
        self,
        name: str,
        version: str,
        requires: Sequence[str] = (),
        *,
        filename: str = "",
        tag: str = "py3-none-any",
        python: str = "",
        page_python: str | None = None,
        extras: Sequence[str] = (),
        metadata: Any = None,
        **entry: Any,
    ) -> str:
        """One file; its name comes back."""
        filename = filename or f"{name.replace('-', '_')}-{version}-{tag}.whl"
        digest = f"{abs(hash((name, filename))):064x}"[-64:]
        shown = page_python if page_python is not None else python
        self.files.setdefault(name, []).append(
            {
                "filename": filename,
                "url": f"https://files.example.com/{filename}",
                "hashes": {"sha256": digest},
                "core-metadata": True,
                **({"requires-python": shown} if shown else {}),
                **entry,
            }
        )
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Python: {python}"] if python else []
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {line}" for line in requires]
        self.metadata[filename] = "\n".join(lines).encode() if metadata is None else metadata
        return filename

    def answer(self, document: Document) -> Any:
        """What the driver would bring."""
        if document.kind == "index":
            if document.project not in self.files:
                return Absent("no source knows this project")
            page: dict[str, Any] = {"name": document.project, "files": self.files[document.project]}
            envelope = Envelope(1, f"simple/{document.project}", "main", page)
            return RESOLVER.prepare_index(encode_document(envelope))
        raw = self.metadata[document.filename]
        return RESOLVER.prepare_metadata(document, raw) if isinstance(raw, bytes) else raw

    def resolve(
        self,
        *requirements: str,
        root: RootFile | None = None,
        answers: Mapping[Document, Any] | None = None,
        **options: Any,
    ) -> Resolution:
        """Step until there is a result."""
        artifact = root.sha256 if root else ""
        request = RESOLVER.request(artifact=artifact, requirements=requirements, **options)
        known = KnownDocuments()
        for _ in range(500):
            self.steps += 1
            outcome = RESOLVER.resolve(request, root, known)
            if isinstance(outcome, Resolution):
                return outcome
            assert isinstance(outcome, NeededDocuments)
            for document in outcome.documents:
                assert document not in known.documents, "asked twice"
                self.asked.append(document)
                given = (answers or {}).get(document)
                known.documents[document] = self.answer(document) if given is None else given
        raise AssertionError("no result")

    def versions(self, *requirements: str, **options: Any) -> dict[str, str]:
        """Name → version of the result's nodes."""
        return {node.name: node.version for node in self.resolve(*requirements, **options).nodes}
