"""A POM as it is written: the parts that the effective dependencies follow from, small and storable."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import msgspec

from shared.protocols.maven.xml import BadXml, children_of, text_of

MODEL_FORMAT = 2
MAX_DEPENDENCIES = 10_000
MAX_PROPERTIES = 10_000
MAX_TEXT = 512  # characters of one id, version or scope
MAX_VALUE = 4096  # of a property

Key = tuple[str, str, str, str]


class Coordinates(msgspec.Struct, frozen=True, order=True):
    """group:artifact:version."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


class RawDependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dependency element; "" where nothing is written."""

    group: str
    artifact: str
    version: str = ""
    type: str = ""
    classifier: str = ""
    scope: str = ""
    optional: str = ""
    exclusions: tuple[str, ...] = ()  # "group:artifact", "*" as written
    path: str = ""  # systemPath: where a dependency of scope system lies on the machine

    @property
    def key(self) -> Key:
        """What management matches (POM reference, "Dependency Management")."""
        return self.group, self.artifact, self.type or "jar", self.classifier


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Properties and dependencies of a POM itself, or of one of its profiles."""

    properties: dict[str, str] = {}
    dependencies: tuple[RawDependency, ...] = ()
    managed: tuple[RawDependency, ...] = ()


class Activation(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a profile holds, as written; "" where nothing is (POM reference, "Activation")."""

    default: bool = False
    jdk: str = ""
    os_name: str = ""
    os_family: str = ""
    os_arch: str = ""
    os_version: str = ""
    property: str = ""
    value: str = ""  # of the property
    exists: str = ""  # a file
    missing: str = ""  # a file


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A profile that may become active by itself."""

    activation: Activation
    layer: Layer


class Pom(msgspec.Struct, frozen=True, omit_defaults=True):
    """One POM. Profiles: those with an activation; others hold only on a command line that asks."""

    format: int
    group: str
    artifact: str
    version: str
    own: Layer
    parent: Coordinates | None = None
    profiles: tuple[Profile, ...] = ()
    relocation: Coordinates | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pom).decode


def encode_pom(pom: Pom) -> bytes:
    """The storable form."""
    return _encode(pom)


def decode_pom(body: bytes) -> Pom | None:
    """The POM; None for what this version cannot read."""
    try:
        pom = _decode(body)
    except msgspec.MsgspecError:
        return None
    return pom if pom.format == MODEL_FORMAT else None


def read_pom(root: Element) -> Pom:
    """The model of a parsed POM. Raises `BadXml` beyond the bounds."""
    parent = root.find("parent")
    profiles = [
        Profile(_activation(activation), _layer(each))
        for each in children_of(root, "profiles", "profile")
        if (activation := each.find("activation")) is not None
    ]
    relocation = root.find("distributionManagement/relocation")
    group = _text(root, "groupId") or _text(parent, "groupId")
    artifact = _text(root, "artifactId")
    version = _text(root, "version") or _text(parent, "version")
    return Pom(
        format=MODEL_FORMAT,
        group=group,
        artifact=artifact,
        version=version,
        own=_layer(root),
        parent=None if parent is None else _coordinates(parent, "", "", ""),
        profiles=tuple(profiles),
        relocation=None if relocation is None else _coordinates(relocation, group, artifact, version),
    )


def _activation(element: Element) -> Activation:
    system, given, file = element.find("os"), element.find("property"), element.find("file")
    return Activation(
        default=_text(element, "activeByDefault") == "true",
        jdk=_text(element, "jdk"),
        os_name=_text(system, "name"),
        os_family=_text(system, "family"),
        os_arch=_text(system, "arch"),
        os_version=_text(system, "version"),
        property=_text(given, "name"),
        value=_text(given, "value"),
        exists=_text(file, "exists"),
        missing=_text(file, "missing"),
    )


def _layer(element: Element) -> Layer:
    holder = element.find("properties")
    properties = {} if holder is None else {each.tag: (each.text or "").strip() for each in holder}
    if len(properties) > MAX_PROPERTIES or any(len(text) > MAX_VALUE for text in properties.values()):
        raise BadXml("size: more or longer properties than any POM has")
    return Layer(
        properties=properties,
        dependencies=_dependencies(element),
        managed=_dependencies(element.find("dependencyManagement")),
    )


def _dependencies(holder: Element | None) -> tuple[RawDependency, ...]:
    found: list[RawDependency] = []
    for element in children_of(holder, "dependencies", "dependency"):
        if len(found) == MAX_DEPENDENCIES:
            raise BadXml(f"size: more than {MAX_DEPENDENCIES} dependencies")
        group, artifact = _text(element, "groupId"), _text(element, "artifactId")
        if not (group and artifact):
            raise BadXml("content: a dependency without group or artifact")
        found.append(
            RawDependency(
                group=group,
                artifact=artifact,
                version=_text(element, "version"),
                type=_text(element, "type"),
                classifier=_text(element, "classifier"),
                scope=_text(element, "scope"),
                optional=_text(element, "optional"),
                exclusions=tuple(
                    f"{_text(each, 'groupId')}:{_text(each, 'artifactId')}"
                    for each in children_of(element, "exclusions", "exclusion")
                ),
                path=_text(element, "systemPath"),
            )
        )
    return tuple(found)


def _coordinates(element: Element, group: str, artifact: str, version: str) -> Coordinates:
    return Coordinates(
        _text(element, "groupId") or group,
        _text(element, "artifactId") or artifact,
        _text(element, "version") or version,
    )


def _text(element: Element | None, name: str) -> str:
    text = text_of(element, name)
    if len(text) > MAX_TEXT:
        raise BadXml(f"size: a {name} of more than {MAX_TEXT} characters")
    return text
