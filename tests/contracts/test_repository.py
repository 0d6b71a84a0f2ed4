"""What holds for the repository: no registry hosts, honest pins, documented errors and settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from packageurl.contrib import purl2url

from shared.error_catalogue import CATALOGUE
from shared.errors import OrchardError
from shared.protocols.base import PackageProxyBase
from shared.settings import Settings, variable

ROOT = Path(__file__).parents[2]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / each.decode() for each in listed.split(b"\0") if each and (ROOT / each.decode()).is_file()]


def _registry_hosts() -> set[str]:
    """Hosts that the ecosystem's own library knows as registries; none is written down here."""
    hosts = set()
    for kind in ("pypi/x@1", "npm/x@1", "maven/g/x@1", "cargo/x@1", "gem/x@1", "golang/g/x@1"):
        for make in (purl2url.get_repo_url, purl2url.get_download_url):
            url = make(f"pkg:{kind}")
            if url:
                hosts.add(url.split("/")[2].lower())
    generic = {"github.com", "gitlab.com", "bitbucket.org"}
    return hosts - generic


def test_no_file_names_a_registry_host() -> None:
    hosts = _registry_hosts()
    assert len(hosts) >= 4, "the library must know some registries, else this check checks nothing"
    roots = {".".join(host.split(".")[-2:]) for host in hosts}
    pattern = re.compile("|".join(re.escape(each) for each in sorted(hosts | roots)), re.IGNORECASE)
    found = []
    for path in _tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


def test_requirements__hashed_without_addresses_and_services_within_dev() -> None:
    pin = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE | re.IGNORECASE)
    dev = dict(pin.findall((ROOT / "requirements-dev.txt").read_text()))
    files = [*ROOT.glob("services/*/requirements.txt"), ROOT / "requirements-dev.txt"]
    assert len(files) == 5
    for path in files:
        text = path.read_text()
        assert "://" not in text and "--index" not in text and "--find-links" not in text, path
        pins = dict(pin.findall(text))
        blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert all("--hash=sha256:" in block for block in blocks if "==" in block), path
        assert pins.items() <= dev.items(), path


def test_error_catalogue__codes_unique_statuses_sane_hints_present() -> None:
    classes: list[type[OrchardError]] = []
    todo = [OrchardError]
    while todo:
        each = todo.pop()
        classes.append(each)
        todo.extend(each.__subclasses__())
    own = [each for each in classes if "code" in each.__dict__]
    codes = [each.code for each in own]
    assert len(codes) == len(set(codes))
    for each in own:
        assert each.hint.endswith((".", ")")), each
        assert each.retryable == (each.status == 503), each


@pytest.mark.parametrize("page", ["cli", "errors", "settings"])
def test_generated_page__is_what_the_code_generates(page: str) -> None:
    command = [sys.executable, "-m", f"scripts.{page}_page"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hint = f"run: python -m scripts.{page}_page > docs/{page}.md"
    assert (ROOT / "docs" / f"{page}.md").read_text() == made, hint


def test_errors_page__has_every_code() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    assert all(f"`{code}`" in text for code in CATALOGUE)


def test_readme__names_every_setting() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "settings.md").read_text()
    missing = [
        variable(field.name) for field in msgspec.structs.fields(Settings) if variable(field.name) not in text
    ]
    assert missing == []


def test_imports_run_down_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_hit__copies_finished_bodies__nothing_on_its_way_reads_or_renders_a_document() -> None:
    methods = ("rewrite_index", "decode_document", "carry_over", "wants_previous", "merge_documents")
    for method in methods:
        assert hasattr(PackageProxyBase, method)
    paths = [*(ROOT / "services" / "gateway").rglob("*.py")]
    paths += [
        *(ROOT / "shared" / "protocols").glob("*_flow.py"),
        ROOT / "shared" / "protocols" / "index_reply.py",
    ]
    assert len(paths) > 20
    found = [
        f"{path.name}: {method}"
        for path in paths
        for method in methods
        if re.search(rf"\b{method}\(", path.read_text())
    ]
    assert found == []


def test_lock_of_uv_is_ignored() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
