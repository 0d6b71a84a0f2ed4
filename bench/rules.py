"""What rules cost a hit: an Orchard with every kind of rule in force beside one without any, in turn.

    python -m bench.rules       # a part of `make bench`

A page from memory, a small file from memory, and one by its path. Rules: a minimum age, a feed of
advisories, and a policy file with each kind of rule.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.harness import corpus, load, peers, processes
from bench.harness.orchard import Orchard, orchard
from bench.harness.table import Figure, print_figures

REPEATS = 9
SECONDS = 2.0
LEAST = 0.97  # of the rate without rules
SIZES = (20_000, 300_000)
PAGE = {"Accept": "application/vnd.pypi.simple.v1+json"}
TOKEN = "token-of-the-bench-and-nothing-else"
ADVISORIES = 1_000

POLICY = """
[[rule]]
name = "age of ours"
minimum_age = "14d"
[[rule]]
name = "nothing of these"
refuse = true
names = ["evil-*", "@evil/*"]
[[rule]]
name = "licences"
licences = {deny = ["AGPL-3.0-only"]}
[[rule]]
name = "scripts"
install_scripts = "new"
[[rule]]
name = "typos"
typo_of = ["requests", "django", "lodash"]
[[rule]]
name = "provenance"
trust = "no-downgrade"
[[rule]]
name = "condition"
when = "size_times > 100.0 && new_scripts"
"""


def run(work: Path, root: Path) -> list[Figure]:
    """Rates and CPU of the same hits with and without rules."""
    for size in SIZES:
        corpus.add_wheel(root, f"size{size}", size)
    feed = _feed(work / "feed")
    with peers.upstream(work / "upstream", root) as upstream, ExitStack() as stack:
        address = f"{upstream.base}/simple/#ages=off"  # its files tell no dates
        rules = {"minimum_age": "7d", "osv_feeds": feed, "admin_token": TOKEN}
        ours = {
            name: stack.enter_context(orchard(work / name, upstream=address, **settings))
            for name, settings in (("with", rules), ("without", {}))
        }
        _apply(ours["with"])
        runs: dict[str, Callable[[], load.Measurement]] = {}
        costs: dict[str, list[float]] = {}
        for name, one in ours.items():
            for what, url in _hits(one).items():
                each = costs[f"{what} {name}"] = []
                headers = PAGE if what == "page" else {}
                runs[f"{what} {name}"] = partial(_measure, url, headers, one.pids("gateway"), each)
        found = load.interleaved(runs, repeats=REPEATS)
    figures = []
    for what in ("page", *(f"{size:,} B" for size in SIZES)):
        rates = {name: found[f"{what} {name}"].requests_per_second for name in ours}
        least = {name: min(costs[f"{what} {name}"]) for name in ours}  # what other load disturbs least
        ratio = rates["with"] / rates["without"]
        words = f"{rates['with']:,.0f}/s with, {rates['without']:,.0f}/s without;"
        words += f" CPU {least['with']:.1f} µs and {least['without']:.1f} µs, the least of {REPEATS} runs"
        figures.append(
            Figure(f"hit of {what}, all rules on", f"{ratio:.3f} ×", f"≥ {LEAST:g} ×", ratio >= LEAST, words)
        )
    errors = sum(each.errors for each in found.values())
    figures.append(Figure("errors of hits with rules", str(errors), "0", errors == 0))
    print_figures("Rules: what they cost a hit", figures)
    return figures


def _hits(one: Orchard) -> dict[str, str]:
    found = {"page": one.url("/pypi/simple/small/")}
    for size in SIZES:
        page = one.url(f"/pypi/simple/size{size}/")
        with urllib.request.urlopen(urllib.request.Request(page, headers=PAGE)) as answer:
            file = str(json.loads(answer.read())["files"][0]["url"])
        found[f"{size:,} B"] = urllib.parse.urljoin(page, file)
    for what, url in found.items():
        for _ in range(4):
            headers = PAGE if what == "page" else {}
            urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()
    return found


def _apply(one: Orchard) -> None:
    """Puts the file in force, and waits until it is."""
    body = json.dumps({"policy": POLICY, "yes": True}).encode()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    address = one.url("/api/v1/admin/policy")
    urllib.request.urlopen(urllib.request.Request(address, data=body, headers=headers)).read()
    refused = one.url("/pypi/simple/evil-one/")
    for _ in range(100):
        try:
            urllib.request.urlopen(refused).read()
        except urllib.error.HTTPError as error:
            if error.code == 403:
                return
        time.sleep(0.1)
    raise RuntimeError("the policy file is not in force")


def _feed(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(ADVISORIES):
        package = {"ecosystem": "PyPI", "name": f"evil-{number}"}
        affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]
        advisory = {"schema_version": "1.7.0", "id": f"MAL-0000-{number}", "affected": affected}
        (folder / f"MAL-0000-{number}.json").write_text(json.dumps(advisory))
    return folder


def _measure(url: str, headers: dict[str, str], pids: list[int], costs: list[float]) -> load.Measurement:
    before = processes.cpu_seconds(pids)
    found = load.wrk(url, connections=32, seconds=SECONDS, headers=headers)
    costs.append((processes.cpu_seconds(pids) - before) / max(1.0, found.requests_per_second * SECONDS) * 1e6)
    return found


def main() -> int:
    """Run it by itself; exit 1 when a bar is missed."""
    base = Path(__file__).resolve().parent / ".work"
    root, work = base / "corpus", base / "run" / "rules"
    corpus.build(root)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return 0 if all(figure.met for figure in run(work, root)) else 1


if __name__ == "__main__":
    sys.exit(main())
