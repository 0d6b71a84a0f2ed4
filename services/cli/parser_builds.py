"""`orchard build` and what belongs to it, on the command line."""

from __future__ import annotations

import argparse
from typing import Any

from services.cli.parts import Parser, command, group

_MORE = """\
examples
  orchard build exec --name app --seal -- make deps
  orchard build exec --build ID -- make deps          (from what was recorded, offline)
  orchard build start --name app --policy strict.toml --json
  orchard build seal ID
"""
_BUNDLE = """\
examples
  orchard bundle ID -o app.bundle
  orchard bundle ID -o app-2.bundle --since app.bundle
  orchard bundle lock-KEY -o lock.bundle

It holds the objects, the pages, and the transparency log's proofs that they were admitted (docs/bundles.md).
"""
_IMPORT = """\
examples
  orchard import app.bundle --trust orchard.example.com/log+…

Into the Orchard in ORCHARD_DATA_DIR, running or stopped, or into the stores that the environment names.
Nothing of it can be seen before all of it is checked; again it changes nothing. The build then answers
below /v/build-ID/, a lock below /v/lock-KEY/.
"""
_IMPORT_FILES = """\
examples
  orchard import-files ~/.m2/repository                 what there is, and what is damaged; changes nothing
  orchard import-files /srv/verdaccio/storage --yes
  orchard import-files ./files --own 'PROTOCOL/acme-*' --yes

Into the Orchard in ORCHARD_DATA_DIR, running or stopped, or into the stores that the environment names.
Taken is what the clients of this Orchard install, in plain folders or in the stores of other caches (the
documents say which). It is served last, by the source `import`: a name that an upstream has stays that
upstream's, unless --own says that it is yours. Broken off, it goes on when it is run again.
"""
_IMPORTED = """\
examples
  orchard imported
  orchard imported PROTOCOL/acme-app@1.0 --forget --yes

Of the Orchard in ORCHARD_DATA_DIR, running or stopped, or of the stores that the environment names. What is
forgotten is listed no more; a file that somebody has got stays at its address: `orchard blocks` ends that.
"""
_SHOW = """\
examples
  orchard build show ID
  orchard build show ID --provenance
  orchard build show ID --sbom cyclonedx > bom.cdx.json
  orchard build show ID --sbom spdx --signed > bom.spdx.intoto.json

What a sealed build got, and what that is made of, is signed by the log's key, and checked here; --key names
another than the one that is remembered. docs/statements.md says what is in it.
"""
_EXEC = """\
The command finds its registries by its environment, with empty caches of its own, so that all it needs is
asked for; docs/builds.md says which clients heed that.
"""


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    below = group(commands, "build", "record what a build gets, seal it, run it from that alone", more=_MORE)
    _named(command(below, "start", "start to record a build; print its id and address", "build:start"))
    parser = command(below, "exec", "run a command whose clients ask below a build", "build:run", more=_EXEC)
    _named(parser)
    parser.add_argument("--build", metavar="ID", default="", help="one that was started or sealed before")
    parser.add_argument("--seal", action="store_true", help="seal it if the command succeeds")
    parser.add_argument("--keep", action="store_true", help="keep it open also if the command fails")
    parser.add_argument("words", metavar="-- COMMAND", nargs=argparse.REMAINDER, help="what to run")
    _id(command(below, "seal", "freeze what a build got", "build:seal"))
    parser = command(below, "show", "show a build and what it got", "build:show", more=_SHOW)
    _id(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--provenance", action="store_true", help="print its statement of what it got (SLSA)")
    which.add_argument("--sbom", metavar="KIND", choices=("cyclonedx", "spdx"), default="",
                       help="print its bill of materials: cyclonedx (1.6) or spdx (2.3)")  # fmt: skip
    parser.add_argument("--signed", action="store_true", help="print it in its envelope, as it was signed")
    parser.add_argument("--key", metavar="KEY", default="", help="the log's public key, name+id+base64")
    _id(command(below, "drop", "let go of a build that is not sealed", "build:drop"))
    command(below, "list", "list builds (operator)", "build:listed")
    _id(command(below, "remove", "forget a build, open or sealed (operator)", "build:remove"))
    _bundle(commands)
    _import(commands)
    _import_files(commands)
    _imported(commands)


def _bundle(commands: Any) -> None:
    parser = command(
        commands,
        "bundle",
        "write a sealed build, or a lock, into one signed file",
        "bundle:run",
        more=_BUNDLE,
    )
    parser.add_argument("build", metavar="BUILD", help="id of a sealed build, or lock-KEY of a lock")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write it")
    parser.add_argument(
        "--since",
        metavar="OTHER",
        default="",
        help="leave out what this bundle has, which was imported before",
    )


def _import(commands: Any) -> None:
    parser = command(
        commands, "import", "take a bundle into this machine's Orchard, without a network", "bundle:import_",
        more=_IMPORT,
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="as `orchard bundle` wrote it")
    parser.add_argument(
        "--trust", metavar="KEY", action="append", default=[],
        help="who may have signed it, name+id+base64; once, for a key is remembered",
    )  # fmt: skip


def _import_files(commands: Any) -> None:
    parser = command(
        commands, "import-files", "take files out of a folder, or out of another cache's store",
        "bundle:import_files", more=_IMPORT_FILES,
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", help="links in it are not followed")
    parser.add_argument(
        "--own", metavar="PROTOCOL/NAME", action="append", default=[],
        help="serve this name, or names of this pattern, from what was imported and from nowhere else",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="import; without it nothing is changed")


def _imported(commands: Any) -> None:
    parser = command(
        commands, "imported", "list or forget what was imported out of folders", "bundle:imported",
        more=_IMPORTED,
    )  # fmt: skip
    parser.add_argument("of", metavar="PROTOCOL/NAME", nargs="?", default="", help="of these alone")
    parser.add_argument("--forget", action="store_true", help="say what would be forgotten")
    parser.add_argument("--yes", action="store_true", help="and forget it")


def _named(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", default="", help="for people")
    parser.add_argument("--at", metavar="DATE", default="", help="see everything as it was then")
    parser.add_argument("--policy", metavar="FILE", default="",
                        help="rules that it is held to beside the server's (docs/firewall.md)")  # fmt: skip


def _id(parser: Parser) -> None:
    parser.add_argument("build", metavar="ID", help="as `orchard build start` prints it")
