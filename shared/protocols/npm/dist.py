"""What `dist` tells of a tarball: where it is at the upstream, and its digests (SSRI, `shasum`)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from shared.models import SealedFile
from shared.protocols.integrity import digests_in, integrity_of
from shared.protocols.json_text import Fields, value_of
from shared.protocols.links import Links
from shared.protocols.npm import names

_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


def hashes_of(dist: Fields) -> dict[str, str]:
    """Algorithm → hex. `integrity` may hold several digests; `shasum` is SHA-1."""
    found = digests_in(value_of(dist.get("integrity")))
    shasum = value_of(dist.get("shasum"))
    if isinstance(shasum, str) and _SHA1.fullmatch(shasum):
        found.setdefault("sha1", shasum.lower())
    return found


def own_digests(file: SealedFile) -> dict[str, str]:
    """What `dist` tells of a stored tarball by the digests that were kept of it (`NpmProxy.kept_digests`)."""
    return {"integrity": integrity_of("sha512", file.digests["sha512"]), "shasum": file.digests["sha1"]}


def tarball_url(dist: Fields, links: Links) -> str:
    """The absolute address of the tarball; "" if there is none or it is none over http(s)."""
    text = value_of(dist.get("tarball"))
    url = links.absolute(text) if isinstance(text, str) and text else None
    return url or ""


def served_name(name: str, version: str, url: str) -> str:
    """The upstream's own file name where it tells the version apart from all others, else the usual one."""
    basename = urlsplit(url).path.rpartition("/")[2]
    own = basename.endswith(f"-{version}.tgz") and names.is_tarball(basename)
    return basename if own else names.tarball_name(name, version)
