"""The pages for people by name, as tests and pictures ask for them in a town (tests/support/town.py)."""

from __future__ import annotations


def addresses(sha256: str, build: str, lock: str) -> dict[str, str]:
    """Below `/ui/`; `sha256` of a stored file, id of a build, key of a lock."""
    return {
        "home": "",
        "search": "search?q=fl",
        "search-none": "search?q=nowhere-to-be-found",
        "packages": "packages?protocol=pypi",
        "packages-none": "packages?protocol=npm&prefix=zzz",
        "package": "packages/pypi/flask",
        "package-deprecated": "packages/npm/left-pad",
        "package-scoped": "packages/npm/@example/button",
        "package-maven": "packages/maven/org.example:library",
        "package-stored-only": "packages/maven/org.example:fixed",
        "package-no-name": "packages/pypi/flask/9.9",
        "package-unknown": "packages/pypi/nobody-has-asked-for-it",
        "version": "packages/pypi/flask?version=3.1.0",
        "version-stored-only": "packages/maven/org.example:fixed?version=4.13.2",
        "version-yanked": "packages/pypi/flask?version=3.0.0",
        "file": f"files/{sha256}",
        "setup": "setup",
        "setup-token": "setup?client=npm&token=yes&address=https://orchard.example.com",
        "setup-maven": "setup?client=mvn",
        "upstreams": "upstreams",
        "events": "events",
        "policy": "policy?tried=yes",
        "policy-why": "policy?of=pkg:npm/left-pad",
        "held": "held",
        "builds": "builds",
        "build": f"builds/{build}",
        "tokens": "tokens",
        "webhooks": "webhooks",
        "disk": "disk",
        "locks": "locks",
        "lock": f"locks/{lock}",
        "queues": "queues",
        "jobs": "jobs",
        "audit": "audit",
        "who-has": "who-has?of=pkg:pypi/flask",
        "documents": "docs/",
        "signin": "signin",
        "nothing": "no/such/page",
    }
