"""`Locks`: a protocol's table of an ensure file, its fields of a lock, and the exports of a lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from shared.protocols.lock import Lock

RootRequirement = tuple[tuple[str | int, ...], str]
"""Where it stands in the table, such as ("requirements", 0), and the requirement as the resolver reads it."""


class Table(msgspec.Struct, frozen=True):
    """A protocol's table of an ensure file: the parameters of a resolution, "" for the protocol's default. A
    protocol adds fields whose defaults are empty: a tuple of texts, a dict of texts by name, or `InOrder`."""

    environment: str = ""
    include_optional: bool = False
    as_of: str = ""  # RFC 3339


class InOrder(dict[str, Any]):
    """The default of a field of `Table` that holds tables of texts and of such tables, whose order counts."""


class TableFault(Exception):
    """What is wrong in a table, and where."""

    def __init__(self, path: tuple[str | int, ...], reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


class Export(msgspec.Struct, frozen=True):
    """One kind of file that clients take as it is. `render` is pure: the same lock gives the same bytes."""

    content_type: str
    render: Callable[[Lock, str], bytes]  # the base URL of the Orchard that serves it, no "/" at its end
    of_pins: bool = False  # also of a lock that has no requirements, environment or edges (`PinnedFiles`)


class Manifest(msgspec.Struct, frozen=True):
    """A file of a client's own that says what a project needs: it is taken for an ensure file with one table,
    in which its text is the value of `key`."""

    filename: re.Pattern[str]  # of its files, whole
    key: str
    members: str = ""  # the key of such a JSON file that holds patterns of its members' folders


class Locks:
    """A protocol without a table is not locked; the rest is asked of those that have one."""

    table: ClassVar[type[Table] | None] = None
    requirements_in: ClassVar[str] = "requirements"  # the field of `table` that `orchard cache warm` writes
    manifests: ClassVar[Mapping[str, Manifest]] = {}  # by their kind
    not_taken: ClassVar[
        Mapping[str, str]
    ] = {}  # other files of projects, in small letters: what to post instead
    exports: ClassVar[Mapping[str, Export]] = {}  # by the name of the file: "requirements.txt"
    needs_all: ClassVar[bool] = (
        False  # clients install nothing of a graph of which a requirement is unresolved
    )
    lock_reads_index: ClassVar[bool] = False  # whether `lock_fields` returns anything

    def roots(self, table: Any) -> Iterator[RootRequirement]:
        """The requirements that are resolved together. Raises `TableFault`."""
        return iter(())

    def apart(self, table: Any) -> Iterator[RootRequirement]:
        """The requirements that are resolved each by itself (Maven's plugins)."""
        return iter(())

    def project(self, table: Any) -> str:
        """`ResolutionRequest.project` of the roots. Raises `TableFault`."""
        return ""

    def shown(self, roots: Sequence[str], apart: Sequence[str], project: str) -> dict[str, Any]:
        """The fields of a table that asks for these canonical requirements, and for what the project says
        beside them: a lock shows its file so. Those in which order counts are `InOrder`."""
        raise NotImplementedError

    def hook_requirements(self, chosen: Mapping[str, str]) -> tuple[str, ...]:
        """What backends that everyone knows are sure to ask for besides, by code that nobody runs here.
        `chosen`: the versions in the environment that a file is built in, by name."""
        return ()

    def lock_fields(self, document: Any, version: str) -> dict[str, Any] | None:
        """What a lock holds of a version beside name, file and hash, out of a project's decoded index; None
        for a version that it lacks."""
        return {}
