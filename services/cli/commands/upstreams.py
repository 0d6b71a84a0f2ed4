"""`orchard upstreams`: the registries that are fetched from, over the admin API.

Their secrets come from a variable or standard input, never from the command line.
"""

from __future__ import annotations

import argparse
import os
from typing import Any
from urllib.parse import urlsplit

from services.cli.errors import CommandFailed, Exit, WrongUse
from services.cli.files import standard_input
from services.cli.output import Output, table
from services.cli.server import Server, connect


def read_secret(variable: str, option: str) -> str:
    """The secret that `--option VARIABLE` names, "" if none was named. Raises `WrongUse`."""
    if not variable:
        return ""
    if variable == "-":
        given = standard_input()
        if given.isatty():
            import getpass

            secret = getpass.getpass(f"{option.removeprefix('--').removesuffix('-from')}: ")
        else:
            try:
                secret = given.readline().decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise WrongUse(f"{option}: standard input is not UTF-8") from None
    else:
        secret = os.environ.get(variable, "")
    if not secret:
        where = "standard input" if variable == "-" else f"the variable {variable[:60]}"
        # Who writes the secret itself in the name's place must not find it in a log.
        if variable != "-" and not variable.isidentifier():
            where = "what was named"
        raise WrongUse(f"{option}: {where} holds nothing", f"{option} takes the NAME of a variable, or '-'.")
    return secret


PATH = "/api/v1/admin/upstreams"
OFFERS = "the administration of upstreams"


def show(options: argparse.Namespace, output: Output) -> None:
    """All upstreams, or one protocol's, in the order they are asked."""
    answer = connect(options).call(
        "GET", PATH, query={"protocol": options.protocol}, offers=OFFERS, admin=True
    )
    found = items(answer)
    rows = [
        (
            str(each.get("protocol", "")),
            str(each.get("priority", "")),
            str(each.get("name", "")),
            state(each),
            ", ".join(each.get("patterns") or []) or "-",
            "yes" if each.get("has_credentials") else "no",
            str(each.get("origin", "")),
            str(each.get("url", "")),
        )
        for each in found
    ]
    heads = ("protocol", "priority", "name", "state", "only", "credentials", "made by", "address")
    output.result(answer, table(rows, heads) if rows else "no upstreams")


def add(options: argparse.Namespace, output: Output) -> None:
    """Makes a new upstream and says which id it has."""
    if not options.address.startswith(("http://", "https://")):
        raise WrongUse(
            f"{options.address[:80]!r} is not an address", "It must start with http:// or https://."
        )
    if "@" in urlsplit(options.address).netloc:
        raise WrongUse(
            "the address must not hold a user or password: everyone on this machine could read them",
            "There are --username and --password-from VARIABLE.",
        )
    wanted: dict[str, Any] = {
        "protocol": options.protocol,
        "name": options.name,
        "url": options.address,
        "username": options.username,
        "password": read_secret(options.password_from, "--password-from"),
        "token": read_secret(options.token_from, "--token-from"),
        "credential_hosts": options.also_at,
        "priority": options.priority,
        "allow_private": options.allow_private,
        "patterns": options.pattern,
        "exclude": options.exclude,
        "allowed_hosts": options.allowed_host,
    }
    value = {name: each for name, each in wanted.items() if each not in ("", None, [], False)}
    made = connect(options).call("POST", PATH, value=value, offers=OFFERS, admin=True)
    output.result(
        made, f"added {options.protocol}/{options.name}; `orchard upstreams test {options.name}` asks it"
    )


def test(options: argparse.Namespace, output: Output) -> Exit:
    """0 if the upstream answered as it should, 1 if not."""
    server = connect(options)
    found = find(server, options.source)
    path, query = f"{PATH}/{found['id']}/test", {"project": options.project}
    said = server.call("POST", path, query=query, offers=OFFERS, admin=True)
    seconds = said.get("seconds")
    timing = f" in {seconds:.2f} s" if isinstance(seconds, int | float) else ""
    state = "answers" if said.get("ok") else "failed the test"
    status = f", status {said['status']}" if said.get("status") else ""
    detail = f": {said['detail']}" if said.get("detail") else ""
    output.result(said, f"{name_of(found)} {state}{timing}{status}{detail}")
    return Exit.DONE if said.get("ok") else Exit.FAILED


def pause(options: argparse.Namespace, output: Output) -> None:
    _change(options, output, {"enabled": False}, "is not asked any more")


def resume(options: argparse.Namespace, output: Output) -> None:
    _change(options, output, {"enabled": True}, "is asked again")


def priority(options: argparse.Namespace, output: Output) -> None:
    _change(options, output, {"priority": options.priority}, f"has priority {options.priority}")


def credentials(options: argparse.Namespace, output: Output) -> None:
    """All of them are replaced together, so that nothing of the old ones is left."""
    given: dict[str, Any] = {
        "username": options.username,
        "password": read_secret(options.password_from, "--password-from"),
        "token": read_secret(options.token_from, "--token-from"),
    }
    if options.none == any(given.values()) or (options.none and options.also_at):
        raise WrongUse(
            "upstreams credentials: name some, or say --none", "`orchard upstreams credentials --help`"
        )
    words = "is asked without credentials" if options.none else "has new credentials"
    hosts = {"credential_hosts": options.also_at} if options.also_at else {}
    _change(options, output, given | hosts, words)


def options(options: argparse.Namespace, output: Output) -> None:
    """All of them are replaced together; without any they are shown."""
    if options.none and options.options:
        raise WrongUse("upstreams options: name some, or say --none", "`orchard upstreams options --help`")
    if not options.options and not options.none:
        found = find(connect(options), options.source)
        output.result(found, f"{name_of(found)} is read with {write_options(found.get('options') or {})}")
        return
    value = read_options(options.options)
    _change(options, output, {"options": value}, f"is read with {write_options(value)}")


def read_options(texts: list[str]) -> dict[str, Any]:
    """`absent=403 merge=corp` as the admin API takes them. Raises `WrongUse`."""
    found: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key == "absent" and all(each.isdecimal() for each in value.split(",")):
            found["absent_statuses"] = [int(each) for each in value.split(",")]
        elif key == "pages" and value in ("here", "elsewhere"):
            found["pages_elsewhere"] = value == "elsewhere"
        elif key == "ahead" and value in ("on", "off"):
            found["read_ahead"] = value == "on"
        elif key == "ages" and value in ("on", "off"):
            found["aged"] = value == "on"
        elif key in ("checksums", "merge"):
            found[key] = value
        else:
            raise WrongUse(
                f"{text[:80]!r} is no option, or no value of it",
                "`orchard upstreams options --help` lists them.",
            )
    return found


def write_options(found: dict[str, Any]) -> str:
    """What `read_options` reads."""
    texts = []
    for key, value in found.items():
        if key == "absent_statuses":
            texts.append("absent=" + ",".join(str(each) for each in value))
        elif key == "pages_elsewhere":
            texts.append("pages=" + ("elsewhere" if value else "here"))
        elif key == "read_ahead":
            texts.append("ahead=" + ("on" if value else "off"))
        elif key == "aged":
            texts.append("ages=" + ("on" if value else "off"))
        else:
            texts.append(f"{key}={value}")
    return " ".join(texts) or "the defaults"


def remove(options: argparse.Namespace, output: Output) -> None:
    """Removes an upstream. Its stored files stay."""
    server = connect(options)
    found = find(server, options.source)
    answer = server.call("DELETE", f"{PATH}/{found['id']}", offers=OFFERS, admin=True)
    output.result(answer if answer is not None else {"removed": found["id"]}, f"removed {name_of(found)}")


def items(answer: Any) -> list[dict[str, Any]]:
    """The list in an answer of the admin API, which comes bare or as a page."""
    found = answer.get("items", []) if isinstance(answer, dict) else answer
    return [each for each in found or [] if isinstance(each, dict)]


def state(upstream: dict[str, Any]) -> str:
    """In words whether it is asked just now, and which Orchard it is."""
    orchard = upstream.get("orchard") or {}
    known = f", Orchard {orchard.get('version')} {str(orchard.get('name'))[:16]}" if orchard else ""
    return _asked(upstream) + known


def _asked(upstream: dict[str, Any]) -> str:
    if not upstream.get("enabled", True):
        return "paused"
    alone = [f"{each.get('what')} ({each.get('reason')})" for each in upstream.get("left_alone") or []]
    failing = ", ".join(alone) or upstream.get("failing")
    return f"failing: {failing}" if failing else "in use"


def find(server: Server, wanted: str) -> dict[str, Any]:
    """The one upstream of this name, PROTOCOL/NAME or id. Raises `CommandFailed`: none, or several."""
    known = items(server.call("GET", PATH, offers=OFFERS, admin=True))
    found = [each for each in known if wanted in (name_of(each), str(each.get("id")))]
    found = found or [each for each in known if wanted == each.get("name")]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandFailed(
            f"several upstreams have the name {wanted!r}",
            f"Name one of them: {', '.join(name_of(each) for each in found)}.",
        )
    from services.cli.parts import suggestion

    names = [name_of(each) for each in known] + [str(each.get("name")) for each in known]
    close = suggestion(wanted, names)
    raise CommandFailed(
        f"there is no upstream {wanted[:80]!r}",
        f"Did you mean {close}?" if close else "`orchard upstreams list` shows them.",
    )


def _change(options: argparse.Namespace, output: Output, value: dict[str, Any], words: str) -> None:
    server = connect(options)
    found = find(server, options.source)
    answer = server.call("PATCH", f"{PATH}/{found['id']}", value=value, offers=OFFERS, admin=True)
    output.result(answer, f"{name_of(found)} {words}")


def name_of(upstream: dict[str, Any]) -> str:
    """As a person names it: "npm/main"."""
    return f"{upstream.get('protocol')}/{upstream.get('name')}"
