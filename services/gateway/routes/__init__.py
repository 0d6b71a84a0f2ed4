"""The routes that are not hot: served by Litestar."""

from __future__ import annotations

from services.gateway.routes.router import build_litestar

__all__ = ["build_litestar"]
