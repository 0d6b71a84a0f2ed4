"""Who signs: the key of the settings, or an agent that has it; what goes wrong with that is passing, never a
wrong signature."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.extractor.transparency.signers import AgentSigner, signer_of
from shared.errors import ConfigurationError
from shared.errors.passing import StoreUnavailable
from shared.settings import load_settings
from shared.tlog.dsse import read_statement
from shared.tlog.notes import ED25519, Key, read_checkpoint
from shared.tlog.signing import Signer, new_signer_text, read_signer
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import fill, keeper, numbers, whole_log
from tests.support.statement_schemas import checked

SIGNER = Signer("agent.example/log", bytes(32))
PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],'
    b'"predicateType":"https://example.com/p","predicate":{}}' % (b"a" * 64)
)
HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0\x40"


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short name: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="sign-") as found:
        yield Path(found)


@pytest.fixture
def agent(folder: Path) -> Iterator[tuple[str, Key]]:
    """OpenSSH's agent with a new key: its socket, and the key under a log's name."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("OpenSSH is not installed")
    path = folder / "agent"
    key_file = folder / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key_file)]
    subprocess.run(make, check=True, timeout=60)
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()  # it listens by now
            env = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", str(key_file)], env=env, check=True, timeout=60)
            key_file.unlink()
            line = key_file.with_suffix(".pub").read_text().split()[1]
            yield str(path), Key("agent.example/log", ED25519, base64.b64decode(line)[-32:])
        finally:
            process.send_signal(signal.SIGTERM)


def answering(folder: Path, answer: bytes) -> str:
    """The socket of an agent that answers so, once."""
    path = str(folder / "false")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(1)

    def serve() -> None:
        with listening, listening.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return path


def test_an_agent__signs_checkpoints_and_statements_that_verify_everywhere(agent: tuple[str, Key]) -> None:
    path, key = agent
    signer = AgentSigner(key, path)
    assert read_checkpoint(signer.checkpoint(3, bytes(32)), key).size == 3
    envelope = signer.envelope(PAYLOAD)
    whole = checked(envelope, key)
    assert read_statement(envelope, key, whole["predicateType"]).whole == whole
    assert signer.envelope(PAYLOAD) == envelope, "the same bytes each time"


def test_an_agent_without_the_key__does_not_sign(agent: tuple[str, Key]) -> None:
    with pytest.raises(StoreUnavailable, match="no such key"):
        AgentSigner(SIGNER.key, agent[0]).checkpoint(3, bytes(32))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        b"\0\0\0\x01\x05",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x54\x0e\0\0\0\x4f" + HEAD + bytes(64),
        b"\0\0\0\x58\x0e\0\0\0\x53" + HEAD + bytes(64),
        b"\0\0\0\x57\x0e\0\0\0\x53" + HEAD + bytes(63),
    ],
)
def test_what_an_agent_says_that_is_no_signature_of_this__is_never_passed_on(
    folder: Path, answer: bytes
) -> None:
    with pytest.raises(StoreUnavailable, match="does not sign"):
        AgentSigner(SIGNER.key, answering(folder, answer)).sign(b"message")


def test_the_signature_of_something_else__is_never_passed_on(folder: Path) -> None:
    body = b"\x0e\0\0\0\x53" + HEAD + SIGNER.sign(b"another message")
    with pytest.raises(StoreUnavailable):
        AgentSigner(SIGNER.key, answering(folder, len(body).to_bytes(4) + body)).sign(b"message")


def test_the_signature_of_this__is_passed_on(folder: Path) -> None:
    body = b"\x0e\0\0\0\x53" + HEAD + SIGNER.sign(b"message")
    path = answering(folder, len(body).to_bytes(4) + body)
    assert AgentSigner(SIGNER.key, path).sign(b"message") == SIGNER.sign(b"message")


def test_nobody_listens__is_passing(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        AgentSigner(SIGNER.key, str(tmp_path / "nothing")).sign(b"message")


def test_settings__a_key_a_file_or_an_agent(tmp_path: Path) -> None:
    text = new_signer_text("one.example/log")
    key = read_signer(text).key
    (tmp_path / "key").write_text(text + "\n")
    assert signer_of(load_settings({})) is None
    for told in ({"ORCHARD_LOG_KEY": text}, {"ORCHARD_LOG_KEY_FILE": str(tmp_path / "key")}):
        found = signer_of(load_settings(told))
        assert found is not None and found.key == key and not found.is_apart
    found = signer_of(load_settings({"ORCHARD_LOG_KEY": str(key), "ORCHARD_LOG_SIGNER": "/run/agent"}))
    assert found is not None and found.key == key and found.is_apart


@pytest.mark.parametrize(
    "key", ["", "x", new_signer_text("one.example/log")], ids=["none", "text", "private"]
)
def test_beside_an_agent__only_the_public_key_is_taken(key: str) -> None:
    settings = load_settings({"ORCHARD_LOG_KEY": key, "ORCHARD_LOG_SIGNER": "/run/agent"})
    with pytest.raises(ConfigurationError, match="public key") as raised:
        signer_of(settings)
    assert not key or key not in str(raised.value)


async def test_a_log_whose_signer_is_away__waits_for_it_and_loses_nothing(
    house: House, agent: tuple[str, Key], tmp_path: Path
) -> None:
    path, key = agent
    await fill(house.stores, 0, 300)
    away = keeper(house.stores, AgentSigner(key, str(tmp_path / "away")))
    with pytest.raises(StoreUnavailable):
        await away.run()
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    await keeper(house.stores, AgentSigner(key, path)).run()
    assert (await whole_log(house.stores, key)).size == 300
    assert await numbers(house.stores) == list(range(300))
