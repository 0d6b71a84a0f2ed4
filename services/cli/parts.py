"""Pieces that the commands' parsers share: common options, groups, and types that explain themselves.

They are argparse with suggestions: a misspelt command or option is answered with the nearest that exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from services.cli.errors import WrongUse
from services.cli.table import EXPORTS as OF_PROTOCOLS
from services.cli.table import PROTOCOLS

WIDTH = 100


class Parser(argparse.ArgumentParser):
    """A parser whose help is readable at each level and whose errors are one line and a hint."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Formatter)
        options.setdefault("allow_abbrev", False)  # --re would mean another option one day
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Raises `WrongUse`."""
        raise WrongUse(message, f"`{self.prog} --help` shows what there is.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(each) for each in action.choices if each != ""]
        if action.metavar == "PROTOCOL" and "/" in str(value):  # a package URL, or PROTOCOL/NAME
            name = str(value).removeprefix("pkg:").partition("/")[0]
            known = name if name in names else names[0]
            self.error(f"protocol and name stand apart here: `{known} NAME`, not {str(value)[:80]!r}")
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

    def _format_action(self, action: argparse.Action) -> str:
        heading = getattr(action, "heading", "")  # of the first command of a subject
        return (f"\n  {heading}\n" if heading else "") + super()._format_action(action)


def by_subject(commands: Any, subjects: Mapping[str, Sequence[str]]) -> None:
    """Put commands in the order of their subjects, each below its heading in `--help`.

    Raises `ValueError` if a command has no subject or is of none that there is."""
    names = [name for each in subjects.values() for name in each]
    if sorted(names) != sorted(commands.choices):
        raise ValueError(f"of no subject, or no command: {sorted({*names} ^ {*commands.choices})}")
    commands._choices_actions.sort(key=lambda each: names.index(each.dest))
    for name in names:  # moved to the end, one after another
        commands.choices[name] = commands.choices.pop(name)
    first = {each[0]: heading for heading, each in subjects.items()}
    for action in commands._choices_actions:
        action.heading = first.get(action.dest, "")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, "" if none is near."""
    import difflib

    close: Sequence[str] = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else ""


PROTOCOL_NAMES = f"{', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}"
QUEUES = ("index", "artifact", "refresh", "ahead", "extract", "resolve")
EXPORTS = (*OF_PROTOCOLS, "bom.cdx.json", "bom.spdx.json")


def common(parser: argparse.ArgumentParser, *, default: bool = False) -> None:
    """Options that may stand before or after the command."""
    group = parser.add_argument_group("options of every command")
    kept: dict[str, Any] = {} if default else {"default": argparse.SUPPRESS}
    group.add_argument("--json", action="store_true", help="print the result as JSON", **kept)
    group.add_argument("-q", "--quiet", action="store_true", help="print no progress and no notes", **kept)
    group.add_argument(
        "--url", metavar="URL", help="the Orchard to speak to, instead of ORCHARD_URL",
        **({"default": ""} if default else kept),
    )  # fmt: skip


def command(commands: Any, name: str, text: str, run: str, *, more: str = "") -> Parser:
    parser: Parser = commands.add_parser(name, help=text, description=sentence(text), epilog=more or None)
    parser.set_defaults(run=run)
    common(parser)
    return parser


def group(commands: Any, name: str, text: str, *, more: str = "") -> Any:
    parser: Parser = commands.add_parser(name, help=text, description=sentence(text), epilog=more or None)
    parser.set_defaults(run="", group=parser)
    common(parser)
    return parser.add_subparsers(metavar="COMMAND", title="commands")


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def protocol(parser: Parser, text: str = PROTOCOL_NAMES) -> None:
    parser.add_argument("protocol", metavar="PROTOCOL", choices=PROTOCOLS, help=text)


def source(parser: Parser) -> None:
    parser.add_argument("source", metavar="NAME", help="its name, PROTOCOL/NAME, or its id")


def options(parser: Parser) -> None:
    parser.add_argument(
        "options", metavar="KEY=VALUE", nargs="*", default=[],
        help="absent=403,401 (statuses that mean 'not here'), checksums=fail|warn|ignore, "
        "merge=GROUP (sources of one owner), pages=here|elsewhere, "
        "ahead=on|off (fetch what clients are likely to ask next), ages=on|off (a minimum age counts)",
    )  # fmt: skip


def page(parser: Parser) -> None:
    parser.add_argument("--limit", metavar="N", type=number, default=100, help="at most so many lines (100)")


def number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not {text[:40]!r}")
    return int(text)


def priority(text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"expected a whole number, not {text[:40]!r}")
    return int(text)


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, not {text[:40]!r}")
    return number


def seconds_or_when(text: str) -> tuple[float, bool]:
    """As `when`; a number alone is a duration in seconds."""
    return (seconds(text), True) if text.replace(".", "", 1).isdigit() else when(text)


def when(text: str) -> tuple[float, bool]:
    """A duration before now ("7d", "36h", "90m"), which is True then, or a date or time (RFC 3339; without a
    zone of UTC), in unix seconds."""
    import re
    from datetime import UTC, datetime

    ago = re.fullmatch(r"([0-9]{1,6})([dhm])", text)
    if ago is not None:
        return int(ago[1]) * {"d": 86_400.0, "h": 3600.0, "m": 60.0}[ago[2]], True
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected 7d, 36h, 90m, 2026-01-31 or 2026-01-31T12:00Z, not {text[:40]!r}"
        ) from None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()), False


def period(parser: Parser) -> None:
    parser.add_argument("--since", metavar="WHEN", type=when, help="7d, 36h, or a date or time (RFC 3339)")
    parser.add_argument("--until", metavar="WHEN", type=when, help="the same; without it, until now")


def exports(text: str) -> list[str]:
    names = [each.strip() for each in text.split(",") if each.strip()]
    for name in names:
        if name not in EXPORTS:
            from services.cli.parts import suggestion

            close = suggestion(name, EXPORTS)
            rest = f"did you mean {close}?" if close else f"there are {', '.join(EXPORTS)}"
            raise argparse.ArgumentTypeError(f"no export of the name {name[:60]!r}; {rest}")
    return names


def secrets(parser: Parser, *names: str) -> None:
    """Secrets come by the environment or by standard input: arguments are seen by everyone."""
    for name in names:
        parser.add_argument(
            f"--{name}-from", metavar="VARIABLE", default="",
            help=f"the environment variable that holds the {name}; '-' reads it from standard input",
        )  # fmt: skip
