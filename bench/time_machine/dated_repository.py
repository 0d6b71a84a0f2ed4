"""A Maven repository on loopback that passes on another one's files, each with its upload date; and the same
repository as it was at a moment, cut by these dates: the oracle of the time machine.

Where the other one tells no `Last-Modified` (a mirror may not), the versions of the projects under test get
made-up dates, and all else is old: names, POMs, versions and their order stay the real ones.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

BEGINNING = 1_420_070_400.0  # unix seconds, 2015-01-01: the made-up dates spread from here until now
JITTER_SECONDS = 120 * 86_400.0  # fixes of an old line come after the next line's first versions
OLD = 1_136_073_600.0  # unix seconds, 2006-01-01: files of all other projects
_THEN = re.compile(r"/then-([0-9]+)(/.*)")
_METADATA = "maven-metadata.xml"
_VERSION = re.compile(r"\s*<version>([^<]*)</version>")


class Repository:
    """What the other repository (`base` ends in a slash) has, and when it came there; dates as unix seconds.
    `projects` are those under test, as paths: "group/artifact"."""

    def __init__(self, base: str, projects: Sequence[str]) -> None:
        self._http = httpx.Client(base_url=base, trust_env=False, timeout=120)
        self._projects = frozenset(projects)
        self._listed: dict[str, list[str]] = {}
        self._told: dict[str, float] = {}
        first = projects[0]
        self.tells_dates = bool(self._ask(_pom(first, self.listed(first)[0])))

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path)

    def listed(self, project: str) -> list[str]:
        """The versions in the repository's own order; none where it has no such project."""
        if project not in self._listed:
            answer = self.get(f"{project}/{_METADATA}")
            self._listed[project] = _VERSION.findall(answer.text) if answer.status_code == 200 else []
        return self._listed[project]

    def date(self, path: str) -> float:
        """When a file came; 0: the repository does not tell, or it is no file of a version."""
        project, _, version = path.rpartition("/")[0].rpartition("/")
        if not project or path.rpartition("/")[2].startswith(_METADATA):
            return 0.0
        if self.tells_dates:
            return self._ask(path)
        return self.made_up(project, version) if project in self._projects else OLD

    def made_up(self, project: str, version: str) -> float:
        """Of a version under test: by its place in the list, and some weeks before or after that."""
        listed = self.listed(project)
        if version not in listed:
            return OLD
        now = time.time() // 86_400 * 86_400
        step = (now - BEGINNING) * (listed.index(version) + 1) / (len(listed) + 1)
        digest = hashlib.sha256(f"{project} {version}".encode()).digest()
        jitter = (int.from_bytes(digest[:4]) / 2**32 - 0.5) * JITTER_SECONDS
        return float(round(min(max(BEGINNING + step + jitter, BEGINNING), now)))

    def metadata_then(self, path: str, moment: float) -> bytes:
        """A list of versions as it was: what it calls the newest is the last of the list, as repositories
        that sort it by Maven's order have it."""
        project = path.rpartition("/")[0]
        left = [v for v in self.listed(project) if 0 < self.date(_pom(project, v)) <= moment]
        group, _, artifact = project.rpartition("/")
        newest = f"<latest>{left[-1]}</latest><release>{left[-1]}</release>" if left else ""
        versions = "".join(f"<version>{each}</version>" for each in left)
        return (
            f"<metadata><groupId>{group.replace('/', '.')}</groupId><artifactId>{artifact}</artifactId>"
            f"<versioning>{newest}<versions>{versions}</versions></versioning></metadata>"
        ).encode()

    def _ask(self, path: str) -> float:
        if path not in self._told:
            said = self._http.head(path).headers.get("last-modified", "")
            self._told[path] = parsedate_to_datetime(said).timestamp() if said else 0.0
        return self._told[path]


def _pom(project: str, version: str) -> str:
    return f"{project}/{version}/{project.rpartition('/')[2]}-{version}.pom"


@contextmanager
def serve(repository: Repository) -> Iterator[str]:
    """Its address, without a slash: `/maven/…` has all, `/then-{unix seconds}/…` what was there then."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            """A date needs no body: of what is listed the length is not looked up."""
            path = self.path.removeprefix("/maven/")
            date = repository.date(path)
            project, _, version = path.rpartition("/")[0].rpartition("/")
            if path.endswith(".pom") and date and version in repository.listed(project):
                self._send(200, b"", date)
            else:
                self.do_GET()

        def do_GET(self) -> None:
            then = _THEN.fullmatch(self.path)
            path = then[2][1:] if then else self.path.removeprefix("/maven/")
            date = repository.date(path)
            if then and path.endswith(f"/{_METADATA}") and repository.listed(path.rpartition("/")[0]):
                self._send(200, repository.metadata_then(path, float(then[1])), 0.0)
            elif then and (date > float(then[1]) or f"/{_METADATA}." in path):
                self._send(404, b"", 0.0)
            else:
                answer = repository.get(path)
                self._send(answer.status_code, answer.content if answer.status_code == 200 else b"", date)

        def _send(self, status: int, body: bytes, date: float) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            if date and status == 200:
                self.send_header("Last-Modified", formatdate(date, usegmt=True))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: thousands of lines would hide the result."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
