"""Every command, option and help text of `orchard`. Importing this imports no command.

`run` of a command is named as "module:function" below services/cli/commands and loaded when it is
called: `orchard --help` must not pay for HTTP.
"""

from __future__ import annotations

import argparse
from typing import Any

from services.cli import parser_access, parser_admin, parser_builds, parser_upkeep, parser_webhooks
from services.cli.parts import EXPORTS, Parser, by_subject, command, common, exports, number, seconds
from services.cli.table import CLIENTS, KINDS, MANIFESTS, PROTOCOLS
from shared.version import VERSION

TOOLS = tuple(CLIENTS)
SHELLS = ("bash", "zsh", "fish")

_ABOUT = "Look after an Orchard: a caching proxy for package registries."
_EPILOG = """\
environment
  ORCHARD_URL          the Orchard to speak to (http://127.0.0.1:8080, or as ORCHARD_PORT
                       says, or the one that runs in the data folder)
  ORCHARD_TOKEN        a token to read with
  ORCHARD_ADMIN_TOKEN  the operator's token; not needed on the machine where `orchard up` runs

exit codes
  0 done  1 failed  2 wrong use  3 nobody listens  4 token  5 conflict  6 unfinished  7 not offered
  8 a lock differs
  130 interrupted

`orchard help COMMAND` says more, docs/cli.md all of it. What is named as docs/…, each Orchard shows at
/ui/docs/ (such as http://127.0.0.1:8080/ui/docs/cli.md).
"""
_SUBJECTS = {
    "use it": ("client-config", "resolve", "ensure", "status"),
    "builds, and what proves them": ("build", "bundle", "verify", "statement"),
    "what may be served": (
        "why", "policy", "held", "exempt", "blocks", "feeds", "quarantine", "who-has", "servings",
    ),
    "operate it": (
        "upstreams", "pins", "cache", "tokens", "trust", "events", "webhooks", "queue", "audit", "disk",
    ),
    "this machine's Orchard": (
        "up", "doctor", "logs", "backup", "restore", "sweep", "import", "import-files", "imported",
    ),
    "this command": ("help", "completion", "version"),
}  # fmt: skip


def build_parser() -> Parser:
    """The whole tree."""
    parser = Parser(prog="orchard", description=_ABOUT, epilog=_EPILOG)
    parser.add_argument("-V", "--version", action="version", version=f"orchard {VERSION}")
    common(parser, default=True)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    _up(commands)
    _status(commands)
    _ensure(commands)
    _resolve(commands)
    _client_config(commands)
    _completion(commands)
    _help(commands)
    parser_builds.add_to(commands)
    parser_webhooks.add_to(commands)
    parser_admin.add_to(commands)
    parser_access.add_to(commands)
    parser_upkeep.add_to(commands)
    by_subject(commands, _SUBJECTS)
    return parser


def _up(commands: Any) -> None:
    parser = command(
        commands, "up", "start a whole Orchard on this machine, as `make run` does", "up:run",
        more="Data is kept in ORCHARD_DATA_DIR: unless set, in `data` of a checkout, as `make run` does, and "
        "in ~/.local/share/orchard where it is installed. Ctrl-C stops it.",
    )  # fmt: skip
    for name, text in (
        ("gateways", "gateway processes, on ports from ORCHARD_PORT upwards"),
        ("fetchers", "fetcher processes"),
        ("extractors", "extractor processes"),
    ):
        parser.add_argument(f"--{name}", metavar="N", type=number, default=1, help=f"{text} (1)")


def _status(commands: Any) -> None:
    command(
        commands, "status", "show health, stores, workers, queues and upstreams", "status:run",
        more="Exit code 0: ok. 6: it works, but something is amiss (an upstream, say). 1: it cannot serve.",
    )  # fmt: skip


def _ensure(commands: Any) -> None:
    more = """\
examples
  orchard ensure
  orchard ensure builds/app.ensure --lock builds/app.lock.json
  orchard ensure --export requirements.txt,bom.cdx.json
  orchard ensure uv.lock package-lock.json
  orchard ensure --json | jq -r '.protocols[].packages[].purl'

Ctrl-C leaves the work going on in Orchard; the same command picks it up again.
"""
    parser = command(
        commands, "ensure", "have all that an ensure file or a lock names in the cache, write its lock",
        "ensure:run", more=more,
    )  # fmt: skip
    parser.add_argument(
        "files", metavar="FILE", nargs="*",
        help="the ensure file (orchard.ensure), or locks that clients made (docs/ensure.md); "
        "'-' reads standard input",
    )  # fmt: skip
    parser.add_argument(
        "--kind", metavar="KIND", choices=(*KINDS, *MANIFESTS, "ensure"), default="",
        help=f"what FILE is, if its name does not tell: ensure, {', '.join((*MANIFESTS, *KINDS))}",
    )  # fmt: skip
    parser.add_argument(
        "--lock", metavar="PATH", default="",
        help="where the lock is written (beside FILE: orchard.lock.json, of a lock "
        "FILE.orchard.lock.json; with --json: only if named)",
    )  # fmt: skip
    parser.add_argument(
        "--export", metavar="NAME", type=exports, action="extend", default=[],
        help=f"write this as well, beside the lock: {', '.join(EXPORTS)}",
    )  # fmt: skip
    parser.add_argument("--export-dir", metavar="DIR", default="", help="where exports are written")
    parser.add_argument("--force", action="store_true", help="overwrite exports that differ")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail (1) if the lock is another than the one kept",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="compute a kept answer again (needs the operator's token)"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, help="give up waiting (6); the work goes on"
    )


def _resolve(commands: Any) -> None:
    more = """\
examples
  orchard resolve 'httpx[http2]>=0.27' flask
  orchard resolve --protocol npm 'express@^4'
  orchard resolve --protocol maven com.google.guava:guava:33.0.0-jre
  orchard resolve 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
"""
    parser = command(
        commands, "resolve", "show the dependency graph of requirements or of a stored file", "resolve:run",
        more=more,
    )  # fmt: skip
    parser.add_argument(
        "requirements", metavar="REQUIREMENT", nargs="+", help="requirements, or the SHA256 of a stored file"
    )
    parser.add_argument(
        "--protocol", metavar="PROTOCOL", choices=PROTOCOLS, default="",
        help=f"whose rules ({PROTOCOLS[0]}; of a stored file: its own)",
    )  # fmt: skip
    parser.add_argument(
        "--environment", metavar="ENV", default="", help="such as cp311-manylinux_2_36_x86_64"
    )
    parser.add_argument("--as-of", metavar="TIME", default="", help="only files uploaded before (RFC 3339)")
    parser.add_argument(
        "--max-depth", metavar="N", type=number, help="leave out what is further from the roots"
    )
    parser.add_argument(
        "--include-optional", action="store_true", help="the roots' optional dependencies as well"
    )
    parser.add_argument(
        "--refresh", action="store_true", help="compute a kept answer again (needs the operator's token)"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, help="give up waiting (6); the work goes on"
    )


def _completion(commands: Any) -> None:
    more = """\
examples
  orchard completion bash > ~/.local/share/bash-completion/completions/orchard
  orchard completion zsh > ~/.zfunc/_orchard
  orchard completion fish > ~/.config/fish/completions/orchard.fish

zsh: the folder must be in fpath before compinit.
"""
    parser = command(
        commands, "completion", "print a shell's completion script for this command", "completion:run",
        more=more,
    )  # fmt: skip
    parser.add_argument(
        "shell", metavar="SHELL", choices=(*SHELLS, "words"),
        help=f"{', '.join(SHELLS)}; words: what may follow the words after --, for these scripts",
    )  # fmt: skip
    parser.add_argument("words", metavar="WORD", nargs="*", default=[], help=argparse.SUPPRESS)


def _help(commands: Any) -> None:
    parser = command(commands, "help", "say what a command does, as its --help", "helping:run")
    parser.add_argument("words", metavar="COMMAND", nargs="*", default=[], help="without one: of all")
    command(commands, "version", "say which version this command is, as --version", "helping:version")


def _client_config(commands: Any) -> None:
    more = """\
examples
  orchard client-config pip
  orchard client-config npm --write
  orchard client-config uv --write --project
  orchard client-config mvn --undo

--write changes only the lines it needs, keeps a copy as FILE.orchard-backup and shows what it changed.
Tokens are never written: where the client allows it, its file names the variable ORCHARD_TOKEN.
"""
    parser = command(
        commands, "client-config", "show or write a client's configuration for this Orchard",
        "client_config:run", more=more,
    )  # fmt: skip
    parser.add_argument(
        "tool", metavar="TOOL", choices=TOOLS,
        help=f"{', '.join(TOOLS)}; yarn stands for both of its kinds",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="change the client's own file")
    parser.add_argument("--undo", action="store_true", help="put back the file as it was before --write")
    parser.add_argument(
        "--dry-run", action="store_true", help="with --write or --undo: only show the difference"
    )
    parser.add_argument(
        "--project", action="store_true", help="the file of the project in this folder, not the user's own"
    )
    parser.add_argument(
        "--token", action=argparse.BooleanOptionalAction, default=None,
        help="let the client send the token in ORCHARD_TOKEN (default: if that is set now)",
    )  # fmt: skip
