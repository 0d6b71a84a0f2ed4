"""Whose certificate is believed, by each way to say so, with a real TLS server of a test's authority."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.fetcher.http import manager as http_module
from services.fetcher.http.manager import HttpClientManager
from shared.errors import ConfigurationError, OrchardError, UpstreamUntrusted
from shared.errors.passing import PassingError, UpstreamUnavailable
from shared.http.trust import BESIDE, INSTEAD, ca_context
from shared.models import UpstreamSource
from tests.support.certificates import authority

SOURCE = "corp"


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """The address of a TLS server, and the file of the authority that signed its certificate."""
    ca, context = authority(tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", ca


async def fetched(url: str, **options: str) -> bytes:
    source = UpstreamSource(id=1, protocol="pypi", name=SOURCE, url=url)
    async with HttpClientManager(connect_timeout_seconds=5, **options) as manager:  # type: ignore[arg-type]
        return (await manager.fetch(source, url, max_bytes=100, deadline_seconds=5)).body


def clean(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    monkeypatch.setattr(http_module.os, "environ", {"HOME": "/nowhere", **values})


def rehashed(ca: Path) -> Path:
    folder = ca.parent / "hashed"
    folder.mkdir()
    done = subprocess.run(
        ["openssl", "x509", "-in", str(ca), "-noout", "-hash"], capture_output=True, text=True, check=True
    )
    shutil.copy(ca, folder / f"{done.stdout.strip()}.0")
    return folder


@pytest.mark.parametrize("name", [*INSTEAD, *BESIDE, "npm_config_cafile"])
@pytest.mark.parametrize("form", ["file", "folder"])
async def test_variable__names_the_authority__its_server_is_believed(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    url, ca = served
    clean(monkeypatch, **{name: str(ca if form == "file" else rehashed(ca))})
    assert await fetched(url) == b"ok"


async def test_ca_file__is_believed_alone(served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, ca = served
    clean(monkeypatch)
    assert await fetched(url, ca_file=str(ca)) == b"ok"
    other, _ = authority(ca.parent / "other")
    clean(monkeypatch, SSL_CERT_FILE=str(ca), PIP_CERT=str(ca))
    with pytest.raises(UpstreamUntrusted):
        await fetched(url, ca_file=str(other))


async def test_system_s_store__holds_the_authority__its_server_is_believed(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, ca = served
    # OpenSSL reads this one itself, for its own default paths: here it stands for the system's file.
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(ca))
    clean(monkeypatch)
    assert await fetched(url) == b"ok"


def test_context__of_every_kind__checks_certificates_and_names(tmp_path: Path) -> None:
    ca, _ = authority(tmp_path)
    for context in (ca_context("", {}), ca_context(str(ca), {}), ca_context("", {"SSL_CERT_FILE": str(ca)})):
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


@pytest.mark.parametrize("name", INSTEAD)
def test_variable__cannot_be_loaded__is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=name):
        ca_context("", {name: str(tmp_path / "no.pem")})
    with pytest.raises(ConfigurationError, match="ORCHARD_CA_FILE"):
        ca_context("/nowhere/ca.pem", {name: str(tmp_path / "no.pem")})


@pytest.mark.parametrize("name", BESIDE)
def test_variable_of_one_client__cannot_be_loaded__does_not_stop_the_start(name: str) -> None:
    assert ca_context("", {name: "/nowhere/ca.pem"}).verify_mode is ssl.CERT_REQUIRED


async def test_untrusted_certificate__says_so_and_the_host_and_the_setting(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(monkeypatch)
    with pytest.raises(UpstreamUntrusted) as caught:
        await fetched(served[0])
    for word in ("certificate", "127.0.0.1", "ORCHARD_CA_FILE", SOURCE):
        assert word in caught.value.message
    assert caught.value.about_host


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    writer.close()


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


@pytest.mark.parametrize(("server", "error"), [(_plain, UpstreamUntrusted), (_cut, UpstreamUnavailable)])
async def test_tls_fails__another_protocol_lasts_and_a_cut_passes(
    server: Callable[..., object], error: type[OrchardError], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(monkeypatch)
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:  # type: ignore[arg-type]
        with pytest.raises(error) as caught:
            await fetched(f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    assert type(caught.value) is error


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_no_descriptor_left__is_told_as_our_own_trouble(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://{name}:{listener.getsockname()[1]}/"
        source = UpstreamSource(id=1, protocol="pypi", name=SOURCE, url=url, allow_private=True)
        async with HttpClientManager(connect_timeout_seconds=5) as manager:
            manager._pool(source, http_module.policy_of(source))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            held = [socket.socket() for _ in range(3)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(each.fileno() for each in held) + 1, hard))
            fillers = []
            try:
                with contextlib.suppress(OSError):
                    while True:
                        fillers.append(socket.socket())
                with pytest.raises(PassingError) as caught:
                    await manager.fetch(source, url, max_bytes=100, deadline_seconds=5)
            finally:
                for each in [*fillers, *held]:
                    each.close()
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert type(caught.value) is PassingError
    assert "short of what it needs" in caught.value.message
