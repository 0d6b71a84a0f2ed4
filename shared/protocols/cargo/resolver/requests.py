"""What a request asks for: `name@requirement`, with features spelled as `cargo add` takes them."""

from __future__ import annotations

import re

import msgspec

from shared.errors import InvalidParameter
from shared.protocols.cargo import names
from shared.protocols.cargo.entries import DependencyEntry
from shared.protocols.cargo.requirements import parse_requirement

_MAX_CHARACTERS = 2000
_FEATURES = re.compile(r"[,\s]+")
_FEATURE = re.compile(r"[\w.+-]+(?:/[\w.+-]+)?")


class Asked(msgspec.Struct, frozen=True):
    """One requirement of a request."""

    name: str
    requirement: str = "*"
    features: tuple[str, ...] = ()
    default_features: bool = True

    @property
    def text(self) -> str:
        """Its one spelling."""
        return (
            f"{self.name}@{self.requirement}"
            + ("" if self.default_features else " --no-default-features")
            + (f" --features {','.join(self.features)}" if self.features else "")
        )

    @property
    def entry(self) -> DependencyEntry:
        """As a dependency of a package."""
        return DependencyEntry(
            name=self.name,
            req=self.requirement,
            features=self.features,
            default_features=self.default_features,
        )


def read_asked(text: str) -> Asked:
    """`name`, `name@requirement`, either with `--no-default-features` and `--features a,b` behind it.

    Raises `InvalidParameter`.
    """
    if len(text) > _MAX_CHARACTERS:
        raise InvalidParameter(f"requirements: one is longer than {_MAX_CHARACTERS} characters")
    head, *options = re.split(r"\s+(?=--?[a-zA-Z])", text.strip())
    name, _, wanted = head.partition("@")
    requirement = parse_requirement(wanted.strip() or "*")
    if not names.is_name(name.strip()) or requirement is None:
        raise InvalidParameter(
            f"requirements: {ascii(text)[:120]} is no requirement such as 'serde', 'serde@1.0' or"
            " 'tokio@^1 --no-default-features --features rt,net'"
        )
    features: set[str] = set()
    default_features = True
    for option in options:
        word, _, value = option.replace("=", " ", 1).partition(" ")
        if word == "--no-default-features" and not value.strip():
            default_features = False
        elif word in ("--features", "-F") and value.strip():
            features.update(_FEATURES.split(value.strip().strip(",")))
        else:
            raise InvalidParameter(
                f"requirements: {ascii(option)[:80]} is neither --features a,b nor --no-default-features"
            )
    odd = sorted(each for each in features if not _FEATURE.fullmatch(each) or "/" in each)
    if odd:
        raise InvalidParameter(f"requirements: {ascii(odd[0])[:80]} is no feature's name")
    return Asked(name.strip(), requirement.text, tuple(sorted(features)), default_features)
