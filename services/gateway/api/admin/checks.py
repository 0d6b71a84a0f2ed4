"""Validation of the admin API's input, field by field: each error names its field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from services.gateway.api.admin.access_types import NewBlock, NewExemption, NewToken, WantedBlock
from services.gateway.api.admin.subjects import check_no_pattern, read_subject
from services.gateway.api.parameters import check_sha256
from shared.access.bounds import Bounds
from shared.errors import ConfigurationError, InvalidParameter
from shared.protocols import PROTOCOLS, protocol_named
from shared.protocols.base import PackageProxyBase
from shared.setting_values import age, date, network
from shared.sources.credentials import Credentials
from shared.sources.options import SourceOptions, checked
from shared.sources.urls import split_credentials

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PATTERN = re.compile(r"[A-Za-z0-9@/_.:*?!\[\]-]{1,256}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?")
MOST_PATTERNS = 200
LONGEST_SECRET = 4096
LONGEST_REASON = 500
MOST_OWNER_BYTES = 256


def protocol_of(name: str) -> PackageProxyBase:
    """The protocol of this name. Raises `InvalidParameter`."""
    known = [each.name for each in PROTOCOLS]
    if name not in known:
        raise InvalidParameter(f"protocol: expected one of {', '.join(known)}")
    return protocol_named(name)


def project_of(protocol: str, name: str, field: str = "name") -> str:
    """A project's canonical name. Raises `InvalidParameter`."""
    text = name.strip("/")
    if not text or len(text) > 512 or not text.isprintable() or " " in text:
        raise InvalidParameter(f"{field}: expected a package's name")
    return protocol_of(protocol).names.canonical_name(text)


def pinned_name(protocol: str, project: str) -> str:
    """The canonical name of a project, or of a group where the protocol has such. Raises
    `InvalidParameter`."""
    name = project_of(protocol, project, "project")
    names = protocol_of(protocol).names
    if not names.is_project_name(name) and not names.group_prefix(
        name
    ):  # stored, it would pin nothing, and nobody would know
        example = f"; {names.example}" if names.example else ""
        raise InvalidParameter(f"project: expected a name that a {protocol} package can have{example}")
    return name


def source_name(text: str) -> str:
    """A source's name. Raises `InvalidParameter`."""
    if not _NAME.fullmatch(text):
        raise InvalidParameter(
            "name: 1 to 128 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return text


def source_url(text: str) -> str:
    """An upstream's address as it is stored; credentials have fields of their own. Raises
    `InvalidParameter`."""
    if len(text) > 2048 or not text.isprintable() or " " in text:
        raise InvalidParameter("url: expected an http(s) address")
    try:
        if "@" in urlsplit(text).netloc:
            raise InvalidParameter("url: without user and password; there are fields for them")
        if urlsplit(text).fragment:
            raise InvalidParameter("url: without a fragment; options have a field of their own")
        address = split_credentials(text, "url")
    except ValueError:
        raise InvalidParameter("url: not a valid URL") from None
    except ConfigurationError as error:
        raise InvalidParameter(error.message) from None
    return address.url


def credentials(username: str, password: str, token: str, hosts: Sequence[str]) -> Credentials:
    """Raises `InvalidParameter` for Basic and a token at once, a user name that Basic cannot carry, what no
    header can (never repeating it), and for hosts that are none."""
    for field, text in (("username", username), ("password", password), ("token", token)):
        if len(text) > LONGEST_SECRET or any(ord(char) < 32 or ord(char) == 127 for char in text):
            raise InvalidParameter(f"{field}: at most {LONGEST_SECRET} characters, and no control characters")
    if token and (username or password):
        raise InvalidParameter("token: either a token, or username and password")
    if ":" in username:
        raise InvalidParameter("username: a colon cannot be part of it (RFC 7617)")
    if len(hosts) > MOST_PATTERNS or not all(_HOST_AND_PORT.fullmatch(host) for host in hosts):
        raise InvalidParameter("credential_hosts: hosts, such as files.example.com or files.example.com:8443")
    found = Credentials(username, password, token, tuple(host.lower() for host in hosts))
    if hosts and not found:
        raise InvalidParameter("credential_hosts: goes with the credentials; give them with it")
    return found


def patterns(field: str, texts: Sequence[str]) -> list[str]:
    """Glob patterns on canonical names. Raises `InvalidParameter`."""
    if len(texts) > MOST_PATTERNS or not all(_PATTERN.fullmatch(text) for text in texts):
        raise InvalidParameter(f"{field}: at most {MOST_PATTERNS} patterns of names, such as corp-*")
    return list(texts)


def hosts(texts: Sequence[str]) -> list[str]:
    """Host names. Raises `InvalidParameter`."""
    if len(texts) > MOST_PATTERNS or not all(_HOST.fullmatch(text) for text in texts):
        raise InvalidParameter("allowed_hosts: host names without scheme and port")
    return [text.lower() for text in texts]


def options(wanted: SourceOptions) -> str:
    """A source's options as the column takes them. Raises `InvalidParameter`."""
    try:
        return msgspec.json.encode(checked(wanted, "options")).decode()
    except ConfigurationError as error:
        raise InvalidParameter(error.message) from None


def priority(number: int) -> int:
    """Raises `InvalidParameter` outside what a column holds."""
    if not -1_000_000 <= number <= 1_000_000:
        raise InvalidParameter("priority: between -1000000 and 1000000")
    return number


def reason_of(text: str) -> str:
    """Why, on one line. Raises `InvalidParameter`."""
    reason = " ".join(text.split())
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InvalidParameter(f"reason: 1 to {LONGEST_REASON} printable characters; clients are shown it")
    return reason


def expiry_of(text: str, now: float) -> float | None:
    """When it ends, in unix seconds, of a date or a time from `now` on; None: never. Raises
    `InvalidParameter`."""
    if not text:
        return None
    try:
        ends = now + age(text) if text[-1] in "dh" else date(text)
    except msgspec.ValidationError:
        raise InvalidParameter(
            "expires: expected 36h, 7d (400d at most), or a date such as 2026-11-01"
        ) from None
    if ends <= now:
        raise InvalidParameter("expires: is over already")
    return ends


def owner(text: str) -> str:
    """Who answers for a token. Raises `InvalidParameter`."""
    if len(text.encode()) > MOST_OWNER_BYTES or not text.isprintable():
        raise InvalidParameter(f"owner: one line of at most {MOST_OWNER_BYTES} bytes")
    return text.strip()


def bounds_of(wanted: NewToken, now: float) -> Bounds:
    """What a new token is good for. Raises `InvalidParameter`."""
    if len(wanted.networks) > MOST_PATTERNS:
        raise InvalidParameter(f"networks: at most {MOST_PATTERNS}")
    try:
        networks = tuple(network(each) for each in wanted.networks)
    except ValueError as error:
        raise InvalidParameter(f"networks: {error}") from None
    protocols = tuple(protocol_of(each).name for each in wanted.protocols)
    names = names_of(wanted.names, protocols)
    bounds = Bounds(expiry_of(wanted.expires.strip(), now) or 0.0, networks, protocols, names)
    if wanted.scope == "admin" and bounds.of_packages:
        raise InvalidParameter("scope: a token for some packages alone can only read")
    return bounds


def names_of(texts: Sequence[str], protocols: Sequence[str]) -> tuple[str, ...]:
    """Patterns of the names of packages; of all protocols for none. Raises `InvalidParameter`: also for one
    that no name can match."""
    found = tuple(patterns("names", texts))
    for each in found:
        _check_can_be(each, [protocol_of(name) for name in protocols] or PROTOCOLS)
    return found


def _check_can_be(pattern: str, protocols: Sequence[PackageProxyBase]) -> None:
    first, slash, rest = pattern.partition("/")
    prefixed = bool(slash) and any(each.name == first for each in PROTOCOLS)
    possible = any(character in pattern for character in "*?[") or any(
        each.names.is_project_name(meant) or each.names.group_prefix(meant)
        for each in protocols
        for meant in (pattern, *each.names.meant_patterns(pattern))
    )
    if possible and not prefixed:
        return
    named = ", ".join(each.name for each in protocols)
    meant = f"; say {first!r} among the protocols, and {rest!r} here" if prefixed else ""
    raise InvalidParameter(f"names: {pattern[:80]!r} can be the name of no package of {named}{meant}")


def exemption(wanted: NewExemption) -> NewBlock:
    """What is exempt, as what is blocked is told. Raises `InvalidParameter`."""
    reason, of = reason_of(wanted.reason), read_subject(wanted.of)
    return NewBlock(reason, of.protocol, of.project, of.version, of.sha256)


def block(wanted: WantedBlock) -> NewBlock:
    """The block in canonical spelling. Raises `InvalidParameter`."""
    reason = reason_of(wanted.reason)
    if wanted.of:
        if wanted.protocol or wanted.name or wanted.version or wanted.sha256:
            raise InvalidParameter("of: stands alone: it names all of what is blocked")
        of = read_subject(wanted.of)
        return NewBlock(reason, of.protocol, of.project, of.version, of.sha256)
    if wanted.sha256:
        if wanted.protocol or wanted.name or wanted.version:
            raise InvalidParameter("sha256: stands alone; the same bytes are blocked under every name")
        return NewBlock(reason=reason, sha256=check_sha256(wanted.sha256))
    protocol = protocol_of(wanted.protocol)
    check_no_pattern(wanted.name)
    if not protocol.names.is_project_name(wanted.name):  # stored, it would block nothing, unnoticed
        raise InvalidParameter(f"name: expected one that a {protocol.name} package can have")
    name = project_of(wanted.protocol, wanted.name)
    version = wanted.version.strip()
    if len(version) > 256 or not version.isprintable() or " " in version:
        raise InvalidParameter("version: expected one version, not a range")
    if version:
        if not protocol.names.is_version(version):  # as with a name
            raise InvalidParameter(f"version: expected one that a {protocol.name} package can have")
        version = protocol.names.canonical_version(version)
    return NewBlock(reason, protocol.name, name, version)
