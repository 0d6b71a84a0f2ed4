"""The operator's commands on the command line: upstreams, cache, pins, blocks, tokens, audit."""

from __future__ import annotations

from typing import Any

from services.cli.parts import (
    PROTOCOL_NAMES,
    QUEUES,
    Parser,
    command,
    group,
    number,
    options,
    page,
    period,
    priority,
    protocol,
    seconds,
    seconds_or_when,
    secrets,
    source,
)
from services.cli.table import PROTOCOLS
from shared.artifacts.event_kinds import EVENT_KINDS

STAYS = """\
Files that are stored stay, and locks and clients that know their addresses get them. Its pages are not
shown: a project that no other source may be asked for answers `no_source` (424; a file that is not
stored 403), never 404."""

UNTIL = "36h, 7d (400d at most) or a date; never without it"


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    for each in (
        _upstreams,
        _cache,
        _pins,
        _blocks,
        _exempt,
        _feeds,
        _policy,
        _held,
        _who_has,
        _servings,
        _audit,
        _events,
        _queue,
    ):
        each(commands)


def _upstreams(commands: Any) -> None:
    below = group(commands, "upstreams", "the registries that are fetched from (operator)")
    parser = command(below, "list", "list upstreams in the order they are asked", "upstreams:show")
    parser.add_argument("protocol", metavar="PROTOCOL", choices=(*PROTOCOLS, ""), nargs="?", default="",
                        help="only this protocol's")  # fmt: skip
    parser = command(below, "add", "add an upstream; in use within a second", "upstreams:add")
    protocol(parser)
    parser.add_argument("name", metavar="NAME", help="a name for it")
    parser.add_argument("address", metavar="ADDRESS", help="its http(s) address")
    parser.add_argument("--priority", metavar="N", type=priority, help="lower is asked first")
    parser.add_argument("--pattern", metavar="GLOB", action="append", default=[],
                        help="only projects of such names; may be repeated")  # fmt: skip
    parser.add_argument("--exclude", metavar="GLOB", action="append", default=[],
                        help="never projects of such names; may be repeated")  # fmt: skip
    parser.add_argument("--allowed-host", metavar="HOST", action="append", default=[],
                        help="files may come from this host alone; may be repeated")  # fmt: skip
    _credentials(parser)
    parser.add_argument("--allow-private", action="store_true", help="its name may lead to private addresses")
    parser = command(below, "test", "ask an upstream now and say how it answered", "upstreams:test")
    source(parser)
    parser.add_argument(
        "--project", metavar="NAME", default="", help="ask for this project, not for the root"
    )
    for name, text, run in (
        ("pause", "ask an upstream no more, and show its pages no more", "upstreams:pause"),
        ("resume", "ask a paused upstream again, and show its pages again", "upstreams:resume"),
    ):
        source(command(below, name, text, run, more=STAYS if name == "pause" else ""))
    parser = command(below, "priority", "change when an upstream is asked", "upstreams:priority")
    source(parser)
    parser.add_argument("priority", metavar="N", type=priority, help="lower is asked first")
    parser = command(below, "credentials", "replace an upstream's credentials", "upstreams:credentials")
    source(parser)
    _credentials(parser)
    parser.add_argument("--none", action="store_true", help="ask it without any from now on")
    parser = command(below, "options", "show or replace how its answers are read", "upstreams:options",
                     more="What is named replaces all that was set. Without any they are shown.")  # fmt: skip
    source(parser)
    options(parser)
    parser.add_argument("--none", action="store_true", help="every option has its default again")
    parser = command(below, "remove", "remove an upstream, and show its pages no more", "upstreams:remove",
                     more=STAYS + "\nIts projects stay pinned to it: `orchard pins` lets go.")  # fmt: skip
    source(parser)


def _credentials(parser: Parser) -> None:
    parser.add_argument("--username", metavar="USER", default="", help="user name for it")
    secrets(parser, "password", "token")
    parser.add_argument("--also-at", metavar="HOST", action="append", default=[],
                        help="send them to this host, too, where its files are; may be repeated")  # fmt: skip


def _cache(commands: Any) -> None:
    below = group(commands, "cache", "what is kept: show, ask again, have ready")
    parser = command(below, "show", "list packages of which something is kept, or one's files", "cache:show")
    protocol(parser)
    parser.add_argument(
        "name", metavar="PACKAGE", nargs="?", default="", help="list the files of this package"
    )
    parser.add_argument("--prefix", metavar="TEXT", default="", help="only packages whose name starts so")
    page(parser)
    parser = command(
        below, "invalidate", "have pages asked for again when next wanted (operator)", "cache:invalidate",
        more="Files, hashes and dependencies are immutable and stay. While a source takes longer than\n"
        "ORCHARD_STALE_WAIT, or fails, the page is served as it was (X-Cache: STALE).",
    )  # fmt: skip
    protocol(parser)
    parser.add_argument("project", metavar="PROJECT", nargs="?", default="", help="the page of this project")
    parser.add_argument("--all", action="store_true", help="every page of the protocol")
    parser = command(
        below, "warm", "have packages and all they need in the cache", "cache:warm",
        more="The same as `orchard ensure` for these packages, without a lock.",
    )  # fmt: skip
    protocol(parser)
    parser.add_argument("requirements", metavar="REQUIREMENT", nargs="+",
                        help="such as flask, express@^4, com.google.guava:guava:33.0.0-jre")  # fmt: skip
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, help="give up waiting (6); the work goes on"
    )


def _pins(commands: Any) -> None:
    below = group(commands, "pins", "which upstream each project is bound to (operator)")
    parser = command(below, "list", "list the projects and the upstream that first served each", "pins:show")
    parser.add_argument("protocol", metavar="PROTOCOL", choices=(*PROTOCOLS, ""), nargs="?", default="",
                        help="only this protocol's")  # fmt: skip
    parser.add_argument("--prefix", metavar="TEXT", default="", help="only projects whose name starts so")
    page(parser)
    more = """\
examples
  orchard pins set npm @corp/app private
  orchard pins set maven com.corp:* releases snapshots
  orchard pins set maven javax.media:jai_core central jboss
"""
    parser = command(below, "set", "have a project looked for in these upstreams alone", "pins:change",
                     more=more)  # fmt: skip
    protocol(parser)
    parser.add_argument(
        "project",
        metavar="PROJECT",
        help="its name, or a group of them where the protocol has groups (com.corp:*)",
    )
    parser.add_argument("sources", metavar="UPSTREAM", nargs="+",
                        help="an upstream's name; what several have of it is merged")  # fmt: skip
    parser = command(below, "remove", "let a project be looked for in every upstream again", "pins:remove")
    protocol(parser)
    parser.add_argument("project", metavar="PROJECT", help="its name")


def _blocks(commands: Any) -> None:
    below = group(commands, "blocks", "what must not be served (operator)")
    command(below, "list", "list what is blocked and why", "blocks:show")
    more = """\
examples
  orchard blocks add pkg:pypi/evil-package --reason 'steals tokens'
  orchard blocks add pkg:npm/left-pad@1.3.0 --reason 'broken'
  orchard blocks add npm left-pad 1.3.0 --reason 'broken'
  orchard blocks add --sha256 2cf24d… --reason 'malware'
"""
    parser = command(below, "add", "block a package, one version of it, or one file", "blocks:add",
                      more=more)  # fmt: skip
    about = f"a package URL, with a version or for all, or a SHA256; or {PROTOCOL_NAMES}, and then"
    parser.add_argument("protocol", metavar="PURL", nargs="?", default="", help=about)
    parser.add_argument("name", metavar="PACKAGE", nargs="?", default="", help="its name")
    parser.add_argument(
        "version", metavar="VERSION", nargs="?", default="", help="one version; all without it"
    )
    parser.add_argument("--sha256", metavar="DIGEST", default="", help="a file, whatever it is called")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="shown to whoever asks for it")
    parser = command(below, "remove", "lift a block", "blocks:remove")
    parser.add_argument("id", metavar="ID", help="as `orchard blocks list` shows it")


def _exempt(commands: Any) -> None:
    more = "examples\n  orchard why pkg:npm/left-pad@1.3.0\n  orchard why pkg:pypi/flask\n"
    about = "say why a package's versions are served or not"
    parser = command(commands, "why", about, "exempt:why", more=more)
    parser.add_argument("purl", metavar="PURL", help="a package URL; without a version all that is held back")
    below = group(commands, "exempt", "what no rule holds back (operator)")
    command(below, "list", "list exemptions, those that are over too", "exempt:show")
    more = """\
examples
  orchard exempt add pkg:npm/left-pad@1.3.0 --reason 'fixes CVE-2026-1' --expires 7d
  orchard exempt add pkg:maven/com.corp/lib --reason 'ours'
"""
    parser = command(below, "add", "let a package, a version or a file in at once", "exempt:add", more=more)
    parser.add_argument("what", metavar="PURL", help="a package URL, with a version or for all; or a SHA256")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="for whoever reads the list")
    parser.add_argument("--expires", metavar="WHEN", default="", help=UNTIL)
    parser.add_argument("--yes", action="store_true", help="also malware")
    parser = command(below, "remove", "end an exemption", "exempt:remove")
    parser.add_argument("what", metavar="PURL", help="as `orchard exempt list` shows it, or its id")


def _feeds(commands: Any) -> None:
    below = group(commands, "feeds", "where advisories on malware and vulnerabilities come from (operator)")
    command(below, "list", "say of each feed what counts, how fresh it is, and what is wrong", "feeds:show")
    parser = command(below, "accept", "let a feed count that has become much smaller", "feeds:accept")
    parser.add_argument("feed", metavar="FEED", help="as `orchard feeds list` shows it")
    below = group(commands, "quarantine", "stored files that are malware (operator)")
    parser = command(below, "list", "list them; they are served to nobody", "feeds:quarantine")
    page(parser)
    parser = command(below, "get", "write the bytes of one to a file; noted in the audit", "feeds:get")
    parser.add_argument("sha256", metavar="SHA256", help="as `orchard quarantine list` shows it")
    parser.add_argument("output", metavar="FILE", help="where to write it")


def _policy(commands: Any) -> None:
    below = group(commands, "policy", "the file of finer rules (operator)")
    parser = command(below, "show", "list the rules in force", "policy:show")
    parser.add_argument("--toml", action="store_true", help="as a policy file, which `apply` takes")
    more = """\
examples
  orchard policy apply policy.toml --dry-run
  orchard policy test pkg:npm/left-pad@1.3.0 --file policy.toml
"""
    parser = command(
        below, "apply", "put a file in force, in place of the one before", "policy:apply", more=more
    )
    parser.add_argument("file", metavar="FILE", help="TOML (docs/firewall.md); - for standard input")
    parser.add_argument(
        "--dry-run", action="store_true", help="only tell what it would have refused in 30 days"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="at once, and count afterwards; also rules that would have refused everything, or none at all",
    )
    more = """\
The rules of the file alone are asked, and spare nothing that is stored: no block, exemption, advisory or
setting has a part in it; `orchard why` tells what all of them come to. They are asked of the list of versions
that is stored; without one of the name, if the rules about it ask for no more.
"""
    parser = command(below, "test", "say what the rules come to for a package", "policy:test", more=more)
    parser.add_argument("purl", metavar="PURL", help="a package URL, with a version or for all")
    parser.add_argument(
        "--file", metavar="FILE", default="", help="by this file; without it by the rules in force"
    )


def _held(commands: Any) -> None:
    below = group(commands, "held", "versions that rules hold back (operator)")
    parser = command(below, "list", "list them, the last first", "policy:held")
    page(parser)
    parser = command(below, "show", "show what a package's held versions changed", "policy:show_held")
    parser.add_argument("purl", metavar="PURL", help="a package URL, with a version or for all")
    for name, about, does in (
        ("approve", "let one in: an exemption", "policy:approve"),
        ("deny", "keep one out for good: a block", "policy:deny"),
    ):
        parser = command(below, name, about, does)
        parser.add_argument("purl", metavar="PURL", help="a package URL, with a version or for all")
        parser.add_argument("--reason", metavar="TEXT", required=True, help="for whoever reads the list")
        if name == "approve":
            parser.add_argument("--expires", metavar="WHEN", default="", help=UNTIL)
            parser.add_argument("--yes", action="store_true", help="also malware")


def _who_has(commands: Any) -> None:
    more = """\
examples
  orchard who-has pkg:npm/left-pad@1.3.0
  orchard who-has pkg:maven/org.apache.logging.log4j/log4j-core --since 30d
  orchard who-has 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 --json
  orchard who-has MAL-2026-4711

A name may be spelt as its protocol allows; without a version all of them are meant. The question is in the
audit. docs/ledger.md says what is a serving.
"""
    parser = command(commands, "who-has", "say who got a package or a file, and what names it (operator)",
                     "servings:who_has", more=more)  # fmt: skip
    parser.add_argument(
        "of", metavar="PURL", help="a package URL, with or without a version, a SHA256, or an advisory"
    )
    period(parser)
    page(parser)


def _servings(commands: Any) -> None:
    below = group(commands, "servings", "the ledger of what went to whom (operator)")
    parser = command(below, "export", "print every serving of a time, one a line, the oldest first",
                     "servings:export")  # fmt: skip
    period(parser)
    parser.add_argument("--format", metavar="FORMAT", choices=("jsonl", "cloudevents"), default="jsonl",
                        help="jsonl, or cloudevents (one a line)")  # fmt: skip


def _audit(commands: Any) -> None:
    parser = command(commands, "audit", "list who changed what, the newest first (operator)", "audit:run")
    page(parser)


def _events(commands: Any) -> None:
    parser = command(commands, "events", "list what operators should know, the last seen first (operator)",
                     "events:show")  # fmt: skip
    parser.add_argument("--kind", metavar="KIND", choices=(*EVENT_KINDS, ""), default="",
                        help="only this kind: " + ", ".join(EVENT_KINDS))  # fmt: skip
    parser.add_argument("--protocol", metavar="PROTOCOL", choices=(*PROTOCOLS, ""), default="",
                        help="only this protocol's")  # fmt: skip
    parser.add_argument("--project", metavar="NAME", default="",
                        help="only this project's, in any spelling")  # fmt: skip
    parser.add_argument("--since", metavar="WHEN", type=seconds_or_when,
                        help="7d, 36h, a date or time (RFC 3339), or so many seconds ago")  # fmt: skip
    page(parser)
    below = parser.add_subparsers(metavar="COMMAND", title="commands")
    parser = command(
        below, "accept", "take what an upstream made of a file that it had before", "events:accept",
        more="Until then clients get the first bytes. Only upstream_mutated can be accepted.",
    )  # fmt: skip
    parser.add_argument("id", metavar="ID", type=number, help="as `orchard events` shows it")


def _queue(commands: Any) -> None:
    below = group(commands, "queue", "jobs that were given up (operator)")
    parser = command(below, "dead", "list jobs that were given up, try one again or drop it", "queue:dead")
    parser.add_argument("queue", metavar="QUEUE", choices=(*QUEUES, ""), nargs="?", default="",
                        help="only this queue's: " + ", ".join(QUEUES))  # fmt: skip
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--retry", metavar="ID", help="put this one into its queue again")
    either.add_argument("--drop", metavar="ID", help="forget this one")
    page(parser)
