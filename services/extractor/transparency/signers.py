"""Who signs: the key in the settings or in a file, or an SSH agent that has it in a process of its own.

An agent (draft-ietf-sshm-ssh-agent) is asked over a Unix socket and gives Ed25519 signatures as RFC 8032 has
them: OpenSSH's, one in front of a token, or of a key management service.
"""

from __future__ import annotations

import socket
from pathlib import Path

from Crypto.Signature import eddsa

from shared.errors import ConfigurationError
from shared.errors.passing import StoreUnavailable
from shared.settings import Settings
from shared.tlog.notes import ED25519, Key, read_key
from shared.tlog.signing import Signer, read_signer
from shared.tlog.trees import Unproven

AGENT_SECONDS = 5.0  # a token or a service behind it takes its time
MOST_ANSWER_BYTES = 4096
_SIGN, _SIGNED = 13, 14  # SSH_AGENTC_SIGN_REQUEST, SSH_AGENT_SIGN_RESPONSE
_KIND = b"ssh-ed25519"


class AgentSigner(Signer):
    """Signs by an agent. Its methods wait for that: call them in a thread. They raise `StoreUnavailable`."""

    is_apart = True

    def __init__(self, key: Key, path: str) -> None:
        """`key`: the public one. `path`: the agent's socket."""
        self.key = key
        self._path = path
        self._verifier = eddsa.new(eddsa.import_public_key(key.public), "rfc8032")

    def sign(self, message: bytes) -> bytes:
        body = (
            bytes([_SIGN]) + _string(_string(_KIND) + _string(self.key.public)) + _string(message) + bytes(4)
        )
        try:
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(AGENT_SECONDS)
                agent.connect(self._path)
                agent.sendall(_string(body))
                answer = _read(agent, int.from_bytes(_read(agent, 4)))
            signature = _signature(answer)
            self._verifier.verify(message, signature)
        except (OSError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise StoreUnavailable(f"the log's signer does not sign: {why}") from None
        return signature


def signer_of(settings: Settings) -> Signer | None:
    """Who signs for the log, None where no log is kept. Raises `ConfigurationError`, which tells nothing of a
    key."""
    text, where = settings.log_key, "ORCHARD_LOG_KEY"
    if settings.log_key_file:
        where = "ORCHARD_LOG_KEY_FILE"
        try:
            text = Path(settings.log_key_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{where}: cannot be read: {type(error).__name__}") from None
    try:
        if settings.log_signer:
            return AgentSigner(_public(text), settings.log_signer)
        return read_signer(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _public(text: str) -> Key:
    """Raises `ValueError`."""
    try:
        key = read_key(text)
    except Unproven:
        raise ValueError("with ORCHARD_LOG_SIGNER it is the public key, name+id+base64") from None
    if key.kind != ED25519:
        raise ValueError(f"{key.name} is the key of a witness, not of a log")
    return key


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def _read(agent: socket.socket, count: int) -> bytes:
    """Exactly so many bytes. Raises `OSError`, `ValueError`."""
    if count > MOST_ANSWER_BYTES:
        raise ValueError("its answer is too long")
    found = b""
    while len(found) < count:
        part = agent.recv(count - len(found))
        if not part:
            raise ValueError("it hung up")
        found += part
    return found


def _signature(answer: bytes) -> bytes:
    """Raises `ValueError`."""
    head = bytes([_SIGNED]) + (len(_KIND) + 4 + 4 + 64).to_bytes(4) + _string(_KIND) + (64).to_bytes(4)
    if not answer.startswith(head) or len(answer) != len(head) + 64:
        raise ValueError("it has no such key")
    return answer[len(head) :]
