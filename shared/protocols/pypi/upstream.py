"""How to ask a PyPI-like upstream for an index: its address and Accept header."""

from __future__ import annotations

from shared.models import UpstreamSource
from shared.protocols.pypi.names import split_identity
from shared.protocols.roles.upstream import Upstream, UpstreamRequest

# JSON first (PEP 691, PEP 700); HTML where an index has nothing better.
SIMPLE_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)


def upstream_request(identity: str, source: UpstreamSource) -> UpstreamRequest:
    """Address of an index at a source whose `url` is its simple root (".../simple", "/" optional).

    The legacy JSON API lies beside the simple root: ".../simple" → ".../pypi/{project}/json".
    A root of another name (devpi's ".../+simple") gives the address beside its last segment.
    """
    root, question_mark, query = source.url.partition("?")
    root = root.rstrip("/")
    suffix = question_mark + query
    kind, project, version = split_identity(identity)
    if kind == "simple":
        path = f"{root}/{project}/" if project else f"{root}/"
        return UpstreamRequest(path + suffix, SIMPLE_ACCEPT)
    base = root.rpartition("/")[0] if _has_path(root) else root
    tail = f"{project}/{version}/json" if version else f"{project}/json"
    return UpstreamRequest(f"{base}/pypi/{tail}{suffix}", "application/json")


def _has_path(root: str) -> bool:
    return "/" in root.partition("://")[2]


class PyPIUpstream(Upstream):
    """An index's simple root, and the legacy API beside it."""

    upstream_request = staticmethod(upstream_request)
