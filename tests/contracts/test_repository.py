"""What holds for the repository: no registry hosts, honest pins, documented errors and settings."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from packageurl.contrib import purl2url

from scripts.cli_page import commands_of
from services.cli.parser import build_parser
from services.gateway.hits.stored_objects import REDIRECT_SECONDS
from shared.errors import OrchardError
from shared.errors.catalogue import CATALOGUE
from shared.migrations.runner import read_migrations
from shared.protocols import PROTOCOLS
from shared.protocols.roles.documents import Documents
from shared.protocols.roles.pages import Pages
from shared.redis.types import FAMILIES
from shared.settings import Settings, age_variable, timeout_variable, upstream_variable, variable

ROOT = Path(__file__).parents[2]

_NAMED = re.compile(
    r"[\w.*-]+(?:/[\w.*-]+)*\.(?:py|md|lua|sql|sh|toml|ya?ml|conf)\b|(?:services|shared|tests|docs|bench|scripts|deploy)(?:/[\w-]+)+"
)
_OTHERS = {
    "pyproject.toml",
    "pnpm-workspace.yaml",
    "stores-egress.yaml",
    "pip.conf",
    "uv.toml",
    "kustomization.yaml",
    "Cargo.toml",
    "pylock.toml",
    "cargo-config.toml",
    "pnpm-lock.yaml",
    ".cargo/config.toml",
}
"""File names in documents that are clients' and users' own, or an overlay's."""


def _documents() -> list[Path]:
    history = {ROOT / "CHANGELOG.md", ROOT / "docs" / "moves.md"}
    return [path for path in _tracked() if path.suffix == ".md" and path not in history]


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


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
        if path == ROOT / "LICENSE":  # names its author's host; test_release.py holds its text
            continue
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


@pytest.mark.parametrize(
    ("page", "file"),
    [("cli", "cli.md"), ("errors", "errors.md"), ("settings", "settings.md"), ("man", "orchard.1")],
)
def test_generated_page__is_what_the_code_generates(page: str, file: str) -> None:
    command = [sys.executable, "-m", f"scripts.{page}_page"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hint = f"run: python -m scripts.{page}_page > docs/{file}"
    assert (ROOT / "docs" / file).read_text() == made, hint


def test_errors_page__has_every_code() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    assert all(f"`{code}`" in text for code in CATALOGUE)


def test_readme__names_every_setting() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "settings.md").read_text()
    names = [variable(field.name) for field in msgspec.structs.fields(Settings)]
    for made in (
        "upstreams",
        "request_timeouts",
        "minimum_ages",
        "client_seconds",
        "ignored",
    ):  # of all protocols, or of none
        names.remove(variable(made))
    for protocol in PROTOCOLS:
        names += [upstream_variable(protocol.name), timeout_variable(protocol.name)]
        names += [age_variable(protocol.name), age_variable("")]
    assert [name for name in names if name not in text] == []


def test_readme__names_every_command() -> None:
    below = (ROOT / "README.md").read_text().partition("\n## The command\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+)`", below)) | set(re.findall(r"\borchard ([a-z-]+)", below))
    commands = {each.prog.split()[1] for each in commands_of(build_parser())}
    assert commands - named == set()


def test_imports_run_down_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_name_is_imported_from_where_it_is_defined() -> None:
    """mypy refuses to take a name from a module that only imports it, unless it says that it passes it on."""
    again = re.compile(r"^__all__|import .*\b(\w+) as \1\b", re.MULTILINE)
    code = [path for path in _tracked() if path.suffix == ".py" and ROOT / "tests" not in path.parents]
    passing_on = {str(path.relative_to(ROOT)) for path in code if again.search(path.read_text())}
    assert passing_on == {"shared/errors/__init__.py"}


def test_hit__copies_finished_bodies__nothing_on_its_way_reads_or_renders_a_document() -> None:
    methods = ("rewrite_index", "decode_document", "carry_over", "wants_previous", "merge_documents")
    for method in methods:
        assert hasattr(Pages, method) or hasattr(Documents, method)
    gateway = ROOT / "services" / "gateway"
    admin = gateway / "api" / "admin"  # an operator's request is no hit
    paths = [path for path in gateway.rglob("*.py") if admin not in path.parents]
    assert len(paths) > 20
    found = [
        f"{path.name}: {method}"
        for path in paths
        for method in methods
        if re.search(rf"\b{method}\(", path.read_text())
    ]
    assert found == []


def test_what_a_verdict_is_asked_with__is_put_together_in_one_place() -> None:
    told_apart = re.compile(r"from shared\.policy\.verdict import .*\bSubject\b")
    code = [path for path in _tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "shared")]
    code += [path for path in _tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "services")]
    makers = [
        str(path.relative_to(ROOT))
        for path in code
        if told_apart.search(text := path.read_text()) and re.search(r"\bSubject\(", text)
    ]
    assert makers == ["shared/policy/project.py", "shared/protocols/subjects.py"]  # of a list, of a file


def test_documents__every_path_that_they_name_exists() -> None:
    tracked = {str(path.relative_to(ROOT)) for path in _tracked()}
    there = tracked | {str(folder) for path in tracked for folder in Path(path).parents}
    tails = {path[at.end() :] for path in tracked for at in re.finditer("^|/", path)}
    gone = []
    for page in _documents():
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
        for named in (name for span in spans for name in _NAMED.findall(span)):
            beside = os.path.normpath(page.parent.relative_to(ROOT) / named)
            if "*" not in named and not {named, beside} & there and named not in tails | _OTHERS:
                gone.append(f"{page.relative_to(ROOT)}: {named}")
    assert gone == []


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """Lines and texts of the comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)


def test_code__every_module_that_comments_and_docstrings_name_exists() -> None:
    tracked = {str(path.relative_to(ROOT)) for path in _tracked()}
    tails = {path[at.end() :] for path in tracked for at in re.finditer("^|/", path)}
    gone = []
    for path in _tracked():
        if path.suffix != ".py" or not {"shared", "services", "scripts"} & set(
            path.relative_to(ROOT).parts[:1]
        ):
            continue
        for line, text in _prose(path.read_text()):
            for named in re.findall(r"[\w./-]*\w\.(?:py|lua|md|sql)\b", text):
                if named not in tails | _OTHERS:
                    gone.append(f"{path.relative_to(ROOT)}:{line}: {named}")
    assert gone == []


def test_glossary__has_ten_words_at_most() -> None:
    glossary = (ROOT / "ARCHITECTURE.md").read_text().split("\n## Glossary\n")[1].split("\n## ")[0]
    assert 0 < len(re.findall(r"^\| (?!word |-)", glossary, re.MULTILINE)) <= 10


def test_state_of_the_architecture__names_every_table_and_every_family_of_keys() -> None:
    state = (ROOT / "ARCHITECTURE.md").read_text().split("\n## State\n")[1].split("\n## ")[0]
    sql = "\n".join(path.read_text() for path in sorted((ROOT / "shared" / "migrations").glob("*.sql")))
    tables = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", sql)) - set(
        re.findall(r"DROP TABLE (\w+)", sql)
    )
    assert len(tables) > 20
    assert sorted(table for table in tables if f"`{table}`" not in state) == []
    words = {
        word.replace("%", "")
        for pattern, _ in FAMILIES
        for word in re.findall(r"[a-z_]+(?:%-[a-z]+)?", pattern)
    }
    assert sorted(word for word in words if word not in state) == []


def test_code__refers_to_sections_of_the_architecture_that_exist() -> None:
    titles = "\n".join(re.findall(r"^#+ (.+)$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE))
    wrong = []
    for path in _tracked():
        if path.suffix not in (".py", ".lua", ".sql") or path == Path(__file__):
            continue
        for section in re.findall(r"ARCHITECTURE\.md\b(?:\s+\"([^\"]+)\")?", path.read_text()):
            if not section or section not in titles:
                wrong.append(f"{path.relative_to(ROOT)}: {section or 'no section'}")
    assert wrong == []


def test_documents__every_link_leads_somewhere() -> None:
    dead = []
    for page in _documents():
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if "://" in link:
                continue
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                dead.append(f"{page.relative_to(ROOT)}: {link}")
    assert dead == []


def test_documents__every_row_of_a_table_is_below_its_head() -> None:
    """A blank line between ends a table: what follows is shown as raw text."""
    alone = []
    for path in _documents():
        lines = ["", *path.read_text().splitlines(), ""]
        for number, line in enumerate(lines):
            begins = line.startswith("|") and not lines[number - 1].startswith("|")
            if begins and not re.fullmatch(r"\|[-:| ]+\|", lines[number + 1]):
                alone.append(f"{path.relative_to(ROOT)}:{number}")
    assert alone == []


def test_documents__say_how_long_a_presigned_url_lasts() -> None:
    for name in ("operations.md", "access.md"):
        text = " ".join((ROOT / "docs" / name).read_text().split())
        (said,) = re.findall(r"presigned URLs?\b[^()]*\((\d+) minutes\)", text)
        assert int(said) * 60 == REDIRECT_SECONDS, name


def test_settings_page__says_something_of_each() -> None:
    assert "|  |\n" not in (ROOT / "docs" / "settings.md").read_text()


def test_migrations__each_number_is_given_once() -> None:
    assert read_migrations(), "raises for a gap, and for a number that two branches took"


def test_lock_of_uv_is_ignored() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
