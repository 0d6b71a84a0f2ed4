"""A certificate authority of one test, made by openssl: its file, and a server's context for loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate, and a TLS server context for 127.0.0.1 that it has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("TLS to S3 is left out: there is no openssl here (apt-get install openssl)")
    folder.mkdir(parents=True, exist_ok=True)
    key, server = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"], folder / "server"
    ca = folder / "ca"
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    _openssl(
        "req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2",
        "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    _openssl(
        "req", "-new", *key, "-keyout", f"{server}.key", "-out", f"{server}.csr", "-subj", "/CN=loopback"
    )
    _openssl(
        "x509", "-req", "-in", f"{server}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
        "-out", f"{server}.pem", "-days", "2", "-extfile", str(extensions),
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{server}.pem", f"{server}.key")
    return Path(f"{ca}.pem"), context


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
