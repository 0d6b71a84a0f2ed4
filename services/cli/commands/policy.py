"""`orchard policy`: the file of finer rules; `orchard held`: what rules hold back, approved or denied."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from services.cli.commands.exempt import also, let_in
from services.cli.commands.policy_text import as_table, as_toml
from services.cli.commands.upstreams import items
from services.cli.errors import NotOffered, WrongUse
from services.cli.files import read_input
from services.cli.output import Output, counted, moment, table
from services.cli.server import connect

POLICY = "/api/v1/admin/policy"
RULES = "/api/v1/admin/rules"
HELD = "/api/v1/admin/held"
OFFERS = "a policy file"
LARGEST_BYTES = 1024 * 1024


def show(options: argparse.Namespace, output: Output) -> None:
    """The rules in force: of the settings, and of the policy file in their order; with --toml that file."""
    server = connect(options)
    answer = server.call("GET", POLICY, offers=OFFERS, admin=True)
    if options.toml:
        output.write(as_toml(items(answer)).encode())
        return
    with suppress(NotOffered):  # of before there was a list of all
        answer["settings"] = server.call("GET", RULES, offers=OFFERS, admin=True)["settings"]
    tables = {"of the settings": answer.get("settings", []), "of the policy file": items(answer)}
    parts = [f"{whose}\n{as_table(rules)}" for whose, rules in tables.items() if rules]
    output.result(answer, "\n\n".join(parts) or "no rules are in force")


def apply(options: argparse.Namespace, output: Output) -> None:
    """Puts a file in force, in place of what was applied before; with what it would have refused."""
    value = {"policy": _text(options.file), "dry_run": options.dry_run, "yes": options.yes}
    answer = _post(options, POLICY, value)
    rows = [
        (
            str(each["name"]),
            f"{each['versions']} of {each['of']}",
            str(each["servings"]),
            str(each["clients"]),
            "; ".join(each["examples"][:1]) or "-",
        )
        for each in answer["would_refuse"]
    ]
    parts = ["in force" if answer["applied"] else "not applied (--dry-run)"]
    parts += [f"note: {each}" for each in answer.get("notes", ())]
    if ended := answer.get("ended"):
        will = "" if answer["applied"] else "would be "
        parts.append(f"{will}no longer in force: {', '.join(map(str, ended))}")
    if not answer.get("counted", True):
        parts.append("what each rule would have refused could not be counted: --dry-run tries again")
    if rows:
        heads = ("rule", "versions of 30 days", "servings", "clients", "such as")
        parts.append(table(rows, heads))
    parts += [
        f"{each['name']}: of {counted(each['source_unknown'], 'version')} nobody knows which upstream it came"
        " from; they are counted as from one of the rule's"
        for each in answer["would_refuse"]
        if each.get("source_unknown")
    ]
    output.result(answer, "\n".join(parts))


def test(options: argparse.Namespace, output: Output) -> None:
    """What the rules in force, or those of a file, say of a package's versions."""
    text = _text(options.file) if options.file else ""
    value = {"of": options.purl, "policy": text}
    answer = _post(options, f"{POLICY}/test", value)
    rows = [
        (
            "allowed" if each["allowed"] else "refused",
            str(each["purl"]),
            str(each["why"] or "; ".join(each["warnings"]) or "-"),
        )
        for each in items(answer)
    ]
    output.result(answer, table(rows, ("", "package", "why")) if rows else "it has no such version")


def held(options: argparse.Namespace, output: Output) -> None:
    """What is held back, the last first."""
    query = {"limit": str(options.limit)}
    answer = connect(options).call("GET", HELD, query=query, offers="held versions", admin=True)
    output.result(answer, _held(items(answer)) or "nothing is held back")
    output.note("names that a rule refuses whole are not listed: `orchard policy show`, `orchard why PURL`")


def show_held(options: argparse.Namespace, output: Output) -> None:
    """What is held back of a package, and what each version has that the last allowed one had not."""
    query = {"of": options.purl}
    answer = connect(options).call("GET", f"{HELD}/versions", query=query, offers="held versions", admin=True)
    found = items(answer)
    parts = [_held(found)] if found else [f"nothing of {options.purl} is held back"]
    for each in found:
        told = [f"  {key.replace('_', ' ')}: {_value(value)}" for key, value in each["change"].items()]
        if told:
            parts += [str(each["purl"]), *told]
    output.result(answer, "\n".join(parts))


def _value(value: Any) -> str:
    """What a change has of something, in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(each) or "none" for each in value) if isinstance(value, list) else str(value)


def approve(options: argparse.Namespace, output: Output) -> None:
    """Lets a held version in, everywhere within a second: an exemption."""
    value = {"of": options.purl, "reason": options.reason, "expires": options.expires, **also(options)}
    made = connect(options).call("POST", f"{HELD}/approve", value=value, offers="held versions", admin=True)
    output.result(made, let_in(options.purl, "is let in", made))


def deny(options: argparse.Namespace, output: Output) -> None:
    """Keeps a held version out, also when time would let it in: a block."""
    value = {"of": options.purl, "reason": options.reason}
    made = connect(options).call("POST", f"{HELD}/deny", value=value, offers="held versions", admin=True)
    output.result(made, f"{options.purl} stays out")


def _post(options: argparse.Namespace, path: str, value: Any) -> Any:
    """Sends a policy file. An error of its text names the file."""
    try:
        return connect(options).call("POST", path, value=value, offers=OFFERS, admin=True)
    except WrongUse as error:
        field, _, why = error.message.partition(": ")
        if field != "policy" or not options.file:
            raise
        raise WrongUse(f"{options.file}: {why}", error.hint, code=error.code, status=error.status) from None


def _text(name: str) -> str:
    try:
        return read_input(name, "A policy file", LARGEST_BYTES, "docs/firewall.md").decode()
    except UnicodeDecodeError:
        raise WrongUse(f"{name} is not UTF-8") from None


def _held(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            str(each["purl"]),
            moment(each["published"]) if each["published"] else "-",
            moment(each["until"]) if each["until"] else "never",
            str(each["why"]),
        )
        for each in found
    ]
    return table(rows, ("held", "published", "let in", "why")) if rows else ""
