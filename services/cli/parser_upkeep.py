"""Commands for the upkeep of an Orchard: its disk, its transparency log."""

from __future__ import annotations

from typing import Any

from services.cli.parts import command, number
from services.cli.table import KINDS

LEVELS = ("debug", "info", "warning", "error")


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    for each in (_doctor, _logs, _disk, _sweep, _backup, _restore, _verify, _statement):
        each(commands)


def _doctor(commands: Any) -> None:
    command(
        commands, "doctor", "find what keeps this machine's Orchard from working, with cures", "doctor:run",
        more="Looks at settings, disk, open files, certificates, keys, stores, each upstream, issuers of\n"
        "sign-in, the clock, public addresses, feeds and the bound, whether Orchard runs or not.\n"
        "Exit code 0: nothing failed. 1: something did.",
    )  # fmt: skip


def _logs(commands: Any) -> None:
    more = """\
examples
  orchard logs --level warning
  orchard logs f17e001d75000001b

The id is in X-Request-Id and in every error; it follows the work through all services.
"""
    parser = command(commands, "logs", "show what this machine's Orchard said", "logs:run", more=more)
    parser.add_argument(
        "request_id", metavar="REQUEST_ID", nargs="?", default="", help="of one request alone"
    )
    parser.add_argument("--level", metavar="LEVEL", choices=LEVELS, default="debug",
                        help="this or worse: " + ", ".join(LEVELS))  # fmt: skip
    parser.add_argument("--limit", metavar="N", type=number, default=1000, help="the last so many (1000)")


def _sweep(commands: Any) -> None:
    parser = command(
        commands, "sweep", "show stored objects that nothing names, or files that are due to go", "sweep:run",
        more="On the machine of the Orchard that runs, or with the stores of the environment. Prints JSON.",
    )  # fmt: skip
    parser.add_argument(
        "--evict",
        action="store_true",
        help="instead: files due by ORCHARD_EVICT_DAYS, ORCHARD_EVICT_BYTES",
    )
    parser.add_argument("--delete", action="store_true", help="delete what was found")


def _disk(commands: Any) -> None:
    command(
        commands, "disk", "show what is stored, what is free and when it will be full (operator)", "disk:run",
        more="What is stored is counted each hour. ORCHARD_EVICT_BYTES bounds it, ORCHARD_MIN_FREE_BYTES "
        "stays free.",
    )  # fmt: skip


def _backup(commands: Any) -> None:
    more = """\
examples
  orchard backup /backup/orchard
  orchard backup /backup/orchard --keep 30
  ORCHARD_DATABASE_URL=postgresql://… ORCHARD_S3_ENDPOINT=https://… orchard backup /backup/orchard

Of the Orchard in ORCHARD_DATA_DIR, running or stopped, or of the stores that the environment names. What
the folder has already is hashed, and copied again only if it has decayed. It holds private packages and
keys: guard it.
"""
    parser = command(commands, "backup", "back up all that is kept into a folder", "backup:make", more=more)
    parser.add_argument("folder", metavar="FOLDER", help="where; a snapshot more each time")
    parser.add_argument("--quick", action="store_true", help="believe what the folder has, unread")
    parser.add_argument(
        "--keep", metavar="N", type=number, default=0,
        help="remove all snapshots but the newest N, and objects that none names (all stay)",
    )  # fmt: skip


def _restore(commands: Any) -> None:
    more = """\
examples
  ORCHARD_DATA_DIR=/srv/orchard orchard restore /backup/orchard

Everything is checked before anything is changed. What is damaged, foreign or of a newer Orchard is refused,
as is a data folder or a database that is not empty. Then start it: `orchard up`.
"""
    parser = command(
        commands,
        "restore",
        "make an Orchard of a backup in an empty folder",
        "backup:restore",
        more=more,
    )
    parser.add_argument("folder", metavar="FOLDER", help="what `orchard backup` wrote")
    parser.add_argument("--snapshot", metavar="NAME", default="", help="which of its snapshots (the newest)")


def _verify(commands: Any) -> None:
    more = """\
examples
  orchard verify vendor/*
  orchard verify vendor/* --save proofs/
  orchard verify uv.lock package-lock.json
  orchard verify build-ID
  orchard verify uv.lock vendor/* --bundle app.bundle --key 'orchard.example.com/log+…'
  orchard verify vendor/demo.tgz --proof proofs/demo.tgz.tlog-proof --key 'orchard.example.com/log+…'

A file is proven if the log has an entry that admitted exactly these bytes, signed by the log's key, and if
the log goes on from what this command saw of it before (~/.local/state/orchard). The key is remembered the
first time; --key names it instead. docs/transparency.md says what an entry tells. Statements about the
file that name this key must be signed by it (docs/statements.md). A sealed build is proven if the key has
signed what it got, and the log has each file of that. A lock, told by its name, is proven if each file of it
is stored here with its digest, and the log has that: else the exit code is 8 (6: not in the log yet).
With --bundle the bundle's part of the log and its statements prove all that, and no Orchard is asked;
build-ID, or lock-KEY of a lock, is then the bundle itself, with all its objects.
"""
    parser = command(commands, "verify", "prove that files are in the transparency log", "verify:run",
                     more=more)  # fmt: skip
    parser.add_argument(
        "files", metavar="FILE|LOCK|build-ID", nargs="+",
        help="files as a client got them; locks of clients and of `orchard ensure`; sealed builds",
    )  # fmt: skip
    parser.add_argument("--kind", metavar="KIND", choices=("file", "orchard", *KINDS), default="",
                        help="what FILE is, if its name does not tell: file (no lock), orchard (a lock of "
                        f"`orchard ensure`), {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--key", metavar="KEY", default="",
                        help="the log's public key, name+id+base64; of another Orchard: by what its bundles "
                        "brought")  # fmt: skip
    parser.add_argument("--bundle", metavar="BUNDLE", default="",
                        help="by this bundle, which --key has signed; no Orchard is asked")  # fmt: skip
    parser.add_argument("--save", metavar="DIR", default="", help="keep each file's proof there")
    parser.add_argument("--proof", metavar="PROOF", default="",
                        help="of one file: a proof that was saved; no Orchard is asked")  # fmt: skip
    parser.add_argument("--statement", metavar="STATEMENT", default="",
                        help="of one file: statements that were saved; no Orchard is asked")  # fmt: skip


def _statement(commands: Any) -> None:
    more = """\
examples
  orchard statement PURL
  orchard statement vendor/demo.tgz --save statements/
  orchard statement SHA256 --json

Each is signed by the log's key, which is remembered the first time; --key names it instead, as for those
that a key before has signed. docs/statements.md says what they tell.
"""
    parser = command(commands, "statement", "show what is stated of files, verified", "statement:run",
                     more=more)  # fmt: skip
    parser.add_argument("of", metavar="PURL|SHA256|FILE", help="a version, a digest, or a file")
    parser.add_argument("--key", metavar="KEY", default="",
                        help="the log's public key, name+id+base64; of another Orchard: by what its bundles "
                        "brought")  # fmt: skip
    parser.add_argument("--save", metavar="DIR", default="", help="keep them there, by file (.intoto.jsonl)")
