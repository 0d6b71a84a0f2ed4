"""Lines of stored files, which an upstream cannot change (ARCHITECTURE.md "Back-fill").

Where it tells another `cksum` of a version whose file is stored, the kept document has both lines, the first
seen in front. Clients and the resolver see that one; whether it is yanked is always the newest word. What it
no longer lists stays at the end, yanked: locks that name it go on, nobody else chooses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from shared.models import SealedFile
from shared.protocols.cargo.index import IndexFile, Line, join_lines

Sealed = Mapping[tuple[str, str], SealedFile]

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def stored_digests(sealed: Sealed) -> dict[str, str]:
    """The SHA256 of each stored file by its version."""
    return {version: file.sha256 for (version, _), file in sealed.items()}


def shown_lines(document: IndexFile, sealed: Sealed) -> tuple[Line, ...]:
    """One line for each version: the last, as Cargo takes it; of a stored one that of the stored bytes."""
    stored = stored_digests(sealed)
    chosen: dict[str, Line] = {}
    for line in document.lines:
        held = chosen.get(line.version)
        if held is None or held.cksum != stored.get(line.version):
            chosen[line.version] = line
        elif held.yanked != line.yanked:
            chosen[line.version] = _changed(held, yanked=line.yanked)
    return tuple(chosen.values())


def mutated_files(document: IndexFile, sealed: Sealed) -> list[tuple[SealedFile, str]]:
    """Stored files of which the upstream now tells other bytes, with their new digest."""
    return [(file, line.cksum) for file, line in _mutated(document, sealed)]


def wants_previous(document: IndexFile, sealed: Sealed) -> bool:
    """Whether `carry_over` has anything to do."""
    told = {line.version: line.cksum for line in document.lines}
    return any(told.get(version) != file.sha256 for (version, _), file in sealed.items())


def carry_over(document: IndexFile, previous: IndexFile | None, sealed: Sealed) -> bytes | None:
    """The document with the lines of stored files that it has otherwise, or no longer; None: it has all."""
    seen = {(line.version, line.cksum): line for line in (previous.lines if previous is not None else ())}
    told = {(line.version, line.cksum) for line in document.lines}
    first: dict[Line, Line] = {}
    gone: list[Line] = []
    for (version, _), file in sorted(sealed.items()):
        key, now = (version, file.sha256), document.find(version)
        if now is not None and key not in told:
            first[now] = seen.get(key) or _changed(now, cksum=file.sha256)
        elif now is None and key in seen:
            gone.append(_changed(seen[key], yanked=True))
    if not first and not gone:
        return None
    kept = [each for line in document.lines for each in (first.get(line), line) if each is not None]
    return join_lines([*kept, *gone])


def _mutated(document: IndexFile, sealed: Sealed) -> Iterator[tuple[SealedFile, Line]]:
    for (version, _), file in sorted(sealed.items()):
        line = document.find(version)
        if line is not None and line.cksum != file.sha256:
            yield file, line


def _changed(line: Line, **values: str | bool) -> Line:
    # What this does not know of a line stays byte for byte.
    fields: dict[str, object] = {**_decode_fields(line.raw), **values}
    raw = msgspec.json.encode(fields)
    return msgspec.structs.replace(line, raw=raw, **values)
