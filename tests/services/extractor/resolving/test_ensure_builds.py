"""The environments that source archives are built in, of graphs made by hand."""

from __future__ import annotations

import hashlib

from services.extractor.resolving.ensure_builds import Environments, environments_of
from services.extractor.resolving.progress import EnsureProgress, EnsureWork
from shared.models import BuildNeeds, StoredFile
from shared.protocols import protocol_named
from shared.protocols.resolution import Node, Resolution, ResolutionRequest
from shared.queue.jobs import FetchArtifact
from shared.resolving.ensure_file import EnsureFile, read_toml

PYPI = protocol_named("pypi")


class Case:
    """An ensure whose answers are given."""

    def __init__(self, *roots: str) -> None:
        text = f"[pypi]\nrequirements = {list(roots)!r}\nas_of = 2024-01-01\n"
        self.file: EnsureFile = read_toml(text)
        self.work = EnsureWork()
        self.progress = EnsureProgress(started_at=0.0)

    def of(self, *requirements: str) -> ResolutionRequest:
        (plan,) = self.file.plans
        like = plan.requests[0]
        assert PYPI.resolver is not None
        return PYPI.resolver.request(
            requirements=requirements,
            max_depth=like.max_depth,
            environment=like.environment,
            as_of=like.as_of,
        )

    def resolved(self, request: ResolutionRequest, *files: str) -> None:
        """The graph of a request, by the names of its files."""
        nodes = []
        for filename in files:
            name, version = filename.removesuffix(".tar.gz").split("-")[:2]
            sha256 = hashlib.sha256(filename.encode()).hexdigest()
            nodes.append(Node(f"pkg:pypi/{name}@{version}", name, version, filename, file_id=sha256))
            job = FetchArtifact("pypi", name, sha256, filename)
            self.work.facts[job.id] = StoredFile(sha256, 1, "", "", filename)
        self.work.resolutions[request.key] = Resolution(request, request.key, True, tuple(nodes), ())

    def needs(self, filename: str, *requirements: str, reason: str = "") -> None:
        sha256 = hashlib.sha256(filename.encode()).hexdigest()
        self.work.needs[sha256] = BuildNeeds(requirements, reason)

    def environments(self) -> Environments:
        return environments_of(PYPI, self.file.plans[0], self.work, self.progress)


def test_equal_requirements__one_environment__for_the_same_moment_and_machine() -> None:
    case = Case("a", "b")
    case.resolved(case.of("a", "b"), "a-1.tar.gz", "b-1.tar.gz", "c-1-py3-none-any.whl")
    assert case.environments() == {}, "nothing was read yet"
    case.needs("a-1.tar.gz", "Setuptools >= 61", "wheel")
    case.needs("b-1.tar.gz", "wheel", "setuptools>=61")
    ((key, found),) = case.environments().items()
    assert found.request == case.of("setuptools>=61", "wheel") and key == found.request.key
    assert (found.builds, found.request.as_of) == (
        {"pkg:pypi/a@1", "pkg:pypi/b@1"},
        "2024-01-01T00:00:00+00:00",
    )


def test_older_setuptools__wheel_apart_for_all_that_it_builds() -> None:
    case = Case("a", "b")
    case.resolved(case.of("a", "b"), "a-1.tar.gz", "b-1.tar.gz")
    case.needs("a-1.tar.gz", "setuptools")
    case.needs("b-1.tar.gz", "setuptools<60")
    case.resolved(case.of("setuptools"), "setuptools-65-py3-none-any.whl")
    case.resolved(case.of("setuptools<60"), "setuptools-59-py3-none-any.whl")
    found = {each.request: each.builds for each in case.environments().values()}
    assert found[case.of("wheel")] == {"pkg:pypi/a@1", "pkg:pypi/b@1"}
    assert len(found) == 3


def test_package_in_several_graphs__told_once() -> None:
    case = Case("a", "tool")
    case.resolved(case.of("a", "tool"), "a-1.tar.gz", "tool-1.tar.gz")
    case.needs("a-1.tar.gz", "tool", "no requirement!")
    case.needs("tool-1.tar.gz", reason="the archive is cut off")
    case.resolved(case.of("tool"), "tool-1.tar.gz")
    found = case.environments()
    assert [each.requirement for each in found[case.of("tool").key].unresolved] == ["no requirement!"]
    assert [each.reason for each in found["pkg:pypi/tool@1"].unresolved] == ["the archive is cut off"]
    assert found["pkg:pypi/tool@1"].request is None


def test_no_answer__the_reason_with_the_requirements() -> None:
    case = Case("a")
    case.resolved(case.of("a"), "a-1.tar.gz")
    case.needs("a-1.tar.gz", "tool>=2")
    case.progress.unbuildable[case.of("tool>=2").key] = "resolution_conflict: none"
    (told,) = case.environments()[case.of("tool>=2").key].unresolved
    assert (told.name, told.reason, told.wanted_by) == (
        "tool>=2",
        "resolution_conflict: none",
        "pkg:pypi/a@1",
    )
