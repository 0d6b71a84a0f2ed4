"""Each upstream asked once, as a fetcher would: its name, port, certificate, answer and clock."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from services.standalone.banner import Upstream
from services.standalone.doctor.asking import Unreached, get
from services.standalone.doctor.findings import Finding, State
from shared.settings import Settings, upstream_variable
from shared.sources.urls import split_credentials

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
    authorization = ""
    if address.username or address.password:
        pair = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        authorization = f"Basic {pair}"
    try:
        answer = get(settings, address.url, authorization)
    except Unreached as error:
        return Finding(name, "failed", error.detail, error.cure), None
    return _answered(name, shown, answer.status), skew_of(answer.headers)


def _answered(name: str, shown: str, status: int) -> Finding:
    if status in (401, 403):
        cure = "give it credentials (`orchard upstreams credentials`), or these the right to read"
        return Finding(name, "failed", f"{shown} refuses us: {status}", cure)
    if status >= 500 or status == 429:
        return Finding(name, "warning", f"{shown} answers {status}", "wait, or ask those who run it")
    return Finding(name, "ok", f"{shown} answers {status}")  # a root that shows nothing is usual


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
