"""What provenance costs: a process that verifies the attestations of 1 file and of 32, or the signature of a
small file and of a large one; the rule over a list.

python -m bench.provenance
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from services.fetcher.provenance import openpgp, verify
from services.fetcher.provenance.checking import MOST_AT_ONCE
from services.fetcher.provenance.items import Item, SignedFile
from services.fetcher.provenance.verify import Order
from shared.policy.age import Dated
from shared.policy.evidence import Attested, Evidence, Publisher
from shared.policy.trust import TrustRule, judge
from shared.policy.verdict import Subject
from tests.support.openpgp import Signer
from tests.support.sigstore import Sigstore

TURNS = 5
VERSIONS = 2000
LARGE_BYTES = 200_000_000


def _items(sigstore: Sigstore, count: int) -> tuple[Item, ...]:
    found = []
    for number in range(count):
        name, digest = f"demo-1.{number}-py3-none-any.whl", f"{number:064x}"
        document = json.dumps(sigstore.attest(name, {"sha256": digest}, "us/lib").pep740()).encode()
        found.append(Item("pypi", Attested(name, "sha256"), digest, document))
    return tuple(found)


def _child(module: str, order: Order | SignedFile) -> tuple[float, float, float, list[Evidence]]:
    """Seconds by the clock and of CPU, MiB of memory at most, and what it says."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(msgspec.msgpack.encode(order))
    child.stdin.close()
    output = child.stdout.read()
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    if isinstance(order, Order):
        answers = msgspec.msgpack.decode(output, type=list[Evidence])
    else:
        answers = [msgspec.msgpack.decode(output, type=Evidence)]
    took = time.perf_counter() - began
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, answers


def verifying() -> None:
    """The child, as a fetcher starts it."""
    sigstore = Sigstore()
    with tempfile.TemporaryDirectory() as folder:
        root = str(sigstore.write_root(Path(folder) / "trusted_root.json"))
        for count in (1, MOST_AT_ONCE):
            order = Order(root, _items(sigstore, count))
            _measure(f"attestations of {count} files", verify.__name__, order)


def _measure(what: str, module: str, order: Order | SignedFile) -> None:
    turns = [_child(module, order) for _ in range(TURNS)]
    assert all(each.status == "verified" for *_, answers in turns for each in answers)
    clock, cpu, memory = (statistics.median(turn[place] for turn in turns) for place in range(3))
    print(f"verified {what}: {clock:.2f} s, {cpu:.2f} s of CPU, {memory:.0f} MiB")


def verifying_signatures() -> None:
    """The same of signatures beside files."""
    signer = Signer("us")
    with tempfile.TemporaryDirectory() as folder:
        keys = (str(signer.write(Path(folder) / "keys")),)
        for size_bytes in (10_000, LARGE_BYTES):
            path = Path(folder) / "file.jar"
            path.write_bytes(bytes(size_bytes))
            signature = signer.sign(path.read_bytes())
            order = SignedFile(signature, (signer.fingerprint,), keys, 60, path=str(path))
            _measure(f"a signature of {size_bytes / 1e6:g} MB", openpgp.__name__, order)


def judging() -> None:
    """The rule over a list, all of whose files are verified."""
    evidence = {str(n): Evidence("verified", Publisher("GitHub", "us/lib", "a.yml")) for n in range(VERSIONS)}
    listed = [
        (Dated(f"1.{n}", f"1.{n}", provenance="x", digest=str(n)), Subject("", "", "", published=1.0 + n))
        for n in range(VERSIONS)
    ]
    took = []
    for _ in range(TURNS):
        began = time.process_time()
        assert not judge(TrustRule(refuses=True), listed, evidence, lambda of: None, 1e9)
        took.append(time.process_time() - began)
    print(f"judged {VERSIONS} versions: {min(took) * 1000:.1f} ms of CPU")


if __name__ == "__main__":
    verifying()
    verifying_signatures()
    judging()
