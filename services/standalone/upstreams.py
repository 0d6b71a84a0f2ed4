"""The default upstreams of a standalone Orchard, and a test of all upstreams after the start.

Each is asked once after the start, through Orchard itself: a lasting fault (a certificate that is not
believed, a name that does not exist) is better reported here than by the first install. Nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from services.standalone.banner import Upstream, own_url
from services.standalone.kept_files import Keys
from services.standalone.output import complain
from shared.default_upstreams import client_certificates, default_upstream
from shared.errors import ConfigurationError
from shared.protocols import PROTOCOLS
from shared.settings import Settings, upstream_variable
from shared.sources.urls import split_credentials


def choose_upstreams(settings: Settings, environ: Mapping[str, str]) -> tuple[list[Upstream], dict[str, str]]:
    """What the banner shows, and the variables that hand the same choice to every service.

    The choice is made once, here: services started later must not find another one. Raises
    `ConfigurationError` if none is set and none is known, or one that is set cannot be.
    """
    shown: list[Upstream] = []
    variables: dict[str, str] = {}
    for each in PROTOCOLS:
        protocol, name = each.name, upstream_variable(each.name)
        given = settings.upstreams.get(protocol, ())
        if given:
            for address in given:  # a mistake is reported before anything is started
                split_credentials(address, name)
            shown.append(Upstream(protocol, given, name))
            continue
        try:
            url, origin = default_upstream(protocol, environ, settings.port)
        except ConfigurationError:
            if settings.offline:  # none will be asked
                continue
            raise
        shown.append(Upstream(protocol, (url,), origin))
        variables[name] = url
        certificates = each.setup.certificates_variable
        if certificates and not environ.get(certificates):  # its index goes with its authorities
            found = client_certificates(protocol, environ)
            if found:
                variables[certificates] = found
    return shown, variables


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
            result = _call("POST", f"{base}/api/v1/admin/upstreams/{each['id']}/test", token)
            if not result["ok"]:
                lines.append(f"  ! upstream {each['protocol']}/{each['name']}: {result['detail']}")
    return lines


def _call(method: str, url: str, token: str) -> Any:
    asked = urllib.request.Request(url, method=method, headers={"authorization": f"Bearer {token}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=SECONDS) as answer:
        return json.load(answer)
