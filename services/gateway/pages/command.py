"""`/orchard.pyz`: the `orchard` command as one file that Python runs, with this Orchard's address in it.

Made of the command's own files, which lie beside this service's; a zipapp (PEP 441) that needs nothing else.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Request, Response, get

from services.gateway.http.base_urls import BaseUrls

ROOT = Path(__file__).resolve().parents[3]
LOG_PARTS = (
    "shared/__init__.py",
    "shared/tlog/__init__.py",
    *(
        f"shared/tlog/{name}.py"
        for name in ("documents", "dsse", "ed25519", "notes", "proofs", "trees", "verify")
    ),
    "shared/bundles/__init__.py",
    *(f"shared/bundles/{name}.py" for name in ("form", "proving", "verify")),
)
"""What checks a transparency log and bundles, of the standard library alone."""
PARTS = (
    "services/__init__.py",
    "services/cli/**/*.py",
    "shared/__init__.py",
    "shared/access/__init__.py",
    "shared/access/identity.py",
    "shared/access/tokens.py",
    "shared/artifacts/__init__.py",
    "shared/artifacts/event_kinds.py",
    "shared/clientfiles/*.py",
    "shared/settings_file.py",
    "shared/digests.py",
    "shared/marks.py",
    "shared/printable.py",
    "shared/protocols/*/clients.py",
    "shared/version.py",
    *LOG_PARTS,
)
"""What the command is made of: its own files, and what it imports of `shared`."""
LAUNCHERS = ("launch.py",)  # of a checkout

# Read by whatever Python is there, also one that is too old for the rest.
_MAIN = """\
import os
import sys

if sys.version_info < (3, 11):
    sys.exit("orchard.pyz needs Python 3.11 or newer; this is Python " + sys.version.split()[0])
os.environ.setdefault("ORCHARD_PYZ_FROM", {address!r})

from services.cli.main import main

sys.exit(main())
"""
_VERIFY = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("verify.pyz needs Python 3.11 or newer; this is Python " + sys.version.split()[0])

from shared.bundles.verify import main

sys.exit(main())
"""
_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes from every gateway
HEADERS = {
    "content-disposition": 'attachment; filename="orchard.pyz"',
    "cache-control": "no-cache",  # it changes with every upgrade
    "vary": "host",
    "x-content-type-options": "nosniff",
}


_VERIFIER_HEADERS = {**HEADERS, "content-disposition": 'attachment; filename="verify.pyz"'}


@get("/orchard.pyz", include_in_schema=False, sync_to_thread=True)
def command(request: Request[Any, Any, Any], base_urls: BaseUrls) -> Response[bytes]:
    """Open to everyone: it holds no secret, and who has no token yet needs it most."""
    host = request.headers.get("host", "").encode("latin-1", "replace")
    address = base_urls.choose(host, str(request.scope["scheme"]))
    return Response(archive(address), media_type="application/zip", headers=HEADERS)


@get("/tlog/verify.pyz", include_in_schema=False, sync_to_thread=True)
def log_verifier() -> Response[bytes]:
    """What checks a transparency log and bundles offline, as one file."""
    return Response(verifier(), media_type="application/zip", headers=_VERIFIER_HEADERS)


def verifier() -> bytes:
    """The whole file."""
    held = io.BytesIO()
    held.write(b"#!/usr/bin/env python3\n" + _modules(LOG_PARTS))
    with zipfile.ZipFile(held, "a") as out:
        out.writestr(zipfile.ZipInfo("__main__.py", _DATE), _VERIFY)
    return held.getvalue()


def archive(address: str) -> bytes:
    """The whole file. `address` is the Orchard's, without a slash at its end."""
    held = io.BytesIO()
    held.write(b"#!/usr/bin/env python3\n" + _modules(PARTS))
    with zipfile.ZipFile(held, "a") as out:
        out.writestr(zipfile.ZipInfo("__main__.py", _DATE), _MAIN.format(address=address))
    return held.getvalue()


@cache
def _modules(parts: tuple[str, ...]) -> bytes:
    """All but what differs from one address to the other."""
    held = io.BytesIO()
    paths = sorted({path for pattern in parts for path in ROOT.glob(pattern)})
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as out:
        for path in paths:
            if path.name not in LAUNCHERS:
                name = zipfile.ZipInfo(path.relative_to(ROOT).as_posix(), _DATE)
                out.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return held.getvalue()
