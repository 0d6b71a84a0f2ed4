"""Which dependencies a version has when some of its features are wanted, and with which features each.

A lock holds whatever may be built: of all platforms, and weak values (`name?/feature`) count as if they
turned their dependency on (Cargo narrows that when it builds).
"""

from __future__ import annotations

from typing import NamedTuple

from shared.protocols.cargo.resolver.summaries import Dependency, FeatureValue, Summary

DEFAULT = "default"


class Activation(NamedTuple):
    """`features` are all that come to be enabled of the version itself."""

    features: frozenset[str]
    dependencies: tuple[tuple[Dependency, frozenset[str]], ...]


class MissingFeature(Exception):
    """A wanted feature is none of the version's; the text says why it may look like one."""


class FeatureCycle(Exception):
    """A feature names itself: Cargo stops there, whatever other versions there are."""


def activate(summary: Summary, wanted: frozenset[str], default_features: bool) -> Activation:
    """What the version needs. Raises `MissingFeature` or `FeatureCycle`."""
    needs = _Needs(summary)
    for feature in sorted(wanted):
        needs.feature(feature)
    if default_features and DEFAULT in summary.features:
        needs.feature(DEFAULT)
    found = []
    for dependency in summary.dependencies:
        extra = needs.dependencies.get(dependency.name)
        if extra is not None or not dependency.optional:
            found.append((dependency, dependency.features | (extra or set())))
    return Activation(frozenset(needs.features), tuple(found))


class _Needs:
    def __init__(self, summary: Summary) -> None:
        self.features: set[str] = set()
        self.dependencies: dict[str, set[str]] = {}  # by the name that features use: features of theirs
        self._summary = summary

    def feature(self, name: str) -> None:
        """Enable a feature and all that it turns on."""
        waiting = [name]
        while waiting:
            feature = waiting.pop()
            if feature in self.features:
                continue
            self.features.add(feature)
            values = self._summary.features.get(feature)
            if values is None:
                raise MissingFeature(_why_missing(self._summary, feature))
            for value in values:
                if value == FeatureValue("feature", feature):
                    raise FeatureCycle(f"{self._summary.label}: its feature {feature} names itself")
                waiting += self._follow(value)

    def _follow(self, value: FeatureValue) -> list[str]:
        if value.kind == "feature":
            return [value.name]
        extra = self.dependencies.setdefault(value.name, set())
        if value.kind == "dep":
            return []
        extra.add(value.feature)
        implied = not value.weak and value.name in self._summary.features
        return [value.name] if implied and _is_optional(self._summary, value.name) else []


def _is_optional(summary: Summary, name: str) -> bool:
    return any(each.name == name and each.optional for each in summary.dependencies)


def _why_missing(summary: Summary, feature: str) -> str:
    named = [each for each in summary.dependencies if each.name == feature]
    if not named:
        return f"it has no feature {feature}"
    if any(each.optional for each in named):
        return f"its optional dependency {feature} is no feature (it is named with dep:)"
    return f"its dependency {feature} is not optional, and so no feature"
