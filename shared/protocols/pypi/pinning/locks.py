"""uv.lock, pylock.toml, poetry.lock and pdm.lock: TOML, a package each, with the files of a version.

Sources: uv documentation, "Lockfile"; PEP 751; what poetry 1.0 to 2 and pdm 2 write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.errors import EnsureInvalid
from shared.protocols.pypi import names
from shared.protocols.pypi.pinning.files import fits
from shared.protocols.reading.lock_text import Part, basename, shown, toml_of
from shared.protocols.roles.pins import Found, LockRead, Pin

_OWN = ("editable", "virtual")  # uv: folders of the project itself
_BY_ADDRESS = ("git", "url", "path", "directory")


class _Found(Found):
    """Of packages with their files."""

    def __init__(self) -> None:
        super().__init__(fits)

    def add_files(
        self, package: Part, files: Iterator[tuple[Part, str, tuple[tuple[str, str], ...]]]
    ) -> None:
        """`files`: where each stands, its name and digests."""
        name, version = checked(package)
        some = False
        for at, filename, digests in files:
            if not names.is_distribution_file(filename):
                raise at.fault(f"`{shown(filename)}` cannot be the name of a distribution")
            self.add(at, Pin(name, version, filename, digests))
            some = True
        if not some:
            raise package.fault("it lists no files with hashes")


def project(package: Part) -> str:
    """The project of a package, normalised."""
    name = package.text("name")
    if not names.is_project(name):
        raise package.fault("its name cannot be a project's")
    return names.normalise(name)


def checked(package: Part) -> tuple[str, str]:
    """Project and version."""
    name, version = project(package), package.text("version")
    if not names.is_version(version) or names.version_key(version) is None:
        raise package.fault(f"`{shown(version)}` is no version")
    return name, version


def read_uv(body: bytes) -> LockRead:
    """uv.lock, version 1."""
    lock, found = toml_of(body), _Found()
    if lock.number("version") != 1:
        raise EnsureInvalid("version: only 1 of uv.lock is read here")
    for package in lock.tables("package", "package"):
        source = package.table("source")
        if any(key in source for key in _OWN):
            continue
        by = next((key for key in _BY_ADDRESS if key in source), "")
        if by:
            found.leave_out(project(package), f"it comes from {_shown_source(by, source)}")
            continue
        if "registry" not in source:
            raise package.fault("it has no source")
        found.add_files(package, _uv_files(package))
    return found.read()


def _uv_files(package: Part) -> Iterator[tuple[Part, str, tuple[tuple[str, str], ...]]]:
    sdist = [package.table("sdist")] if "sdist" in package else []
    for file in (*sdist, *package.tables("wheels", "wheel")):
        name = file.text("filename") or basename(file.text("url") or file.text("path"))
        file.number("size")
        yield file, name, file.digest(file.text("hash"))


def read_pylock(body: bytes) -> LockRead:
    """pylock.toml: PEP 751, "File Format"."""
    lock, found = toml_of(body), _Found()
    if not lock.text("lock-version").startswith("1."):
        raise EnsureInvalid("lock-version: only 1.x of pylock.toml is read here")
    for package in lock.tables("packages", "package"):
        if "directory" in package:
            continue  # "SHOULD NOT be from a package index": a folder of the project
        by = next((key for key in ("vcs", "archive") if key in package), "")
        if by:
            about = package.table(by)
            address = about.text("url") or about.text("path")
            found.leave_out(project(package), f"it comes from the {by} {shown(address)}")
            continue
        found.add_files(package, _pylock_files(package))
    return found.read()


def _pylock_files(package: Part) -> Iterator[tuple[Part, str, tuple[tuple[str, str], ...]]]:
    sdist = [package.table("sdist")] if "sdist" in package else []
    for file in (*sdist, *package.tables("wheels", "wheel")):
        name = file.text("name") or basename(file.text("url") or file.text("path"))
        file.number("size")
        yield file, name, file.digests(file.table("hashes").value)


def read_poetry(body: bytes) -> LockRead:
    """poetry.lock: files at each package (from 1.1 of the format on "2.0"), or in `metadata.files`."""
    lock, found = toml_of(body), _Found()
    apart = lock.table("metadata").table("files")
    for package in lock.tables("package", "package"):
        source = package.table("source")
        kind = source.text("type")
        if kind == "directory":
            continue
        if kind not in ("", "legacy"):
            found.leave_out(project(package), f"it comes from the {shown(kind)} {shown(source.text('url'))}")
            continue
        files = package if "files" in package else Part({"files": apart.value.get(package.text("name"))}, "")
        found.add_files(package, _listed(Part(files.value, package.place)))
    return found.read()


def read_pdm(body: bytes) -> LockRead:
    """pdm.lock: files at each package, or in `metadata.files` by "name version"."""
    lock, found = toml_of(body), _Found()
    apart: dict[str, Any] = lock.table("metadata").table("files").value
    for package in lock.tables("package", "package"):
        by = next((key for key in ("git", "hg", "svn", "url", "path") if key in package), "")
        if by == "path" and package.value.get("editable") is True:
            continue
        if by:
            found.leave_out(project(package), f"it comes from {_shown_source(by, package)}")
            continue
        name = f"{package.text('name')} {package.text('version')}"
        files = package.value if "files" in package else {"files": apart.get(name)}
        found.add_files(package, _listed(Part(files, package.place)))
    return found.read()


def _listed(package: Part) -> Iterator[tuple[Part, str, tuple[tuple[str, str], ...]]]:
    """`files = [{file = …, hash = …}]`; with static addresses `url` in place of `file`."""
    for file in package.tables("files", "file"):
        yield file, file.text("file") or basename(file.text("url")), file.digest(file.text("hash"))


def _shown_source(by: str, source: Part) -> str:
    return f"the {by} {shown(source.text(by))}"
