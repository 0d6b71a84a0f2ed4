"""One GET as a fetcher would make it: trusted authorities, proxy, and in words what is in the way."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from services.standalone.doctor.machine import CLIENTS
from shared.http.trust import ca_context, trusted_by
from shared.settings import Settings

SECONDS = 10.0
MOST_BYTES = 1024 * 1024


class Unreached(Exception):
    """Nobody has answered; in words, why and what to do."""

    def __init__(self, detail: str, cure: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.cure = cure


class Answer(NamedTuple):
    """What was answered, with its first `MOST_BYTES`."""

    status: int
    headers: Message
    body: bytes


def get(settings: Settings, url: str, authorization: str = "", *, proxied: bool = True) -> Answer:
    """Whatever is answered, redirects followed. Raises `Unreached`, and `ConfigurationError` for certificates
    that cannot be read."""
    where = urlsplit(url)
    shown = f"{where.scheme}://{where.netloc}{where.path}"
    request = urllib.request.Request(url, headers={"user-agent": "orchard-doctor"})  # noqa: S310 - http(s)
    if authorization:
        request.add_unredirected_header("authorization", authorization)  # it is of this host alone
    context = ca_context(settings.ca_file, os.environ, clients=CLIENTS)
    proxies = {"http": settings.http_proxy, "https": settings.http_proxy} if settings.http_proxy else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies if proxied else {}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return Answer(answer.status, answer.headers, answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, b"")
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        trusted = trusted_by(settings.ca_file, os.environ, clients=CLIENTS)
        raise Unreached(*_why(shown, where.hostname or "", reason, trusted)) from None


def _why(shown: str, host: str, reason: object, trusted: str) -> tuple[str, str]:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{shown}: its certificate is not trusted ({reason.verify_message}); trusted are {trusted}",
            "set ORCHARD_CA_FILE to a PEM file of your company's authority, or add it to the system's store",
        )
    if isinstance(reason, ssl.SSLError):
        return (
            f"{shown} speaks no TLS that we do: {reason.reason}",
            "see whether it is http://, or what is between",
        )
    if isinstance(reason, socket.gaierror):
        return (
            f"the name {host} is not resolved: {reason.strerror}",
            "check its spelling and /etc/resolv.conf",
        )
    if isinstance(reason, ConnectionRefusedError):
        return f"nobody listens at {shown}", "check the address and its port, and the firewall between"
    if isinstance(reason, TimeoutError):
        return (
            f"{shown} does not answer within {SECONDS:.0f} s",
            "check the firewall; behind a proxy set ORCHARD_HTTP_PROXY",
        )
    return f"{shown} cannot be reached: {reason}", "check the address; behind a proxy set ORCHARD_HTTP_PROXY"
