"""Which sealed file stands for an upstream's entry: what was shown once is shown for ever."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models import SealedFile
from shared.protocols.pypi.document import Document, File


class SealedFiles:
    """The sealed files of a project, matched to the entries of its page.

    `sealed` is keyed (file_id, filename), as `PackageProxyBase.rewrite_index` gets it.
    """

    def __init__(self, document: Document, sealed: Mapping[tuple[str, str], SealedFile]) -> None:
        self.any = bool(sealed)
        self._document = document
        self._sealed = sealed
        by_name: dict[str, list[SealedFile]] = {}
        for key in sorted(sealed):
            by_name.setdefault(key[1], []).append(sealed[key])
        self._by_name = by_name

    def find(self, file: File) -> SealedFile | None:
        """The sealed file to show for an entry, or None.

        In this order: the one under the entry's own digest; the one under the stable id that the
        name had before the upstream told its digest (the URL stays); the one of the same name
        with other bytes (`upstream_mutated`: the first stays), unless the page lists that too.
        """
        filename = file["filename"]
        candidates = self._by_name.get(filename)
        if candidates is None:
            return None
        stable = self._sealed.get((self._document.stable_id(filename), filename))
        sha256 = file["hashes"].get("sha256")
        if stable is not None and sha256 in (None, stable.sha256):
            return stable
        if sha256 is not None:
            exact = self._sealed.get((sha256, filename))
            if exact is not None:
                return exact
        if stable is not None:
            return stable
        if sha256 is None:
            return candidates[0]  # the upstream told the digest once and no longer does
        listed = {entry["hashes"].get("sha256") for entry in self._document.by_name.get(filename, ())}
        return next((held for held in candidates if held.sha256 not in listed), None)


def mutated_files(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile]
) -> list[tuple[SealedFile, str]]:
    """Sealed files under whose name the upstream now lists other bytes, with the new SHA256."""
    held = SealedFiles(document, sealed)
    found = []
    for file in document.page.get("files", ()):
        match = held.find(file)
        sha256 = file["hashes"].get("sha256")
        if match is not None and sha256 is not None and sha256 != match.sha256:
            found.append((match, sha256))
    return found
