"""Each upstream asked once, as a fetcher would: its name, port, certificate, answer and clock."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import urlsplit

from services.standalone.banner import Upstream
from services.standalone.doctor.findings import Finding, State
from services.standalone.doctor.machine import CLIENTS
from shared.http.trust import ca_context, trusted_by
from shared.settings import Settings, upstream_variable
from shared.sources.urls import split_credentials

SECONDS = 10.0
SKEW_SECONDS = 60.0  # tokens and certificates are judged by the clock
WRONG_SECONDS = 600.0


def upstream_findings(settings: Settings, upstreams: Sequence[Upstream]) -> list[Finding]:
    """One for each, and one of the clock if any told the time. None is asked under ORCHARD_OFFLINE."""
    if settings.offline:
        return [Finding("upstreams", "ok", "none is asked (ORCHARD_OFFLINE)")]
    found, skews = [], []
    for each in upstreams:
        for url in each.urls:
            finding, skew = ask(settings, each.protocol, url)
            found.append(finding)
            skews += [] if skew is None else [skew]
    if skews:
        found.append(clock_finding(min(skews, key=abs)))
    return found


def ask(settings: Settings, protocol: str, url: str) -> tuple[Finding, float | None]:
    """What one answered, and by how many seconds this clock is ahead of its; None if it does not say."""
    name = f"upstream {protocol}"
    address = split_credentials(url, upstream_variable(protocol))
    where = urlsplit(address.url)
    shown = f"{where.scheme}://{where.netloc}{where.path}"
    request = urllib.request.Request(address.url, headers={"user-agent": "orchard-doctor"})  # noqa: S310 - http(s)
    if address.username or address.password:
        pair = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        request.add_unredirected_header("authorization", f"Basic {pair}")  # they are of this host alone
    context = ca_context(settings.ca_file, os.environ, clients=CLIENTS)
    proxies = {"http": settings.http_proxy, "https": settings.http_proxy} if settings.http_proxy else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return Finding(name, "ok", f"{shown} answers {answer.status}"), skew_of(answer.headers)
    except urllib.error.HTTPError as error:
        return _refused(name, shown, error.code), skew_of(error.headers)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        trusted = trusted_by(settings.ca_file, os.environ, clients=CLIENTS)
        return Finding(name, "failed", *_unreached(shown, where.hostname or "", reason, trusted)), None


def _refused(name: str, shown: str, status: int) -> Finding:
    if status in (401, 403):
        cure = "give it credentials (`orchard upstreams credentials`), or these the right to read"
        return Finding(name, "failed", f"{shown} refuses us: {status}", cure)
    if status >= 500 or status == 429:
        return Finding(name, "warning", f"{shown} answers {status}", "wait, or ask those who run it")
    return Finding(name, "ok", f"{shown} answers {status}")  # a root that shows nothing is usual


def _unreached(shown: str, host: str, reason: object, trusted: str) -> tuple[str, str]:
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


def skew_of(headers: Message) -> float | None:
    """By how many seconds this clock is ahead of that of an answer's Date (RFC 9110 §6.6.1)."""
    try:
        return time.time() - parsedate_to_datetime(str(headers["date"])).timestamp()
    except (TypeError, ValueError):
        return None


def clock_finding(skew: float) -> Finding:
    """Whether this clock agrees with the upstreams'."""
    ahead = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the upstreams'"
    if abs(skew) < SKEW_SECONDS:
        return Finding("clock", "ok", "agrees with the upstreams'")
    state: State = "failed" if abs(skew) > WRONG_SECONDS else "warning"
    return Finding("clock", state, f"this machine's is {ahead}", "set it by NTP: `timedatectl set-ntp true`")
