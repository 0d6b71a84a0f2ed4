"""The command without a server: help, misspelt words, bad addresses, nobody listening, its start."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.parser import build_parser
from services.cli.parts import Parser, by_subject
from services.cli.programs import environment
from services.cli.target import choose_target
from tests.services.cli.conftest import Command
from tests.support.orchard import free_port
from tests.support.stores import ROOT

Make = Callable[..., Command]


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _parsers(each)


def test_help__every_level__says_what_it_does_and_every_argument_is_explained() -> None:
    parsers = list(_parsers(build_parser()))
    assert len(parsers) > 25
    for parser in parsers:
        assert parser.description and parser.format_help()
        for action in parser._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction), (parser.prog, action.dest)


@pytest.mark.parametrize("words", [[], ["status"], ["pins"], ["pins", "list"]])
def test_help_of_a_command__is_what_its_option_says(command: Make, words: list[str]) -> None:
    asked, told = command()("help", *words), command()(*words, "--help")
    assert asked.returncode == 0 and asked.stdout
    assert (asked.stdout, asked.stderr) == (told.stdout, "")


def test_help_of_what_is_no_command__says_what_may_be_meant(command: Make) -> None:
    done = command()("help", "statsu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'status'?" in done.stderr


def test_help__each_command_stands_below_a_subject() -> None:
    parser = build_parser()
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    shown = parser.format_help().partition("\ncommands:\n  COMMAND\n")[2].partition("\nenvironment\n")[0]
    assert re.findall(r"^    ([a-z-]+)\b", shown, re.MULTILINE) == list(commands.choices)
    headings = re.findall(r"\n\n  (\S.*)\n    ", f"\n{shown}")
    assert 4 <= len(headings) <= len(commands.choices) / 4
    assert shown.startswith(f"\n  {headings[0]}\n")


def test_command_of_no_subject__is_refused() -> None:
    commands = Parser(prog="x").add_subparsers()
    commands.add_parser("one", help="one")
    with pytest.raises(ValueError, match="two"):
        by_subject(commands, {"some": ["one", "two"]})
    with pytest.raises(ValueError, match="one"):
        by_subject(commands, {"some": []})


def test_start__imports_neither_http_nor_anything_outside_the_standard_library() -> None:
    script = (
        "import sys; import services.cli.main; from services.cli.parser import build_parser;"
        "build_parser().format_help(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "argparse" in loaded
    assert not loaded & {"ssl", "socket", "http", "urllib", "asyncio", "json", "dataclasses", "msgspec"}


def test_launcher__of_the_makefile__runs_from_anywhere(tmp_path: Path) -> None:
    launcher = ROOT / ".venv" / "bin" / "orchard"
    made = subprocess.run(["make", str(launcher.relative_to(ROOT))], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    link = tmp_path / "orchard"
    link.symlink_to(launcher)
    done = subprocess.run([str(link), "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("orchard ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["esure"], "did you mean 'ensure'"),
        (["upstreams", "lst"], "did you mean 'list'"),
        (["cache", "show", "pypy"], "did you mean 'pypi'"),
        (["client-config", "yran"], "did you mean 'yarn'"),
        (["client-config", "cobol"], "there are pip, uv"),
        (["ensure", "--exprt", "x"], "did you mean --export"),
        (["ensure", "--export", "bom.json"], "did you mean bom.cdx.json"),
        (["queue", "dead", "cobol"], "extract, resolve\n"),
        (["status", "now"], "one argument too many: 'now'"),
        (["status", "--url"], "--url"),
        (["ensure", "--timeout", "soon"], "expected seconds"),
        (["blocks", "add", "pypi", "x"], "--reason"),
        (["blocks", "add", "--reason", "x"], "PROTOCOL and PACKAGE"),
        (["blocks", "add", "--sha256", "12", "--reason", "x"], "64 hexadecimal digits"),
        (["cache", "invalidate", "pypi"], "--all"),
        (["resolve", "0" * 64, "flask"], "stands alone"),
        (["ensure", "absent.ensure"], "there is no file absent.ensure"),
        (["upstreams", "add", "pypi", "x", "ftp://x"], "must start with http"),
        (["upstreams", "add", "pypi", "x", "http://me:secret@x/"], "--password-from VARIABLE"),
        (
            ["upstreams", "add", "pypi", "x", "http://x", "--password-from", "NO_SUCH"],
            "NO_SUCH holds nothing",
        ),
        (["client-config", "npm", "--dry-run"], "--dry-run goes with"),
        (["client-config", "mvn", "--project"], "Leave --project out"),
        (["--url", "127.0.0.1:8080", "status"], "expected an address such as"),
        (["--url", "http://me:secret@127.0.0.1", "status"], "ORCHARD_TOKEN"),
        (["--url", "http://127.0.0.1:80x", "status"], "not an address"),
    ],
)
def test_wrong_use__one_line_and_a_hint__exit_2(command: Make, words: list[str], said: str) -> None:
    done = command()(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "esure"],
        ["esure", "--json"],
        ["status", "--json", "now"],
        ["--json", "status", "--ulr", "x"],
    ],
)
def test_wrong_use_with_json__is_told_as_json(command: Make, words: list[str]) -> None:
    done = command()(*words)
    told = json.loads(done.stderr)["error"]
    assert done.returncode == told["exit_code"] == 2
    assert told["message"] and told["hint"]


@pytest.mark.parametrize("words", [[], ["upstreams"], ["tokens"]])
def test_no_command__help_on_standard_error__exit_2(command: Make, words: list[str]) -> None:
    done = command()(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "commands:" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["status"], ["resolve", "x"], ["upstreams", "list"], ["ensure", "-"], ["audit"], ["tokens", "list"]],
)
def test_nobody_listens__says_how_to_start_one__exit_3(command: Make, words: list[str]) -> None:
    port = free_port()
    done = command(ORCHARD_PORT=str(port))(*words)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no Orchard listens at http://127.0.0.1:{port}" in done.stderr
    assert "orchard up" in done.stderr
    named = command(ORCHARD_URL=f"http://127.0.0.1:{port}/")(*words, "--json")
    error = json.loads(named.stderr)["error"]
    assert (named.returncode, named.stdout, error["exit_code"]) == (3, "", 3)
    assert "ORCHARD_URL" in error["hint"]


@contextmanager
def _answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that answers all alike; its address and the headers of what was asked."""
    seen: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_something_else_listens__says_so(command: Make) -> None:
    with _answering(200, b"<html>welcome</html>") as (url, _):
        done = command(ORCHARD_URL=url)("status")
    assert done.returncode == 1
    assert "Is it an Orchard" in done.stderr


def test_older_server__says_that_it_does_not_offer_it__exit_7(command: Make) -> None:
    body = b'{"code":"route_not_found","detail":"nothing is served at this address","status":404}'
    with _answering(404, body) as (url, _):
        done = command(ORCHARD_URL=url)("upstreams", "list")
    assert done.returncode == 7
    assert "does not offer the administration of upstreams" in done.stderr


def test_redirect__is_not_followed_with_the_token(command: Make) -> None:
    with _answering(200, b"{}") as (other, seen), _answering(302, b"", Location=other) as (url, asked):
        done = command(ORCHARD_URL=url, ORCHARD_TOKEN="hunter2")("cache", "show", "pypi")
    assert done.returncode == 1
    assert asked and not seen
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "names"), [({}, "ORCHARD_ADMIN_TOKEN"), ({"ORCHARD_TOKEN": "x"}, "not sufficient")]
)
def test_forbidden__names_the_variable__exit_4(command: Make, given: dict[str, str], names: str) -> None:
    body = b'{"code":"forbidden","detail":"this needs the operator\'s token","status":403,"hint":"h"}'
    with _answering(403, body) as (url, _):
        done = command(ORCHARD_URL=url, **given)("tokens", "list")
    assert done.returncode == 4
    assert names in done.stderr and "ORCHARD_ADMIN_TOKEN" in done.stderr


@pytest.mark.parametrize("code", ["malware", "too_young", "policy", "trust_downgrade", "blocked"])
def test_answer__a_rule_refuses_the_package__its_own_hint_and_nothing_of_tokens(
    command: Make, code: str
) -> None:
    body = json.dumps(
        {"code": code, "detail": "left-pad is refused", "status": 403, "hint": "ask why"}
    ).encode()
    with _answering(403, body) as (url, _):
        done = command(ORCHARD_URL=url, ORCHARD_ADMIN_TOKEN="operators-token-of-tests")("disk")
    assert (done.returncode, done.stderr) == (1, "orchard: left-pad is refused\n  ask why\n")


# --- which Orchard, which token -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "environ", "base"),
    [
        ("", {}, "http://127.0.0.1:8080"),
        ("", {"ORCHARD_PORT": "9000"}, "http://127.0.0.1:9000"),
        ("", {"ORCHARD_PORT": "9000", "ORCHARD_HOST": "0.0.0.0"}, "http://127.0.0.1:9000"),
        ("", {"ORCHARD_HOST": "::"}, "http://[::1]:8080"),
        ("", {"ORCHARD_HOST": "10.1.2.3"}, "http://10.1.2.3:8080"),
        ("", {"ORCHARD_URL": "https://o.example.com/x/", "ORCHARD_PORT": "9000"}, "https://o.example.com/x"),
        ("http://a.example.com", {"ORCHARD_URL": "https://o.example.com"}, "http://a.example.com"),
    ],
)
def test_target__option_then_variable_then_this_machine(
    option: str, environ: dict[str, str], base: str, tmp_path: Path
) -> None:
    assert choose_target(option, {"ORCHARD_DATA_DIR": str(tmp_path), **environ}).base == base


@pytest.mark.parametrize(
    ("told", "environ", "base"),
    [
        ("http://127.0.0.1:18480\n", {}, "http://127.0.0.1:18480"),
        ("http://[::1]:18480\n", {}, "http://[::1]:18480"),
        ("http://127.0.0.1:18480\n", {"ORCHARD_PORT": "9000"}, "http://127.0.0.1:9000"),
        ("http://127.0.0.1:18480\n", {"ORCHARD_URL": "http://o.example.com"}, "http://o.example.com"),
        ("http://127.0.0.1:99999\n", {}, "http://127.0.0.1:8080"),
        ("ftp://127.0.0.1:18480\n", {}, "http://127.0.0.1:8080"),
        ("http://u:p@127.0.0.1:1/\n", {}, "http://127.0.0.1:8080"),
    ],
)
def test_target__the_orchard_that_runs_in_the_data_folder__is_asked_where_it_listens(
    told: str, environ: dict[str, str], base: str, tmp_path: Path
) -> None:
    (tmp_path / "address").write_text(told)
    (tmp_path / "admin-token").write_text("hunter2\n")
    target = choose_target("", {"ORCHARD_DATA_DIR": str(tmp_path), **environ})
    assert target.base == base
    assert target.proven_at == (base if "example" not in base else "")


@pytest.mark.parametrize(
    ("status", "said"), [(200, ""), (404, "may be no Orchard"), (0, "no Orchard listens")]
)
def test_client_config__nobody_answers_at_the_address_that_it_writes__is_told(
    command: Make, status: int, said: str
) -> None:
    with _answering(status or 200, b"{}") as (url, _):
        done = command(ORCHARD_URL=url if status else "http://127.0.0.1:9")("client-config", "npm", "--write")
    assert done.returncode == 0
    assert (said in done.stderr) if said else (done.stderr == "")


def test_target__token_file__is_kept_for_this_machine_only_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("hunter2\n")
    folder = {"ORCHARD_DATA_DIR": str(tmp_path)}
    local = choose_target("", folder)
    assert (local.read_token, local.admin_token, local.file_token) == ("", "", "hunter2")
    assert "hunter2" not in repr(local)
    second = choose_target("http://localhost:8081", folder)
    assert (second.file_token, second.proven_at) == ("hunter2", "http://127.0.0.1:8081")
    for other in ("http://o.example.com:8080", "http://127.0.0.1:9000", "http://127.0.0.1:8079"):
        assert choose_target(other, folder).file_token == ""
    both = choose_target("", {**folder, "ORCHARD_TOKEN": "r", "ORCHARD_ADMIN_TOKEN": "a"})
    assert (both.read_token, both.admin_token, both.file_token) == ("r", "a", "")


def test_up__environment__relative_folder_is_meant_from_here_and_the_token_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = environment({"ORCHARD_DATA_DIR": "mine", "ORCHARD_TOKEN": "x", "ORCHARD_PORT": "1", "A": "b"})
    assert found == {
        "ORCHARD_DATA_DIR": str(tmp_path / "mine"),
        "ORCHARD_PORT": "1",
        "A": "b",
        "PYTHONPATH": str(ROOT),
    }
    assert environment({"PYTHONPATH": "theirs"})["PYTHONPATH"] == f"{ROOT}{os.pathsep}theirs"
    assert environment({})["ORCHARD_DATA_DIR"] == str(ROOT / "data")


def test_up__starts_the_standalone__its_faults_are_shown(command: Make) -> None:
    done = command(ORCHARD_PROT="9000")("up")
    assert done.returncode == 2
    assert "ORCHARD_PROT: unknown setting; did you mean ORCHARD_PORT?" in done.stderr


@pytest.mark.parametrize("given", ["pkg:pypi/flask", "pypi/flask", "pkg:PyPI/flask"])
def test_protocol__a_package_url_in_its_place__told_how_both_stand(command: Make, given: str) -> None:
    done = command()("cache", "show", given)
    assert done.returncode == 2 and "stand apart here: `pypi NAME`" in done.stderr


def test_version__by_the_words_that_people_try(command: Make) -> None:
    said = {command()(words).stdout for words in ("version", "-V", "--version")}
    assert len(said) == 1 and said.pop().startswith("orchard ")


@pytest.mark.parametrize(
    ("into", "told"),
    [(">/dev/full", "cannot be written: No space left on device"), (">&-", "is closed")],
    ids=["full", "closed"],
)
@pytest.mark.parametrize("words", ["completion bash", "--json client-config pip"])
def test_output_that_nobody_can_take__one_line_and_exit_1(
    tmp_path: Path, words: str, into: str, told: str
) -> None:
    line = f"{sys.executable} -P {ROOT}/services/cli/launch.py {words} {into}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert told in done.stderr
