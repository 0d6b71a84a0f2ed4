"""Which profiles of a POM are active in an environment that is named, never in the server's own.

As Maven 3 decides (maven-model-builder, "Profile Activation"): all conditions of a profile must hold;
profiles active by default count only if no other profile of the same POM is active.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from shared.errors import InvalidParameter
from shared.protocols.maven.model import Activation, Layer, Pom, Profile

DEFAULT_ENVIRONMENT = "jdk17-linux-x86_64"
MAX_JDK = 99

_NAME = re.compile(r"jdk([0-9]{1,2})-(linux|windows|macos)-(x86_64|aarch64)")
_OS = {"linux": ("Linux", "6.1.0"), "windows": ("Windows Server 2022", "10.0"), "macos": ("Mac OS X", "14.0")}
_NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})


class Environment(msgspec.Struct, frozen=True):
    """What a profile can ask for. `properties` are the Java system properties that are known."""

    name: str
    java_version: str
    os_name: str
    os_version: str
    os_arch: str  # as Java names it
    properties: Mapping[str, str]


def environment(name: str) -> Environment:
    """`jdk{N}-{linux|windows|macos}-{x86_64|aarch64}`. Raises `InvalidParameter`."""
    found = _NAME.fullmatch(name)
    if found is None or not 8 <= int(found[1]) <= MAX_JDK:
        raise InvalidParameter(
            f"environment: expected a name such as {DEFAULT_ENVIRONMENT}, not {ascii(name)[:60]}"
        )
    feature, system = int(found[1]), found[2]
    java = "1.8.0_402" if feature == 8 else f"{feature}.0.12"
    os_name, os_version = _OS[system]
    arch = "amd64" if found[3] == "x86_64" and system != "macos" else found[3]
    specification = "1.8" if feature == 8 else str(feature)
    windows = system == "windows"
    properties = {
        "java.version": java,
        "java.specification.version": specification,
        "java.vm.specification.version": specification,
        "os.name": os_name,
        "os.version": os_version,
        "os.arch": arch,
        "file.separator": "\\" if windows else "/",
        "path.separator": ";" if windows else ":",
        "file.encoding": "UTF-8",
    }
    return Environment(name, java, os_name, os_version, arch, MappingProxyType(properties))


def properties_of(environment: Environment | None) -> Mapping[str, str]:
    """The known system properties; none without an environment."""
    return _NO_PROPERTIES if environment is None else environment.properties


def active_profiles(pom: Pom, environment: Environment | None) -> list[Layer]:
    """The active profiles in their order; without an environment only those active by default."""
    by_condition = [] if environment is None else [each for each in pom.profiles if _holds(each, environment)]
    if by_condition:
        return [each.layer for each in by_condition]
    return [each.layer for each in pom.profiles if each.activation.default]


def _holds(profile: Profile, environment: Environment) -> bool:
    wanted = profile.activation
    checks: list[bool] = []
    if wanted.jdk:
        checks.append(_jdk(wanted.jdk, environment.java_version))
    if wanted.os_name or wanted.os_family or wanted.os_arch or wanted.os_version:
        checks += [
            _one(wanted.os_name, lambda text: text.lower() == environment.os_name.lower()),
            _one(wanted.os_family, lambda text: _is_family(text.lower(), environment.os_name.lower())),
            _one(wanted.os_arch, lambda text: text.lower() == environment.os_arch.lower()),
            _one(wanted.os_version, lambda text: text.lower() == environment.os_version.lower()),
        ]
    if wanted.property:
        checks.append(_property(wanted, environment.properties))
    if wanted.exists or wanted.missing:
        # No file of the building machine is known: none exists. Maven takes only absolute paths.
        absolute = wanted.missing.startswith(("/", "${java.home}", "${user.home}", "${user.dir}", "${env."))
        checks.append(not wanted.exists and absolute)
    return bool(checks) and all(checks)


def _one(wanted: str, holds: Callable[[str], bool]) -> bool:
    if not wanted:
        return True
    return not holds(wanted[1:]) if wanted.startswith("!") else holds(wanted)


def _is_family(family: str, os_name: str) -> bool:
    """As plexus-utils' Os.isFamily: some families by rule, else as a part of the system's name."""
    if family == "unix":
        return "windows" not in os_name
    if family == "dos":
        return "windows" in os_name
    return family in os_name


def _property(wanted: Activation, known: Mapping[str, str]) -> bool:
    name, value = wanted.property, wanted.value
    negated = name.startswith("!")
    actual = known.get(name.removeprefix("!"), "")
    if not value:
        return negated != bool(actual)
    if value.startswith("!"):
        return actual != value[1:]
    return actual == value


def _jdk(wanted: str, version: str) -> bool:
    if wanted.startswith("!"):
        return not version.startswith(wanted[1:])
    if not wanted.startswith(("[", "(")):
        return version.startswith(wanted)
    lower, _, upper = wanted.partition(",")
    low = _relation(version, lower.strip("[( "), closed=lower.startswith("["), left=True)
    if low <= 0:
        return low == 0
    return _relation(version, upper.strip("]) "), closed=upper.rstrip().endswith("]"), left=False) <= 0


def _relation(version: str, bound: str, *, closed: bool, left: bool) -> int:
    if not bound:
        return 1 if left else -1
    ours, theirs = _numbers(re.sub(r"[^0-9._-]", "", version)), _numbers(bound)
    if ours != theirs:
        return 1 if ours > theirs else -1
    return 0 if closed else (-1 if left else 1)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [int(part) if part.isdigit() else 0 for part in re.split(r"[._-]", text)[:3]]
    return tuple(parts + [0] * (3 - len(parts)))
