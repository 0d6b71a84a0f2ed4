"""What small libraries cost where Orchard has something of its own, or of the standard library.

    pip install --target FOLDER cachetools cryptography
    python -m bench.libraries FOLDER

Processor time throughout, so that other work on the machine counts little.
"""

from __future__ import annotations

import os
import resource
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import certifi

from shared.http.trust import ca_context
from shared.process.bounded import Bounded
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials

LAUNCH = Path(__file__).resolve().parents[1] / "services" / "cli" / "launch.py"
URL = "https://packages.example.com/simple/"


def _cost(call: Callable[[], object], times: int) -> float:
    """CPU seconds of one call, the best of five turns."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            call()
        best = min(best, time.process_time() - began)
    return best / times


def _started_ms(*arguments: str) -> float:
    """CPU milliseconds of a Python that runs `arguments`, the median of 15."""
    took = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(took) * 1000


def _folder_mb(name: str) -> float:
    roots = [Path(each) / name for each in sys.path if (Path(each) / name).is_dir()]
    return sum(path.stat().st_size for path in roots[0].rglob("*.*") if path.suffix != ".pyc") / 1e6


def bounded_memories() -> None:
    """`Bounded` beside `cachetools.LRUCache`: a hit of each."""
    import cachetools

    own: Bounded[int, int] = Bounded(10_000)
    lru: cachetools.LRUCache[int, int] = cachetools.LRUCache(10_000)
    for number in range(10_000):
        own.put(number, number)
        lru[number] = number
    for name, call in (
        ("Bounded.get", lambda: own.get(77)),
        ("Bounded.use", lambda: own.use(77)),
        ("cachetools.LRUCache.get", lambda: lru.get(77)),
    ):
        print(f"{name:<44} {_cost(call, 100_000) * 1e6:8.2f} µs")


def sealing() -> None:
    """The box (pycryptodome) beside the same AES-256-GCM of cryptography."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key, text, bound = os.urandom(32), b"x" * 80, b"origin"
    box = SealingBox([key])
    sealed = box.seal(Credentials(token="x" * 60), URL)
    other = AESGCM(key)
    print(
        f"{'box, seal':<44} {_cost(lambda: box.seal(Credentials(token='x' * 60), URL), 2000) * 1e6:8.1f} µs"
    )
    print(f"{'box, open':<44} {_cost(lambda: box.open(sealed, URL), 2000) * 1e6:8.1f} µs")
    encrypt = _cost(lambda: other.encrypt(os.urandom(12), text, bound), 2000)
    print(f"{'cryptography, AES-GCM alone':<44} {encrypt * 1e6:8.1f} µs")
    print(f"{'pycryptodome (comes with minio)':<44} {_folder_mb('Crypto'):8.1f} MB")
    print(f"{'cryptography':<44} {_folder_mb('cryptography'):8.1f} MB")


def trust() -> None:
    """A client's context: truststore's with certifi's list, and the standard library's."""
    for name, call in (
        ("ca_context (truststore and certifi)", lambda: ca_context("", {})),
        ("ssl.create_default_context()", ssl.create_default_context),
        ("… with certifi's list", lambda: ssl.create_default_context(cafile=certifi.where())),
    ):
        print(f"{name:<44} {_cost(call, 5) * 1000:8.1f} ms")


def command() -> None:
    """The start of `orchard --help`, and what rich adds to it."""
    rich = "import rich.console, rich.table, rich.progress; "
    run = f"import runpy, sys; sys.argv[:] = ['orchard', '--help']; runpy.run_path({str(LAUNCH)!r})"
    for name, arguments in (
        ("python -c pass", ("-c", "pass")),
        ("orchard --help", ("-P", str(LAUNCH), "--help")),
        ("orchard --help with rich imported", ("-P", "-c", rich + run)),
    ):
        print(f"{name:<44} {_started_ms(*arguments):8.0f} ms")
    sizes = {name: _folder_mb(name) for name in ("rich", "pygments", "markdown_it", "mdurl")}
    print(f"{'rich and what it needs':<44} {sum(sizes.values()):8.1f} MB")


def identity_tokens() -> None:
    """One check of a CI's token (RS256) by joserfc, and what it takes on disk."""
    from services.fetcher.identity.verify import claims_of, read_head
    from shared.access.trust import IdentityAsked
    from tests.support.issuer import RSA, public, signed

    now = int(time.time())
    token = signed({"iss": "i", "aud": "a", "sub": "s", "iat": now, "exp": now + 3600})
    asked, key = IdentityAsked("i", token, ("a",)), public(RSA)["keys"][0]
    took = _cost(lambda: claims_of(asked, read_head(token), key, now), 200)
    print(f"{'joserfc, one identity token':<44} {took * 1e6:8.0f} µs")
    print(f"{'joserfc and cryptography':<44} {_folder_mb('joserfc') + _folder_mb('cryptography'):8.1f} MB")


def main() -> None:
    sys.path.append(sys.argv[1])
    for part in (bounded_memories, sealing, trust, command, identity_tokens):
        part()


if __name__ == "__main__":
    main()
