"""What pip and uv ask next: after a page the metadata of its likeliest wheel, after metadata the pages of its
dependencies.

`wanted` is a PEP 508 requirement without its name: "[extra]>=1,<2".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import compatible_tags, cpython_tags, mac_platforms
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from shared.errors import InvalidParameter, UpstreamInvalid
from shared.models import FileName
from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.pypi import names
from shared.protocols.pypi.document import Document, File, is_wheel
from shared.protocols.pypi.resolver.candidates import allows_python, filenames_of, rank_of
from shared.protocols.pypi.resolver.environments import Environment, environment
from shared.protocols.pypi.resolver.requirements import BadMetadata, parse_metadata
from shared.protocols.roles.ahead import MOST_NAMES, Ahead, Guess

METADATA = ".metadata"
MOST_FILES = 8_000  # of one page that are looked at
MOST_LINES = 2_000  # of dependencies
FEW_FILES = 200  # to read so many names takes no longer than to look for the right ones
NEWEST = 3  # versions whose files are looked at first: of one, all may be yanked or for another Python

_TOOL = re.compile(r"(?:pip|uv)/[0-9][^ ]{0,40} (\{.*\})", re.DOTALL)
_OTHER_SYSTEM = re.compile(
    r"cp3([0-9]{1,2})-(macosx_([0-9]{1,2})_([0-9]{1,2})_(x86_64|arm64)|win_(?:amd64|arm64))"
)


class _Libc(msgspec.Struct):
    lib: str = ""
    version: str = ""


class _Distribution(msgspec.Struct):
    version: str | None = None
    libc: _Libc | None = None


class _Named(msgspec.Struct):
    name: str | None = None


class _Agent(msgspec.Struct):
    """What pip and uv tell of the machine that they install for, as JSON in their User-Agent."""

    python: str | None = None
    implementation: _Named | None = None
    system: _Named | None = None
    distro: _Distribution | None = None
    cpu: str | None = None


_decode_agent = msgspec.json.Decoder(_Agent).decode


@lru_cache(maxsize=1024)  # a fleet has few; a stranger's are bounded
def tool(user_agent: str) -> str:
    """The name of an environment: "cp312-manylinux_2_39_x86_64"; "" for what is no CPython of pip or uv."""
    found = _TOOL.fullmatch(user_agent)
    if found is None:
        return ""
    try:
        agent = _decode_agent(found[1].encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    numbers = (agent.python or "").split(".")
    if len(numbers) < 2 or agent.implementation is None or agent.implementation.name != "CPython":
        return ""
    name = f"cp{numbers[0]}{numbers[1]}-{_platform(agent)}"
    return name if _environment(name) is not None else ""


def _platform(agent: _Agent) -> str:
    system = agent.system.name if agent.system is not None else ""
    distro = agent.distro or _Distribution()
    cpu = agent.cpu or ""
    if system == "Windows":
        return f"win_{cpu.lower()}"
    if system == "Darwin":
        major, _, rest = (distro.version or "").partition(".")
        return f"macosx_{major}_{rest.partition('.')[0] if major == '10' else 0}_{cpu}"
    libc = distro.libc or _Libc()
    family = "musllinux" if libc.lib == "musl" else "manylinux"
    return f"{family}_{'_'.join(libc.version.split('.')[:2])}_{cpu}"


@lru_cache(maxsize=64)
def _environment(name: str) -> Environment | None:
    found = _OTHER_SYSTEM.fullmatch(name)
    if found is None:
        try:
            return environment(name)
        except InvalidParameter:
            return None
    minor, is_mac = int(found[1]), found[3] is not None
    try:  # markers: those of Linux, but for what names the system
        linux = environment(f"cp3{minor}-manylinux_2_36_x86_64")
    except InvalidParameter:
        return None
    machine = found[5] if is_mac else name.rpartition("_")[2].upper()
    platforms = list(mac_platforms((int(found[3]), int(found[4])), machine)) if is_mac else [found[2]]
    tags = [
        *cpython_tags((3, minor), [f"cp3{minor}"], platforms),
        *compatible_tags((3, minor), f"cp3{minor}", platforms),
    ]
    markers = {
        "os_name": "posix" if is_mac else "nt",
        "platform_machine": machine,
        "platform_system": "Darwin" if is_mac else "Windows",
        "sys_platform": "darwin" if is_mac else "win32",
    }
    ranks: dict[str, int] = {}
    for tag in tags:
        ranks.setdefault(str(tag), len(ranks))
    return Environment(name, linux.python, {**linux.markers, **markers}, ranks)


def after_page(
    document: Document, where: Environment, wanted: str, blocks: ProjectVerdicts
) -> Iterator[Guess]:
    """The metadata of the wheel that pip and uv would take."""
    if document.kind != "simple":
        return
    requirement = _requirement(document.project, wanted)
    file = likeliest(document, where, requirement.specifier, blocks)
    if file is None:
        return
    name = FileName("pypi", document.project, document.file_id(file), file["filename"] + METADATA)
    yield Guess(document.project, file=name, wanted=wanted)


def likeliest(
    document: Document, where: Environment, specifier: SpecifierSet, blocks: ProjectVerdicts
) -> File | None:
    """The best wheel of the newest version that will do; None where that has no wheel, or there is none.
    Yanked files and prereleases are for those who name them."""
    files = document.page["files"][-MOST_FILES:]
    if len(files) > FEW_FILES and (texts := _newest(document, specifier)):
        few = [file for text in texts for file in files if text in file["filename"]]
        found = _likeliest(few, document, where, specifier, blocks)
        if found is not None:
            return found
    return _likeliest(files, document, where, specifier, blocks)


def _newest(document: Document, specifier: SpecifierSet) -> list[str]:
    """How the newest versions that fit stand in file names, where a page lists its versions (PEP 700)."""
    told = document.page.get("versions")
    texts: dict[Version, str] = {}
    for text in told[-MOST_FILES:] if isinstance(told, list) else ():
        with contextlib.suppress(InvalidVersion):
            texts[Version(text)] = f"-{text}"
    return [texts[version] for version in sorted(specifier.filter(texts), reverse=True)[:NEWEST]]


def _likeliest(
    files: Sequence[File],
    document: Document,
    where: Environment,
    specifier: SpecifierSet,
    blocks: ProjectVerdicts,
) -> File | None:
    versions: dict[Version, list[tuple[File, Any]]] = {}
    parse = filenames_of(document.project)
    for file in files:
        parsed = parse(file["filename"])
        if (
            parsed is None
            or file.get("yanked")
            or not allows_python(file.get("requires-python") or "", where.python)
        ):
            continue
        versions.setdefault(parsed[0], []).append((file, parsed[1]))
    fitting = set(specifier.filter(versions))
    for version in sorted(fitting, reverse=True):
        if names.canonical_version(str(version)) in blocks.versions:
            continue
        ranked = [
            (rank, file)
            for file, tags in versions[version]
            if tags is not None
            and (rank := rank_of(tags, where.tags)) is not None
            and file["filename"] not in blocks.files
        ]
        if ranked:
            best = min(ranked, key=lambda each: each[0])[1]
            return None if best["hashes"].get("sha256") in blocks.digests else best
        if any(tags is None for _, tags in versions[version]):
            return None  # an sdist: what it needs, only building it tells
    return None


def after_metadata(content: bytes, where: Environment, extras: frozenset[str]) -> Iterator[Guess]:
    """The pages of the dependencies that hold in an environment."""
    try:
        lines = parse_metadata(content).get("requires_dist", [])
    except BadMetadata as error:
        raise UpstreamInvalid(str(error)) from error
    found: dict[str, Guess] = {}
    for line in lines[:MOST_LINES]:
        if not extras and "extra" in line and "extra" in line.partition(";")[2]:
            continue
        try:
            requirement = Requirement(line)
            holds = requirement.marker is None or any(
                requirement.marker.evaluate({**where.markers, "extra": extra}) for extra in extras or ("",)
            )
        except (
            InvalidRequirement,
            UndefinedComparison,
            UndefinedEnvironmentName,
            RecursionError,
            ValueError,
        ):
            continue
        project = canonicalize_name(requirement.name)
        if not holds or requirement.url or not names.is_project(project):
            continue
        asked = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        guess = Guess(project, names.simple_identity(project), wanted=f"{asked}{requirement.specifier}")
        found.setdefault(project, guess)
    yield from found.values()


def _requirement(name: str, wanted: str) -> Requirement:
    try:
        return Requirement(name + wanted)
    except InvalidRequirement as error:
        raise UpstreamInvalid("what is wanted of a page cannot be read") from error


class PyPIAhead(Ahead):
    """Pages and metadata in turn."""

    tool = staticmethod(tool)

    def after_index(
        self,
        identity: str,
        document: Document,
        tool: str,
        wanted: str,
        blocks: ProjectVerdicts = NOTHING,
    ) -> Sequence[Guess]:
        where = _environment(tool)
        return [] if where is None else list(after_page(document, where, wanted, blocks))

    def reads_file(self, filename: str) -> bool:
        return filename.endswith(METADATA) and is_wheel(filename.removesuffix(METADATA))

    def after_file(self, file: FileName, content: bytes, tool: str, wanted: str) -> Sequence[Guess]:
        where = _environment(tool)
        if where is None:
            return []
        extras = frozenset(map(canonicalize_name, _requirement(file.project, wanted).extras))
        found = list(after_metadata(content, where, extras))
        return found if len(found) <= MOST_NAMES else []
