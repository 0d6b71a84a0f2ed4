"""Whether a file may be of a project's version, by its name alone."""

from __future__ import annotations

from shared.protocols.pypi import names

_LOOSE = tuple(each for each in names.SUFFIXES if each not in (".tar.gz", ".zip"))
"""Behind the version in such a name other things stand, or its release alone is sure."""


def fits(project: str, version: str, filename: str) -> bool:
    """`Fits`. A wheel's name begins with its project, and so does a source archive's for each installer;
    other files were named at will (`python3-demo_1.0-1_all.deb`)."""
    told = names.spelt_version(project, filename)
    if filename.endswith(".whl"):
        parts = filename.split("-")
        if len(parts) >= 5 and names.normalise(parts[0]) != project:
            return False
    elif not told and filename.endswith(names.SDISTS) and _is_of_another(filename):
        return False
    found, wanted = names.version_key(told), names.version_key(version)
    if found is None or wanted is None:
        return True
    if filename.endswith(_LOOSE):
        one, other = names.canonical_version(found.base_version), names.canonical_version(wanted.base_version)
        return one == other
    return names.canonical_version(told) == names.canonical_version(version)


def _is_of_another(sdist: str) -> bool:
    """Whether a name is some project's and a version of it; the file's own project is none that it begins
    with."""
    stem = next(sdist[: -len(suffix)] for suffix in names.SDISTS if sdist.endswith(suffix))
    name, dash, version = stem.rpartition("-")
    return bool(dash) and names.is_project(name) and names.version_key(version) is not None
