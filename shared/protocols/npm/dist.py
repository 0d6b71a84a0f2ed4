"""The `dist` of a tarball: its address at the upstream, and its digests (SRI, `shasum`).

SRI is Subresource Integrity (W3C SRI, "Integrity metadata"): digests as "sha512-{base64}?options …".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.models import SealedFile
from shared.protocols.npm import names
from shared.protocols.reading.json_text import Fields, value_of
from shared.protocols.reading.links import Links

_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")


def digests_in(integrity: object) -> dict[str, str]:
    """Algorithm → hex of some text; what is not understood is left out. Several of one algorithm stand apart
    by spaces: bytes that have any of them are right (SRI, 3.3.4), and so clients take them."""
    found: dict[str, str] = {}
    for token in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, encoded = token.partition("?")[0].partition("-")
        try:
            bare = encoded.rstrip("=")  # clients do not ask for the right number of them
            digest = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if (
            algorithm in _ALGORITHMS
            and len(digest) == hashlib.new(algorithm, usedforsecurity=False).digest_size
        ):
            known = found.get(algorithm, "").split()
            if digest.hex() not in known:
                found[algorithm] = " ".join((*known, digest.hex()))
    return found


def share(old: str, new: str) -> bool:
    """Whether two such texts of one algorithm have a digest in common."""
    return bool(set(old.split()) & set(new.split()))


def all_published(digests: Mapping[str, str], published: Mapping[str, str]) -> bool:
    """Whether `published` names all these algorithms, each with a digest of `digests`."""
    return all(share(value, published.get(algorithm, "")) for algorithm, value in digests.items())


def integrity_of(algorithm: str, hexdigest: str) -> str:
    """The SRI text of one digest."""
    return f"{algorithm}-{base64.b64encode(bytes.fromhex(hexdigest)).decode()}"


_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


def hashes_of(dist: Fields) -> dict[str, str]:
    """Algorithm → hex. `integrity` may hold several digests; `shasum` is SHA-1."""
    found = digests_in(value_of(dist.get("integrity")))
    shasum = value_of(dist.get("shasum"))
    if isinstance(shasum, str) and _SHA1.fullmatch(shasum):
        found.setdefault("sha1", shasum.lower())
    return found


def own_digests(file: SealedFile) -> dict[str, str]:
    """The members of `dist` for a stored tarball, from its stored digests (`Upstream.kept_digests`)."""
    return {"integrity": integrity_of("sha512", file.digests["sha512"]), "shasum": file.digests["sha1"]}


def tarball_url(dist: Fields, links: Links) -> str:
    """The absolute address of the tarball; "" if there is none or it is none over http(s)."""
    text = value_of(dist.get("tarball"))
    url = links.absolute(text) if isinstance(text, str) and text else None
    return url or ""


def served_name(name: str, version: str, url: str) -> str:
    """The upstream's own file name where it is unique to the version and tells that, else the usual one:
    what may be served is judged by the version that an address tells."""
    basename = urlsplit(url).path.rpartition("/")[2]
    own = basename.endswith(f"-{version}.tgz") and names.is_tarball(basename)
    told = own and names.version_told(name, basename) == names.canonical_version(version)
    return basename if told else names.tarball_name(name, version)
