"""The two flows that all protocols share, as `PackageProxyBase` offers them (ARCHITECTURE.md)."""

from __future__ import annotations

from shared.protocols.artifact_flow import serve_artifact, serve_sealed
from shared.protocols.forward_flow import serve_forward
from shared.protocols.index_flow import serve_index
from shared.protocols.index_reply import judge, served_now, variant_name

__all__ = [
    "judge",
    "serve_artifact",
    "serve_forward",
    "serve_index",
    "serve_sealed",
    "served_now",
    "variant_name",
]
