"""`orchard build`: record what a build gets, seal it, run it again from that alone."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.cli.clients import surroundings
from services.cli.commands.upstreams import items
from services.cli.errors import CommandFailed, Exit, WrongUse
from services.cli.files import read_input, write_whole
from services.cli.known_log import WHAT_NOW, key_of
from services.cli.output import Output, counted, moment, table
from services.cli.running import run_command
from services.cli.server import Server, connect, read_pages
from services.cli.table import CLIENTS
from services.cli.target import choose_target
from shared.clientfiles.setup import Setup
from shared.tlog.dsse import OF_BUILDS, Statement, read_statement
from shared.tlog.trees import Unproven

PATH = "/api/v1/builds"
OFFERS = "builds"
_POLICY_BYTES = 60 * 1024


def start(options: argparse.Namespace, output: Output) -> None:
    """Starts to record; prints the id and where to ask."""
    told = _start(options)
    output.result(told, f"{told['id']}\n{told['base']}")


def seal(options: argparse.Namespace, output: Output) -> None:
    """Freezes the list; again the same."""
    told = connect(options).call("POST", f"{PATH}/{build_id(options.build)}/seal", offers=OFFERS)
    output.result(told, _sealed(told))


def show(options: argparse.Namespace, output: Output) -> None:
    """A build and what it got, or a signed statement of it."""
    kind = "provenance" if options.provenance else options.sbom
    if kind:
        _show_statement(options, output, kind)
        return
    if options.signed or options.key:
        raise WrongUse("build show: --signed and --key need --provenance or --sbom", "See --help.")
    told = connect(options).call("GET", f"{PATH}/{build_id(options.build)}", offers=OFFERS)
    columns = ("kind", "protocol", "name", "sha256", "refused")
    rows = [tuple(str(each[column]) or "-" for column in columns) for each in items(told)]
    head = f"{told['id']}  {told['state']}  {told['name'] or '-'}  {told['base']}"
    output.result(told, f"{head}\n{table(rows, columns)}")


def _show_statement(options: argparse.Namespace, output: Output, kind: str) -> None:
    """Raises `CommandFailed` for one that is not this log's, or about something else."""
    server, id = connect(options), build_id(options.build)
    try:
        envelope, statement = stated(server, id, kind, options.key)
    except Unproven as error:
        raise CommandFailed(f"not proven: {error}", WHAT_NOW) from None
    whole = statement.predicate if options.sbom else statement.whole
    output.write((envelope if options.signed else json.dumps(whole, indent=2).encode()) + b"\n")


def stated(server: Server, id: str, kind: str, key: str) -> tuple[bytes, Statement]:
    """A build's envelope of this kind, and the statement in it. Raises `Unproven`, and what the server's
    errors mean."""
    answer = server.request("GET", f"{PATH}/{id}/statements/{kind}")
    server.check(answer, offers=OFFERS)
    statement = read_statement(answer.body, key_of(server, key), OF_BUILDS[kind])
    if statement.whole["subject"][0].get("name") != f"build-{id}":
        raise Unproven("the statement is about another build")
    return answer.body, statement


def listed(options: argparse.Namespace, output: Output) -> None:
    """All builds, the newest first."""
    told = read_pages(connect(options), "/api/v1/admin/builds", limit=sys.maxsize, offers=OFFERS, admin=True)
    rows = [
        (each["id"], each["state"], each["name"] or "-", moment(each["created_at"]), str(each["files"]))
        for each in items(told)
    ]
    heads = ("id", "state", "name", "started", "files")
    output.result(told, table(rows, heads) if rows else "there are no builds")


def remove(options: argparse.Namespace, output: Output) -> None:
    """Forgets one: its addresses answer no more."""
    id = build_id(options.build)
    told = connect(options).call("DELETE", f"/api/v1/admin/builds/{id}", offers=OFFERS, admin=True)
    output.result(told, f"{id} is removed")


def run(options: argparse.Namespace, output: Output) -> Exit | int:
    """Runs a command whose clients ask below a build; its exit code is ours. Started for it unless one is
    named, and sealed afterwards if asked for and the command succeeded."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise WrongUse("build exec: no command", "`orchard build exec -- make deps`")
    told = _start(options) if not options.build else None
    if told is None:
        told = connect(options).call("GET", f"{PATH}/{build_id(options.build)}", offers=OFFERS)
    base = choose_target(options.url, os.environ).base + urlsplit(told["base"]).path
    output.note(f"build {told['id']}")
    try:
        with tempfile.TemporaryDirectory(prefix="orchard-build-", ignore_cleanup_errors=True) as scratch:
            env = {**surrounded(os.environ, base, Path(scratch)), "ORCHARD_BUILD": told["id"]}
            code = run_command(words, env)
    except CommandFailed:
        _let_go(told["id"], options, output)
        raise
    if code:
        _let_go(told["id"], options, output)
    elif options.seal:
        _seal_after(told["id"], options, output)
    return code


def _seal_after(id: str, options: argparse.Namespace, output: Output) -> None:
    try:
        sealed = connect(options).call("POST", f"{PATH}/{id}/seal", offers=OFFERS)
    except CommandFailed as error:
        if error.status == 409:  # it got what its own policy is against, and is never sealed
            _let_go(id, options, output)
        raise
    output.result(sealed, _sealed(sealed))
    if not sealed["files"] and not sealed["pages"]:
        raise CommandFailed(
            "the build is sealed and empty: the command asked for nothing in it",
            "It had all in a cache that is not emptied here, or took it from the addresses in its lock: "
            "docs/builds.md says of which clients.",
        )


def drop(options: argparse.Namespace, output: Output) -> None:
    """Lets go of one that is not sealed."""
    id = build_id(options.build)
    told = connect(options).call("DELETE", f"{PATH}/{id}", offers=OFFERS)
    output.result(told, f"{id} is gone")


def _let_go(id: str, options: argparse.Namespace, output: Output) -> None:
    """Of a build that was started for a command that failed: left open it counts among those that may be."""
    if options.build or options.keep:
        return
    try:
        connect(options).call("DELETE", f"{PATH}/{id}", offers=OFFERS)
    except CommandFailed:
        return  # sealed by then, or an older server: it ends by itself
    output.note(f"build {id} is let go of; --keep keeps it")


def _start(options: argparse.Namespace) -> dict[str, Any]:
    value = {"name": options.name, "at": options.at}
    if options.policy:
        try:
            value["policy"] = read_input(
                options.policy, "A policy file", _POLICY_BYTES, "docs/firewall.md"
            ).decode()
        except UnicodeDecodeError:
            raise WrongUse(
                f"{options.policy} is not UTF-8", "docs/firewall.md shows a policy file."
            ) from None
    return dict(connect(options).call("POST", PATH, value=value, offers=OFFERS))


def surrounded(inherited: Mapping[str, str], base: str, scratch: Path) -> dict[str, str]:
    """An environment in which all protocols' clients ask below `base`, and nowhere else; their files are
    written below `scratch`."""
    token = bool(inherited.get("ORCHARD_TOKEN"))
    environ = {"HOME": str(scratch), "ORCHARD_TOKEN": inherited.get("ORCHARD_TOKEN", "")}
    setup = Setup(base, scratch, environ, token)
    variables = dict(inherited)
    for protocol in dict.fromkeys(CLIENTS.values()):
        made = surroundings(protocol, setup)
        for name in made.without:
            variables.pop(name, None)
        variables |= made.variables
        for each in made.files:
            each.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(each.path, each.snippet.encode())
    for name in ("NO_PROXY", "no_proxy"):  # the build's address is asked through no proxy
        variables[name] = ",".join(filter(None, (inherited.get(name, ""), urlsplit(base).hostname)))
    return variables


def build_id(text: str) -> str:
    """The id in an address, a name or an id of a build. Raises `WrongUse`."""
    id = text.rpartition("build-")[2].rpartition("lock-")[2].strip("/")
    if not id.isalnum():
        raise WrongUse(f"{text[:80]!r} is no id of a build", "`orchard build start` prints one.")
    return id


def _sealed(told: dict[str, Any]) -> str:
    got = f"{counted(told['pages'], 'page')}, {counted(told['files'], 'file')}, {told['absent']} absent"
    lacks = "".join(f"\nnever came: {each}" for each in told["missing"])
    return f"{told['id']} is sealed: {got}\n{told['base']}{lacks}"
