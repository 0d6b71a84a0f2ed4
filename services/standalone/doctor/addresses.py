"""Whether the addresses that people and the command were given lead to the Orchard of this data folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from services.standalone.doctor.asking import Unreached, get
from services.standalone.doctor.findings import Finding
from services.standalone.kept_files import ADDRESS, ADMIN_TOKEN, read_kept
from shared.access.identity import PATH, is_proof, new_nonce, proof
from shared.settings import Settings

MOST_GATEWAYS = 16  # `--gateways`: each at a port of its own, the next one


_OWN = re.compile(r"http://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,3}[0-9]?")


class _Told(msgspec.Struct, frozen=True):
    proof: str


def address_findings(settings: Settings, command_url: str = "") -> list[Finding]:
    """One for each address of ORCHARD_PUBLIC_URL, and one of ORCHARD_URL (`command_url`)."""
    named = [("ORCHARD_PUBLIC_URL", each) for each in settings.public_url]
    if command_url:
        named.append(("ORCHARD_URL", command_url))
    return [address_finding(settings, name, url.rstrip("/")) for name, url in named]


def as_it_runs(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """With the host and port of the Orchard that runs in the data folder, where none are set."""
    told = read_kept(Path(settings.data_dir) / ADDRESS)
    if {"ORCHARD_HOST", "ORCHARD_PORT"} & environ.keys() or not _OWN.fullmatch(told):
        return settings
    host, _, port = told.removeprefix("http://").rpartition(":")
    return msgspec.structs.replace(settings, host=host.strip("[]"), port=int(port))


def operators_token(settings: Settings) -> str:
    """The setting's, else that of the data folder; "" if there is none."""
    return settings.admin_token or read_kept(Path(settings.data_dir) / ADMIN_TOKEN)


def address_finding(settings: Settings, name: str, url: str) -> Finding:
    """Where the address `url` that `name` gives leads to."""
    token, nonce = operators_token(settings), new_nonce()
    try:
        answer = get(settings, f"{url}{PATH}?nonce={nonce}", proxied=False)
    except Unreached as error:
        return Finding(name, "failed", error.detail, f"{error.cure}; or set {name} to what clients use")
    if answer.status == 404:  # an ingress that keeps what probes ask to itself
        cure = f"see in a browser whether {url}/ shows this Orchard"
        return Finding(name, "warning", f"{url} does not pass on {PATH}", cure)
    try:
        told = msgspec.json.decode(answer.body, type=_Told).proof
    except msgspec.MsgspecError:
        cure = f"set {name} to the address of Orchard's root that clients use, or mend the proxy there"
        return Finding(name, "failed", f"{url} answers {answer.status}, and is no Orchard", cure)
    if not proof(token, settings.port, nonce) or not told:
        return Finding(name, "ok", f"an Orchard answers at {url}")
    ports = {urlsplit(url).port, *range(settings.port, settings.port + MOST_GATEWAYS)}
    if any(is_proof(told, token, port, nonce) for port in ports if port):
        return Finding(name, "ok", f"{url} leads here")
    cure = f"correct {name}, or the proxy that it names"
    return Finding(name, "failed", f"another Orchard than that of {settings.data_dir} answers at {url}", cure)
