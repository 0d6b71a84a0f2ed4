"""The command line of who may do what: tokens, and issuers that are trusted."""

from __future__ import annotations

from typing import Any

from services.cli.parts import Parser, command, group


def add_to(commands: Any) -> None:
    """Add them to the command's list."""
    _tokens(commands)
    _trust(commands)


def _tokens(commands: Any) -> None:
    below = group(commands, "tokens", "who may read and who may administer")
    more = """\
examples
  ORCHARD_TOKEN=$(orchard tokens exchange)
  orchard tokens exchange --file /var/run/secrets/tokens/orchard

The identity token is that of --file, or of ORCHARD_ID_TOKEN, or what the CI gives: GitHub, Forgejo and
Gitea Actions (`permissions: id-token: write`), CircleCI, Bitbucket. In GitLab say
`id_tokens: ORCHARD_ID_TOKEN: aud: ADDRESS`. Standard output is the token alone, good for 15 minutes.
"""
    parser = command(
        below,
        "exchange",
        "exchange a CI's identity token for a token to read with",
        "exchange:run",
        more=more,
    )
    parser.add_argument(
        "--file", metavar="FILE", default="", help="holds the identity token; - is standard input"
    )
    parser.add_argument(
        "--audience", metavar="TEXT", default="",
        help="for whom the CI is to make the identity token (the address of this Orchard)",
    )  # fmt: skip
    command(below, "list", "list tokens by name, never the tokens themselves", "tokens:show")
    parser = command(
        below, "create", "make a token and print it: it is shown this once", "tokens:create",
        more="Standard output is the token alone: ORCHARD_TOKEN=$(orchard tokens create ci)",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="who will use it")
    parser.add_argument(
        "--scope", metavar="SCOPE", choices=("read", "admin"), default="read", help="read or admin"
    )
    parser.add_argument("--owner", metavar="TEXT", default="", help="who answers for it")
    parser.add_argument("--expires", metavar="WHEN", default="", help="36h, 7d or a date; never without it")
    parser.add_argument(
        "--network", metavar="CIDR", action="append", dest="networks", default=[],
        help="an address or network that it is good from (repeatable); from all without it",
    )  # fmt: skip
    _packages(parser)
    parser = command(
        below, "rotate", "make another token in the place of one, and print it", "tokens:rotate",
        more="Name, scope, owner and bounds stay; the old token is refused within a second.",
    )  # fmt: skip
    parser.add_argument("id", metavar="TOKEN", help="its id or its name, as `orchard tokens list` shows them")
    parser.add_argument(
        "--expires", metavar="WHEN", default="", help="36h, 7d or a date; as before without it"
    )
    parser = command(below, "revoke", "end a token", "tokens:revoke")
    parser.add_argument("id", metavar="TOKEN", help="its id or its name, as `orchard tokens list` shows them")


def _trust(commands: Any) -> None:
    below = group(commands, "trust", "whose identity tokens are exchanged for tokens (operator)")
    command(below, "list", "list the rules in their order; the first that fits counts", "trust:show")
    more = """\
examples
  orchard trust add corp --issuer https://ci.example.com --claim 'repository=corp/*'
  orchard trust add builds --issuer https://kubernetes.example.com --claim 'sub=system:serviceaccount:build:*'

Of a claim that is named several times one pattern has to match; of different claims each. * is any text.
"""
    parser = command(
        below, "add", "trust an issuer's identity tokens with these claims", "trust:add", more=more
    )
    parser.add_argument("name", metavar="NAME", help="a name for it: the ledger shows NAME/subject")
    parser.add_argument("--issuer", metavar="URL", required=True, help="as its tokens have it in iss")
    parser.add_argument(
        "--audience", metavar="TEXT", default="", help="aud of its tokens (the address of this Orchard)"
    )
    parser.add_argument(
        "--claim", metavar="NAME=PATTERN", action="append", dest="claims", required=True,
        help="what a claim must look like (repeatable)",
    )  # fmt: skip
    _packages(parser)
    parser.add_argument(
        "--keys",
        metavar="FILE",
        default="",
        help="the issuer's keys (JWKS), where Orchard cannot ask for them",
    )
    parser = command(below, "remove", "trust no more; tokens that were given by it end", "trust:remove")
    parser.add_argument("id", metavar="RULE", help="its id or its name, as `orchard trust list` shows them")


def _packages(parser: Parser) -> None:
    parser.add_argument(
        "--protocol", metavar="NAME", action="append", dest="protocols", default=[],
        help="that it may read (repeatable); all without it",
    )  # fmt: skip
    parser.add_argument(
        "--package", metavar="PATTERN", action="append", dest="names", default=[],
        help="names of packages that it may read, such as 'corp-*' (repeatable); all without it",
    )  # fmt: skip
