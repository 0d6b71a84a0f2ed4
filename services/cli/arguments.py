"""argparse with suggestions: a misspelt command or option is answered with the nearest that exists."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from services.cli.errors import Exit

WIDTH = 100


class Parser(argparse.ArgumentParser):
    """A parser whose help is readable at each level and whose errors are one line and a hint."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Formatter)
        options.setdefault("allow_abbrev", False)  # --re would mean another option one day
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Two lines on standard error and exit code 2."""
        sys.stderr.write(f"orchard: {message}\n  `{self.prog} --help` shows what there is.\n")
        sys.exit(Exit.USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(each) for each in action.choices if each != ""]
        kind = "command" if isinstance(action, argparse._SubParsersAction) else str(action.metavar or "value")
        close = suggestion(str(value), names)
        rest = f"did you mean {close!r}?" if close else f"there are {', '.join(names)}"
        self.error(f"unknown {kind.lower()} {str(value)[:80]!r}; {rest}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As inherited, but an unknown option is refused where it stands, by the parser that knows
        its neighbours."""
        found, rest = super().parse_known_args(args, namespace)
        unknown = next((each for each in rest if each.startswith("-") and each != "-"), "")
        if unknown:
            name = unknown.partition("=")[0]
            options = [each for action in self._actions for each in action.option_strings]
            close = suggestion(name, options)
            self.error(f"unknown option {name[:80]}" + (f"; did you mean {close}?" if close else ""))
        if rest:
            self.error(f"one argument too many: {str(rest[0])[:80]!r}")
        return found, rest


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=WIDTH)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, "" if none is near."""
    import difflib

    close: Sequence[str] = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else ""
