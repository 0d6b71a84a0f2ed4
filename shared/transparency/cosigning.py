"""Cosignatures of witnesses: which count, and how those of one checkpoint are put together."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from shared.tlog.notes import (
    COSIGNATURE,
    Checkpoint,
    Key,
    Note,
    read_checkpoint,
    read_key,
    read_note,
    signed_by,
)
from shared.tlog.trees import Unproven


def read_witnesses(texts: Sequence[str]) -> tuple[Key, ...]:
    """Raises `Unproven`."""
    keys = tuple(read_key(text) for text in texts)
    for key in keys:
        if key.kind != COSIGNATURE:
            raise Unproven(f"{key.name} is the key of a log, not of a witness")
    return keys


def cosigned(posted: bytes, log: Key, witnesses: Sequence[Key], before: bytes) -> tuple[Checkpoint, bytes]:
    """What is to be kept of a checkpoint that a witness has posted: it, the log's signature, and of each
    witness the newest cosignature, those in `before` too if that is the same checkpoint. Raises `Unproven`
    where the log did not sign it, no witness did, or one of their signatures is wrong."""
    checkpoint, note = read_checkpoint(posted, log), read_note(posted)
    notes = [note]
    if before and read_note(before).text == note.text:
        notes.append(read_note(before))
    lines = [_line(note, log)]
    count = 0
    for witness in witnesses:
        found = [(at, _line(each, witness)) for each in notes if (at := signed_by(each, witness)) is not None]
        lines += [max(found)[1]] if found else []
        count += signed_by(note, witness) is not None
    if not count:
        raise Unproven("no known witness has signed it")
    return checkpoint, (note.text + "\n" + "".join(lines)).encode()


def witnessed(data: bytes, witnesses: Sequence[Key]) -> list[str]:
    """The names of those that have cosigned a kept checkpoint."""
    if not data:
        return []
    known = {(key.name, key.id): key.name for key in witnesses}
    return [known[each[:2]] for each in read_note(data).signatures if each[:2] in known]


def _line(note: Note, key: Key) -> str:
    signature = next(each[2] for each in note.signatures if each[:2] == (key.name, key.id))
    return f"— {key.name} {base64.b64encode(key.id + signature).decode()}\n"
