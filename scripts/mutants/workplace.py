"""Where trials take place: a copy of the tree, and stores that stand from one trial to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from scripts.mutants.table import Mutant
from scripts.mutants.trial import LIMIT_SECONDS, Outcome, broken, copy_of_tree, run
from services.standalone.servers import EmbeddedServer
from tests.support.stores import standing

# Breaks of these break what the stores are started and filled with.
OF_STORES = ("services/standalone/", "shared/migrations/", "tests/")


class Workplace:
    """One copy of the tree in `folder`, made where it is not there yet; trials in it come one after another.
    Entered and left in one thread, with which its stores end."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.servers: list[EmbeddedServer] = []
        self._starts = 0
        if not self.tree.exists():
            copy_of_tree(self.tree)

    def __enter__(self) -> Workplace:
        self._start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._stack.close()

    def check(self, tests: Sequence[str]) -> Outcome:
        """The tests as the code stands."""
        return run(self.tree, tests, stores=self._stores, limit_seconds=LIMIT_SECONDS * 10)

    def trial(self, row: Mutant) -> Outcome:
        """The row's tests with its break. What stands may have been damaged by a break: the word of stores
        that are not as they were, and each word but "killed", counts only over stores of its own."""
        with broken(self.tree, row):
            if not row.file.startswith(OF_STORES):
                outcome = run(self.tree, row.tests, stores=self._stores)
                if self._stand() and outcome.verdict == "killed":
                    return outcome
                self._start()
            return run(self.tree, row.tests)

    @property
    def _stores(self) -> Path:
        return self._folder / f"stores-{self._starts}"

    def _start(self) -> None:
        self._stack.close()
        self._starts += 1
        self.servers = self._stack.enter_context(standing(self._stores))

    def _stand(self) -> bool:
        with contextlib.suppress(Exception):
            return all(server.ready(server.pid) and server.alive() for server in self.servers)
        return False
