"""`orchard tokens exchange`: a CI's identity token for a token to read with; no secret lies in the CI."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from services.cli.errors import CommandFailed, WrongUse
from services.cli.files import standard_input
from services.cli.output import Output, say
from services.cli.server import Server, connect
from services.cli.target import Target

PATH = "/api/v1/tokens/exchange"
OFFERS = "the exchange of identity tokens"
GIVEN = ("ORCHARD_ID_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN", "BITBUCKET_STEP_OIDC_TOKEN")
"""Variables that hold an identity token; the first that is set counts."""

ASK_AT, ASK_WITH = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""Where GitHub's, Forgejo's and Gitea's runners have one made, and with which token."""


def run(options: argparse.Namespace, output: Output) -> None:
    """Prints the token alone on standard output, so that it can be put into a variable."""
    server = connect(options)
    token = identity(options.file, options.audience or server.target.base, os.environ)
    made = server.call("POST", PATH, value={"subject_token": token}, offers=OFFERS)
    short = str(made.get("access_token", "")) if isinstance(made, dict) else ""
    if not short:
        raise CommandFailed("the server gave no token")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        say(f"::add-mask::{short}")  # so that no log of the job shows it
    output.note(f"a token for {made.get('name')}, good for {made.get('expires_in')} s:")
    output.result(made, short)


def identity(file: str, audience: str, environ: Mapping[str, str]) -> str:
    """The identity token of a file, or of this CI. Raises `WrongUse`, `CommandFailed`."""
    if file:
        try:
            token = standard_input().read().decode() if file == "-" else Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUse(f"--file: {file} cannot be read: {error}") from None
        return _sane(token, "--file")
    for name in GIVEN:
        if environ.get(name):
            return _sane(environ[name], name)
    if environ.get(ASK_AT) and environ.get(ASK_WITH):
        return _asked(environ[ASK_AT], environ[ASK_WITH], audience)
    hint = "In GitHub, Forgejo and Gitea Actions: `permissions: id-token: write`; in GitLab: `id_tokens`."
    raise WrongUse(
        "there is no identity token: no --file, no ORCHARD_ID_TOKEN, and no CI that gives one", hint
    )


def _asked(url: str, secret: str, audience: str) -> str:
    at = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    answer = Server(Target(at, ASK_AT, read_token=secret)).request("GET", "")
    if answer.status != 200:
        raise CommandFailed(
            f"the CI gave no identity token (status {answer.status})", f"It was asked at {ASK_AT}."
        )
    told = answer.json()
    return _sane(str(told.get("value", "")) if isinstance(told, dict) else "", ASK_AT)


def _sane(token: str, where: str) -> str:
    token = token.strip()
    if token.count(".") != 2 or not token.isascii() or len(token.split()) != 1:
        raise WrongUse(f"{where}: holds no identity token (JWT)")
    return token
