"""Where a source has its index files, and its crates, as its config.json says."""

from __future__ import annotations

import msgspec

from shared.errors import UpstreamInvalid
from shared.http.urls import why_unaskable
from shared.models import UpstreamSource
from shared.protocols.cargo import names
from shared.protocols.roles.upstream import SOURCE_DOCUMENT, Lifetime, Upstream, UpstreamRequest

CONFIG_SECONDS = 3600.0


class Config(msgspec.Struct, frozen=True):
    """What is read of a source's config.json (The Cargo Book, "Index Configuration")."""

    dl: str


_decode = msgspec.json.Decoder(Config).decode


def read_config(body: bytes) -> Config:
    """Raises `UpstreamInvalid` for what is no config.json, and for one whose `dl` is no http(s) address:
    nothing could be fetched from there, so what the source said before counts."""
    try:
        config = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UpstreamInvalid("the upstream's config.json cannot be read") from error
    if why := why_unaskable(download_url(config, "name", "1.0.0", "0" * 64)):
        raise UpstreamInvalid(
            f"the upstream's config.json names no address of crates that can be asked: {why}"
        )
    return config


def download_url(config: Config, crate: str, version: str, cksum: str) -> str:
    """Where a source has the file of a version; `crate` in the spelling of its index."""
    values = {
        "{crate}": crate,
        "{version}": version,
        "{prefix}": names.prefix(crate),
        "{lowerprefix}": names.prefix(names.canonical(crate)),
        "{sha256-checksum}": cksum,
    }
    url = config.dl
    if not any(marker in url for marker in values):
        return f"{url}/{crate}/{version}/download"
    for marker, value in values.items():
        url = url.replace(marker, value)
    return url


class CargoUpstream(Upstream):
    """The root of a sparse index."""

    absent_statuses = frozenset((451,))  # Registry Index, "Nonexistent Crates"

    def upstream_request(self, identity: str, source: UpstreamSource) -> UpstreamRequest:
        path = names.index_path(names.project_of(identity))
        return UpstreamRequest(f"{source.url.rstrip('/')}/{path}", "text/plain")

    def authorization(self, token: str) -> str:
        return token  # no scheme: The Cargo Book, "Registry Authentication"

    def source_document(self, source_url: str) -> UpstreamRequest | None:
        return UpstreamRequest(f"{source_url.rstrip('/')}/{names.CONFIG}")

    def read_source_document(self, body: bytes) -> Config:
        return read_config(body)

    def lifetime(self, identity: str) -> Lifetime:
        return Lifetime(fresh=CONFIG_SECONDS) if identity == SOURCE_DOCUMENT else Lifetime()
