"""HTTP as the command needs it: one request, one answer, lists page by page, every failure with a hint.

The standard library's client without redirects (a token must not follow one to another host) and, for this
machine's own address, without proxies.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from services.cli.errors import (
    CommandFailed,
    Conflict,
    NotOffered,
    NotPermitted,
    ServerUnreachable,
    Unfinished,
    WrongUse,
)
from services.cli.output import Output
from services.cli.target import TOKEN_FILE, Target, choose_target
from shared.access.identity import PATH, is_proof, new_nonce
from shared.version import VERSION

TIMEOUT_SECONDS = 60.0  # a gateway answers within ORCHARD_REQUEST_TIMEOUT, or with a 202


class Answer(NamedTuple):
    """Status, headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `CommandFailed`: then it is no Orchard that answered."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CommandFailed(
                f"the answer (status {self.status}) is not JSON",
                "Is it an Orchard that listens at this address?",
            ) from None

    @property
    def retry_after_seconds(self) -> float:
        """What the header says, kept between 0.2 and 30; 1 without it."""
        try:
            return min(max(float(self.headers.get("retry-after", "1")), 0.2), 30.0)
        except ValueError:
            return 1.0


_OF_TOKENS = ("", "forbidden", "identity_refused")
"""Codes of a 403 that another token may change: others are of rules about packages."""


class Server:
    """One Orchard."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._doubted = False  # whether it owes the proof that the data folder's token may be sent
        self._opener = OpenerDirector()
        for handler in (
            HTTPHandler(),
            HTTPSHandler(),
            UnknownHandler(),
            ProxyHandler({} if target.is_local else None),
        ):
            self._opener.add_handler(handler)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        admin: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        """The answer, whatever its status. Raises `ServerUnreachable`."""
        if self.target.file_token:
            self.target = self._proven(self.target)
        asked = {name: value for name, value in (query or {}).items() if value != ""}
        url = self.target.base + path + (f"?{urlencode(asked)}" if asked else "")
        headers = {"Accept": "application/json", "User-Agent": f"orchard/{VERSION}"}
        if body is not None:
            headers["Content-Type"] = content_type
        token = self.target.admin_token if admin else self.target.read_token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._send(url, method, headers, body, timeout_seconds)

    @contextlib.contextmanager
    def stream(self, path: str, value: Any) -> Iterator[tuple[Answer, Callable[[int], bytes]]]:
        """The answer to a POST without its body, and what reads that: so many bytes, fewer at the end alone.
        Of an error the body is in the answer. Raises `ServerUnreachable`, while it is read too."""
        if self.target.file_token:
            self.target = self._proven(self.target)
        headers = {"User-Agent": f"orchard/{VERSION}", "Content-Type": "application/json"}
        if self.target.read_token:
            headers["Authorization"] = f"Bearer {self.target.read_token}"
        body = json.dumps(value).encode()
        request = Request(self.target.base + path, data=body, headers=headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                got = {name.lower(): name_value for name, name_value in response.headers.items()}
                failed = response.status >= 300
                yield Answer(response.status, got, response.read() if failed else b""), response.read
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise self._unreachable(error) from None

    def _send(
        self, url: str, method: str, headers: dict[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        request = Request(url, data=body, headers=headers, method=method)  # noqa: S310 - http(s) only
        try:
            with self._opener.open(request, timeout=timeout_seconds) as response:
                got = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, got, response.read())
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise self._unreachable(error) from None

    def _proven(self, target: Target) -> Target:
        """The target with the data folder's token if it proves to know it, else without (identity.py)."""
        nonce = new_nonce()
        url = f"{target.proven_at}{PATH}?nonce={nonce}"
        answer = self._send(url, "GET", {"User-Agent": f"orchard/{VERSION}"}, None, TIMEOUT_SECONDS)
        port = urlsplit(target.proven_at).port or 80
        try:
            given = json.loads(answer.body)["proof"]
        except (ValueError, LookupError, TypeError):
            given = ""
        token = target.file_token
        if not is_proof(given, token, port, nonce):
            self._doubted = True
            return target._replace(file_token="")
        return target._replace(base=target.proven_at, read_token=token, admin_token=token, file_token="")

    def call(
        self,
        method: str,
        path: str,
        *,
        offers: str,
        query: Mapping[str, str] | None = None,
        value: Any = None,
        admin: bool = False,
    ) -> Any:
        """The answer's JSON, None for an empty one. `offers` names in words what this address is for.

        Raises the subclass of `CommandFailed` that fits an error.
        """
        body = json.dumps(value).encode() if value is not None else None
        answer = self.request(method, path, query=query, body=body, admin=admin)
        self.check(answer, offers=offers, admin=admin)
        return answer.json() if answer.body else None

    def check(self, answer: Answer, *, offers: str, admin: bool = False) -> None:
        """Raises what an answer's status means, unless it is a success."""
        if answer.status < 300:
            return
        problem = problem_of(answer)
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
        hint = str(problem.get("hint", ""))
        if code == "route_not_found" or answer.status in (405, 501) or (answer.status == 404 and not code):
            raise NotOffered(
                f"the Orchard at {self.target.base} does not offer {offers}",
                "It may be an older version: `orchard status` shows it.",
                code=code,
                status=answer.status,
            )
        if answer.status == 401 or (answer.status == 403 and code in _OF_TOKENS):
            raise NotPermitted(
                detail or "the request was refused",
                hint if code == "identity_refused" else self._token_hint(admin or code == "forbidden"),
                code=code,
                status=answer.status,
            )
        kinds = {"resolution_conflict": Conflict, "ensure_invalid": WrongUse, "invalid_parameter": WrongUse}
        kind = kinds.get(code, Unfinished if answer.status == 503 else CommandFailed)
        if not problem:
            hint = "Is it an Orchard that listens at this address?"
            if 300 <= answer.status < 400:
                where = urlsplit(answer.headers.get("location", ""))
                hint = (
                    f"It points to {where.scheme}://{where.hostname}: set ORCHARD_URL to the final address."
                )
            detail = f"{self.target.base} answered with status {answer.status}"
        raise kind(detail or code, hint, code=code, status=answer.status)

    def _token_hint(self, admin: bool) -> str:
        if self._doubted:
            return (
                "What listens there did not prove to be the Orchard of this data folder, so the folder's "
                "token was not sent. Set ORCHARD_DATA_DIR, ORCHARD_HOST and ORCHARD_PORT as they are for "
                "that Orchard, and restart it if it is of an older version."
            )
        name = "ORCHARD_ADMIN_TOKEN" if admin else "ORCHARD_TOKEN"
        given = self.target.admin_token if admin else self.target.read_token
        what = "the operator's token" if admin else "a read token"
        where = f"; on the machine it runs on, it is in the data folder's {TOKEN_FILE}" if admin else ""
        if given:
            return f"The token that was sent is not sufficient: set {name} to {what}{where}."
        return f"Set {name} to {what}{where}."

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        reason = error.reason if isinstance(error, URLError) else error
        name = self.target.chosen_by
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ServerUnreachable(
                f"the certificate of {self.target.base} is not trusted: {reason.verify_message}",
                "Set SSL_CERT_FILE to the certificate of the authority that signed it.",
            )
        if isinstance(reason, ConnectionRefusedError):
            message = f"no Orchard listens at {self.target.base}"
        elif isinstance(reason, TimeoutError):
            message = f"{self.target.base} does not answer"
        elif isinstance(reason, socket.gaierror):
            message = f"there is no host of the name in {self.target.base}"
        elif isinstance(reason, HTTPException):
            message = f"what answers at {self.target.base} does not speak HTTP as expected"
        else:
            message = f"{self.target.base} cannot be reached: {getattr(reason, 'strerror', None) or reason}"
        if name:
            return ServerUnreachable(message, f"Check {name}.")
        return ServerUnreachable(
            message,
            "Start one with `orchard up` (or `make run`), or name another with ORCHARD_URL.",
        )


def problem_of(answer: Answer) -> dict[str, Any]:
    """The problem document of an error, {} if it is none of Orchard's."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "code" in found else {}


def connect(options: argparse.Namespace) -> Server:
    """The server that --url or the environment names. Raises `WrongUse` for what is no address."""
    return Server(choose_target(options.url, os.environ))


LARGEST_PAGE = 500  # the API's own bound


def read_pages(
    server: Server,
    path: str,
    *,
    limit: int,
    offers: str,
    query: Mapping[str, str] | None = None,
    admin: bool = False,
) -> dict[str, Any]:
    """`{"items": […], "next": …}` with at most `limit` items; `next` is "" when that is all.

    Raises what an error means.
    """
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        asked = {**(query or {}), "limit": str(min(limit - len(found), LARGEST_PAGE)), "cursor": cursor}
        answer = server.call("GET", path, query=asked, offers=offers, admin=admin)
        found += answer.get("items", [])
        cursor = str(answer.get("next", ""))
        if not cursor or len(found) >= limit:
            return {"items": found, "next": cursor}


def note_more(answer: Mapping[str, Any], output: Output) -> None:
    """Say that a list goes on, if it does."""
    if answer["next"]:
        output.note(f"these are the first {len(answer['items'])}; --limit shows more")
