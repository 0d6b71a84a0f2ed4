"""The names by which caches in front of Orchard are told what to forget (`Surrogate-Key`; Varnish: xkey).

An answer carries four: of everything, of its protocol, of its project, and of the page or file that it was
made of, the last as a hash of that one's key in the cache Redis: whoever hears that the key changed can name
it. Pure functions of a resource or a key.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from shared.cache.keys import facts_key, head_key
from shared.protocols import named_alike
from shared.protocols.resource import Resource

HEADER = b"surrogate-key"
EVERYTHING = "orchard"

Pair = tuple[bytes, bytes]


def key_name(cache_key: str) -> str:
    """Of what lies under a key of the cache."""
    return sha256(cache_key.encode()).hexdigest()[:20]


def project_name(protocol: str, project: str) -> str:
    """Of all pages and files of a project, in every spelling that its clients take for the same."""
    return f"{protocol}/{quote(named_alike(protocol, project), safe='')}"


def page_names(resource: Resource) -> Pair:
    """The header of an index page."""
    return _names(resource.protocol, resource.project, head_key(resource.protocol, resource.identity))


def file_names(resource: Resource) -> Pair:
    """The header of a stored file and of what is made of its facts."""
    return _names(resource.protocol, resource.project, facts_key(resource.file))


@lru_cache(maxsize=8192)
def _names(protocol: str, project: str, cache_key: str) -> Pair:
    of_project = [project_name(protocol, project)] if project else []
    return HEADER, " ".join([EVERYTHING, protocol, *of_project, key_name(cache_key)]).encode("ascii")
