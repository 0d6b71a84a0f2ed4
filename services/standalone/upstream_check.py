"""Asks each upstream once after the start, through Orchard itself, and says which do not answer.

A lasting fault (a certificate that is not believed, a name that does not exist) is better heard of here
than by the first install. Nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from typing import Any

from services.standalone.banner import own_url
from services.standalone.keys import Keys
from services.standalone.output import complain
from shared.settings import Settings

SECONDS = 15.0
MOST = 20  # upstreams


async def check_upstreams(settings: Settings, keys: Keys) -> None:
    """Complain of each enabled upstream that does not answer. Raises nothing."""
    if settings.offline:
        return
    for line in await asyncio.to_thread(_failing, own_url(settings, settings.port), keys.admin_token):
        complain(line)


def _failing(base: str, token: str) -> list[str]:
    lines = []
    # What is raised: Orchard stops, or has other troubles to tell of.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = _call("GET", f"{base}/api/v1/admin/upstreams", token)["items"]
        for each in [each for each in found if each["enabled"]][:MOST]:
            told = _call("POST", f"{base}/api/v1/admin/upstreams/{each['id']}/test", token)
            if not told["ok"]:
                lines.append(f"  ! upstream {each['protocol']}/{each['name']}: {told['detail']}")
    return lines


def _call(method: str, url: str, token: str) -> Any:
    asked = urllib.request.Request(url, method=method, headers={"authorization": f"Bearer {token}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=SECONDS) as answer:
        return json.load(answer)
