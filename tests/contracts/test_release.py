"""What a release says of itself is true: licence, version, changelog, what is of others."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib

from packaging.version import Version

from shared.version import VERSION
from tests.contracts.test_repository import ROOT, _tracked

APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # the licence's own text


def test_licence__is_unaltered_and_named_by_the_metadata() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "THIRD-PARTY-NOTICES.md"]


def test_version__stands_in_one_place_and_heads_the_releases_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "shared/version.py"
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    releases = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \(\d{4}-\d\d-\d\d\)", each) for each in headings[1:]]
    assert all(releases), headings
    numbers = [tuple(map(int, each.groups())) for each in releases if each]
    assert numbers == sorted(set(numbers), reverse=True)
    newest = Version(".".join(map(str, numbers[0])))
    assert str(Version(VERSION)) == VERSION  # PEP 440, in its normal form
    if (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1].strip() == "Unreleased":
        assert Version(VERSION) == newest
    else:  # what came since is not called by the name of what is out: an installer would keep the old one
        assert Version(VERSION).is_devrelease and Version(VERSION) > newest


def test_deploy__names_our_images_by_the_version_alone() -> None:
    name = r"orchard-(?:gateway|fetcher|extractor)(?:, newName: [^,}]+)?"
    pattern = name + r"(?::|, newTag: )([\w.${}:-]+?)[\s}]"
    deploy = ROOT / "deploy" / "k8s"
    places = {
        ROOT / "docker-compose.yml": 3,  # migrations are the fetcher's
        deploy / "base" / "kustomization.yaml": 3,
        **dict.fromkeys((deploy / "components").glob("*/kustomization.yaml"), 0),
        deploy / "components" / "backup" / "kustomization.yaml": 1,
        **dict.fromkeys((deploy / "overlays").glob("*/kustomization.yaml"), 0),
    }
    assert len(places) > 4
    for path, number in places.items():
        assert re.findall(pattern, path.read_text()) == [VERSION] * number, (
            f"{path.relative_to(ROOT)}: images that are not of version {VERSION} (shared/version.py)"
        )


def test_command__tells_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == f"orchard {VERSION}\n"


def test_notices__name_whatever_is_of_others() -> None:
    notices = (ROOT / "THIRD-PARTY-NOTICES.md").read_text()
    of_others = [path for path in _tracked() if re.search(r"\.min\.\w+$|\.LICENSE$", path.name)]
    assert of_others
    assert [path.name for path in of_others if path.name not in notices] == []
