"""One folder and one line make a protocol: a toy one, added to a copy of the tree, works end to end."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.protocols import PROTOCOLS
from tests.firewall.feeds import Folder, osv, span
from tests.support.gateway import raw_request
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Reply, Upstream

TOY = Path(__file__).parent / "toy_protocol"
HOST = "orchard.example.org"
TOKEN = "a-toy-collectors-token"

pytestmark = pytest.mark.slow


def _tree_with_the_toy(folder: Path) -> Path:
    """A copy of the services with the toy's folder, its line, and the table that is generated of the two."""
    tree = folder / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("shared", "services", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    shutil.copytree(TOY, tree / "shared" / "protocols" / "toy", ignore=ignore)
    listing = tree / "shared" / "protocols" / "__init__.py"
    text = listing.read_text()
    last = "from shared.protocols.pypi import PyPIProxy\n"
    added = text.replace(last, last + "from shared.protocols.toy import ToyProxy\n").replace(
        "(PyPIProxy(),", "(ToyProxy(), PyPIProxy(),"
    )
    assert added.count("ToyProxy") == 2
    listing.write_text(added)
    (tree / "services" / "cli" / "table.py").write_text(run_in(tree, "-m", "scripts.cli_table"))
    return tree


def run_in(tree: Path, *arguments: str, **environ: str) -> str:
    """What Python prints that runs in the tree, with no variables but these."""
    env = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Toys:
    """A running Orchard that speaks the toy protocol, and the toys of its upstream."""

    def __init__(self, running: Cluster, upstream: Upstream, feed: Folder) -> None:
        self.running, self.upstream, self.feed = running, upstream, feed
        self.closed = running.start(
            "gateway", ORCHARD_ANONYMOUS_READ="false", ORCHARD_ADMIN_TOKEN=TOKEN, ORCHARD_WRONG_TOKENS="0"
        )

    def put(self, name: str, content: bytes, *, modified: str = "", **headers: str) -> str:
        """A toy with one file; the path of that below the mount point."""
        digest = hashlib.sha256(content).hexdigest()
        index = Reply(f"{name}-1.0.bin {digest}\n".encode(), "text/plain", last_modified=modified)
        self.upstream.put(f"/shop/{name}/index", index)
        self.upstream.put(
            f"/shop/{name}/{name}-1.0.bin", Reply(content, headers=headers, last_modified=modified)
        )
        return f"/toys/{name}/{digest}/{name}-1.0.bin"

    def tell_of_files(self, folder: str) -> None:
        """What the shop says of itself: where its files lie."""
        self.upstream.put("/shop/about", f"files {self.upstream.url}{folder}".encode(), "text/plain")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.running.get(path, **options)

    def kept(self, path: str, authorization: str = f"Bearer {TOKEN}") -> httpx.Response:
        """Of the gateway that asks for a token."""
        url = f"{self.closed.base}{path}"
        return httpx.get(url, headers={"authorization": authorization}, trust_env=False, timeout=30)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.running.url(path), timeout=30, trust_env=False, **options)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    folder = tmp_path_factory.mktemp("toys")
    tree = _tree_with_the_toy(folder)
    feed = Folder(folder / "osv")
    settings = {"ORCHARD_CACHE_TTL_INDEX": "1", "ORCHARD_ALLOWED_HOSTS": HOST}
    settings["ORCHARD_OSV_FEEDS"] = str(feed.path)
    with Upstream() as upstream:
        settings["ORCHARD_TOY_UPSTREAM"] = f"{upstream.url}/shop/"
        with cluster(folder, upstream, tree=tree, **settings) as running:
            made = Toys(running, upstream, feed)
            made.tell_of_files("/shop")
            made.put("first", b"the first toy")
            wait_until(lambda: made.get("/toys/first/index").status_code == 200, what="the toy's index")
            wait_until(
                lambda: made.kept("/toys/first/index").status_code == 200, what="the same behind a token"
            )
            yield made


def test_index_file_hit_stale_and_404(toys: Toys) -> None:
    content = b"toy bytes " * 1000
    path = toys.put("robot", content)
    listed = toys.get("/toys/robot/index").text
    assert listed == path.removeprefix("/toys/robot/")
    first, second = (toys.get(path) for _ in range(2))
    assert first.content == second.content == content
    assert second.headers["x-cache"] == "HIT"
    assert toys.upstream.count("/shop/robot/robot-1.0.bin", "GET") == 1
    assert toys.get("/toys/robot/index", headers={"X": "y"}).headers["etag"]
    assert toys.get("/toys/nothing/index").status_code == 404
    assert toys.get("/toys/../etc/passwd").status_code in (400, 404)
    toys.upstream.fault("/shop/robot/index", Fault(status=503))
    wait_until(lambda: toys.get("/toys/robot/index").headers["x-cache"] == "STALE", what="a stale index")


def test_mount__another_than_the_name__is_where_it_answers_and_what_is_told(toys: Toys) -> None:
    path = toys.put("mounted", b"mounted")
    assert toys.get(path).content == b"mounted"
    assert toys.get(path.replace("/toys/", "/toy/")).status_code == 404
    listed = toys.get("/api/v1/artifacts/" + hashlib.sha256(b"mounted").hexdigest()).json()
    assert path in str(listed)
    page = toys.get("/toys/mounted/address", headers={"host": HOST})
    assert page.text == f"http://{HOST}/toys"


def test_malware__is_refused_by_every_way_and_is_on_no_page(toys: Toys) -> None:
    path = toys.put("bad", b"bad" * 2000)
    assert toys.get(path).status_code == 200
    told = osv("MAL-1-1", "Toys", "bad", ranges=[span(last="1.0")])
    toys.feed.put(told)
    wait_until(lambda: toys.get(path).status_code == 403, what="the refusal")
    assert "malware: " in toys.get(path).text
    assert toys.get(path, headers={"range": "bytes=0-9"}).status_code == 403
    assert raw_request(toys.running.gateway.port, path, "HEAD").status == 403
    wait_until(lambda: toys.get("/toys/bad/index").text == "", what="a page without it")
    assert toys.get("/toys/first/index").text


def test_token_without_a_scheme__opens_as_bearer_does__and_stands_in_no_log(toys: Toys) -> None:
    toys.put("kept", b"kept")
    at = toys.kept
    for given in (TOKEN, f"Bearer {TOKEN}"):
        assert at("/toys/kept/index", given).status_code == 200, given
    assert at("/toys/kept/index", "wrong-secret").status_code == 401
    assert at("/pypi/simple/kept/", TOKEN).status_code == 401  # pip sends no such thing
    assert at("/api/v1/queues", TOKEN).status_code == 401
    assert TOKEN not in toys.running.logs() and "wrong-secret" not in toys.running.logs()


def test_401__challenges_as_the_protocol_says_by_the_address_asked_by(toys: Toys) -> None:
    answer = raw_request(toys.closed.port, "/toys/kept/index", headers={"host": HOST})
    assert (answer.status, answer.headers["www-authenticate"]) == (
        401,
        f'Toy login_url="http://{HOST}/toys/login"',
    )
    assert raw_request(toys.closed.port, "/npm/left-pad").headers["www-authenticate"].startswith("Basic ")


def test_error__in_the_protocol_s_own_form_from_every_place_that_answers(toys: Toys) -> None:
    at_the_door = raw_request(toys.closed.port, "/toys/kept/index", headers={"host": HOST})
    in_the_grammar = raw_request(toys.running.gateway.port, "/toys/no/such/thing")
    in_the_reply = raw_request(toys.running.gateway.port, "/toys/nowhere/index")
    for answer, told in (
        (at_the_door, b"401 unauthorized: "),
        (in_the_grammar, b"404 route_not_found: "),
        (in_the_reply, b"404 project_not_found: "),
    ):
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.startswith(told), answer.body
        assert int(answer.headers["content-length"]) == len(answer.body)
    head = raw_request(toys.running.gateway.port, "/toys/nowhere/index", "HEAD")
    assert (head.status, head.body) == (404, b"")
    assert toys.get("/pypi/simple/nowhere/").headers["content-type"] == "application/problem+json"


def test_source_document__says_where_files_lie_and_is_asked_for_once_a_lifetime(toys: Toys) -> None:
    def asked_again() -> bool:
        toys.get("/toys/first/index")
        return toys.upstream.count("/shop/about") > before

    path = toys.put("moved", b"in the warehouse")
    toys.upstream.put("/warehouse/moved/moved-1.0.bin", toys.upstream.reply("/shop/moved/moved-1.0.bin"))
    toys.upstream.remove("/shop/moved/moved-1.0.bin")
    toys.tell_of_files("/warehouse")
    before = toys.upstream.count("/shop/about")
    wait_until(asked_again, what="the next look at what the shop says")
    assert toys.get(path).content == b"in the warehouse"
    toys.tell_of_files("/shop")
    before = toys.upstream.count("/shop/about")
    wait_until(asked_again, what="the old place")


def test_lifetime__of_a_page_and_of_its_absence_is_what_the_protocol_says(toys: Toys) -> None:
    def seconds(path: str) -> int:
        return int(toys.get(path).headers["cache-control"].removeprefix("max-age="))

    assert 500 <= seconds("/toys/steady/index") <= 600  # a 404
    toys.put("usual", b"usual")
    assert seconds("/toys/usual/index") <= 1
    toys.running.client(toys.running.cache).flushall()
    toys.put("steady", b"steady")
    assert 3200 <= seconds("/toys/steady/index") <= 4000


def test_check__no__nothing_is_stored_and_no_reader_gets_the_whole(toys: Toys) -> None:
    for name, size in (("rotten", 100), ("rottenbig", 3_000_000)):
        path = toys.put(name, b"x" * size + b"ROT!")
        file = f"/shop/{name}/{name}-1.0.bin"
        if size > 1000:
            toys.upstream.fault(file, Fault(bytes_per_second=3_000_000))
        for times in (1, 2):
            answer = raw_request(toys.running.gateway.port, path)
            assert answer.status != 200 or not answer.complete
            assert b"ROT!" not in answer.body
            assert toys.upstream.count(file, "GET") == times  # nothing of it was kept
        if size < 1000:
            assert b"is rotten" in answer.body
    assert "file_refused" in toys.running.logs()


def test_kept_header__goes_out_with_every_answer_with_the_file(toys: Toys) -> None:
    date = "Wed, 01 May 2024 10:00:00 GMT"
    told = {"X-Toy-Colour": "red", "X-Toy-Size": "x" * 5000, "X-Other": "no", "Set-Cookie": "a=b"}
    port, small = toys.running.gateway.port, 20_000
    seen = set()

    def ask(path: str, method: str = "GET", **headers: str) -> None:
        answer = raw_request(
            port, path, method, {name.replace("_", "-"): text for name, text in headers.items()}
        )
        assert answer.status in (200, 206, 304), answer
        assert answer.headers["x-toy-colour"] == "red", (path, method, headers, answer)
        assert answer.headers["last-modified"] == date
        assert not {"x-toy-size", "x-other", "set-cookie"} & answer.headers.keys()
        seen.add((answer.status, answer.headers["x-cache"]))

    for name, size in (("red", small), ("redbig", 3_000_000)):
        path = toys.put(name, b"r" * size, modified=date, **told)
        ask(path, "HEAD")  # nothing is stored
        if size > small:
            toys.upstream.fault(f"/shop/{name}/{name}-1.0.bin", Fault(bytes_per_second=3_000_000))
        for _ in range(3):
            ask(path)
        ask(path, "HEAD")
        ask(path, range="bytes=0-9")
        ask(path, if_modified_since=date)
        toys.running.client(toys.running.cache).flushall()
        ask(path)  # from its row
    assert {(200, "LIVE"), (200, "HIT"), (206, "HIT"), (304, "HIT")} <= seen


def test_people__find_the_toy_on_the_home_page_and_in_the_banner(toys: Toys, tmp_path: Path) -> None:
    line = f"export TOY_SHOP=http://{HOST}/toys/"
    assert line in toys.get("/", headers={"host": HOST}).text
    code = (
        "from pathlib import Path\nfrom services.standalone.banner import banner\n"
        f"from shared.settings import Settings\nsettings = Settings(public_url=('http://{HOST}',))\n"
        "print(banner(settings, (), Path('/d'), Path('/l'), '/t'))"
    )
    assert line in run_in(toys.running.tree, "-c", code)


def test_default_upstream__is_what_the_toy_s_own_client_is_told_else_its_public_shop(toys: Toys) -> None:
    code = (
        "import os\nfrom services.standalone.upstreams import choose_upstreams\n"
        "from shared.protocols import spoken\nfrom shared.settings import load_settings\n"
        "shown, variables = choose_upstreams(load_settings(protocols=spoken()), os.environ)\n"
        "print(next(each for each in shown if each.protocol == 'toy'), variables.get('ORCHARD_TOY_UPSTREAM'))"
    )
    tree = toys.running.tree
    assert "https://toys.example.com/" in run_in(tree, "-c", code)
    told = run_in(tree, "-c", code, TOY_SHOP="https://shop.example.com/")
    assert "origin='TOY_SHOP'" in told and told.split()[-1] == "https://shop.example.com/"
    given = run_in(tree, "-c", code, ORCHARD_TOY_UPSTREAM="https://set.example.com/")
    assert "origin='ORCHARD_TOY_UPSTREAM'" in given and "https://set.example.com/" in given


def test_command__sets_the_toy_s_client_up_and_knows_its_names(toys: Toys, tmp_path: Path) -> None:
    tree = toys.running.tree
    launch = ["-P", str(tree / "services" / "cli" / "launch.py"), "client-config", "toybox", "--write"]
    environ = {"HOME": str(tmp_path), "ORCHARD_URL": f"http://{HOST}"}
    run_in(tree, *launch, **environ)
    assert (tmp_path / ".config" / "toybox.toml").read_text() == f'[toys]\nshop = "http://{HOST}/toys/"\n'
    shown = run_in(tree, *launch[:2], "cache", "warm", "--help", **environ)
    others = [protocol.name for protocol in PROTOCOLS]
    assert f"toy, {', '.join(others[:-1])} or {others[-1]}" in " ".join(shown.split())


def test_ensure__of_the_toy_s_table__is_locked_and_exported(toys: Toys) -> None:
    path = toys.put("locked", b"locked")
    asked = {"toy": {"toys": ["locked"]}}

    def lock() -> httpx.Response:
        return toys.post("/api/v1/ensure", json=asked)

    wait_until(lambda: lock().status_code == 200, what="the lock")
    found = lock().json()
    assert found["ensure"]["toy"]["toys"] == ["locked"]
    exported = toys.get(f"/api/v1/ensures/{found['key']}/exports/toys.txt", headers={"host": HOST})
    digest = hashlib.sha256(b"locked").hexdigest()
    assert exported.text == f"{digest} http://{HOST}{path}\n"
    wrong = toys.post("/api/v1/ensure", json={"toy": {"toy": ["locked"]}})
    assert wrong.status_code == 422 and "did you mean 'toys'?" in wrong.text


def test_metrics__count_the_toy_by_its_name(toys: Toys) -> None:
    toys.put("counted", b"counted")
    toys.get("/toys/counted/index")
    text = toys.get("/metrics").text
    assert 'orchard_http_requests_total{protocol="toy"' in text


def test_hint__names_the_toy_s_variable_and_a_misspelt_one_is_refused(toys: Toys) -> None:
    toys.put("loop", b"loop")
    toys.get("/toys/loop/index")
    via = toys.upstream.seen("/shop/loop/index")[0].headers["via"]
    looped = raw_request(toys.running.gateway.port, "/toys/loop/index", headers={"via": via})
    assert looped.status == 508
    assert b"ORCHARD_TOY_UPSTREAM" in looped.body
    code = (
        "from shared.errors import ConfigurationError\nfrom shared.protocols import spoken\n"
        "from shared.settings import load_settings\n"
        "try: load_settings(protocols=spoken())\nexcept ConfigurationError as error: print(error.message)"
    )
    told = run_in(toys.running.tree, "-c", code, ORCHARD_TOI_UPSTREAM="https://toys.example.com/")
    assert "did you mean ORCHARD_TOY_UPSTREAM?" in told
