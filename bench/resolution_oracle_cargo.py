"""`python -m bench.resolution_oracle_cargo [ROOT …]`: real roots, locked by cargo and by our resolver.

Both read the same index files. They come once from this machine's own registry: `cargo generate-lockfile`
with the machine's configuration, one request per crate; cargo's cache of them is kept in bench/.work. Then
cargo locks again out of those files served on loopback, and our resolver out of the same bytes. Repeats ask
nobody else; `--fresh` forgets what was kept.

`--through URL` asks an Orchard that runs there instead: it resolves, and cargo locks through it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.harness.cargo_lock import Lock, by_cargo, by_orchard, by_resolver, manifest, serve

ROOTS = (
    "ripgrep", "tokio --features full", "serde --features derive", "axum", "reqwest",
    "clap --features derive", "diesel --features postgres,r2d2", "actix-web", "bevy_ecs",
    "sqlx --features postgres,runtime-tokio", "hyper --features full", "tonic", "rayon", "regex",
    "syn --features full", "tracing-subscriber", "serde_json", "anyhow", "chrono", "rand", "image", "rocket",
    "sea-orm", "cargo", "ratatui", "nalgebra", "wasm-bindgen", "openssl", "rustls", "git2", "warp", "kube",
    "prost", "criterion", "proptest", "time@0.3", "winit@0.28", "axum tower-http --features full",
    # Older ones, whose rivals and yanks bring the search back.
    "tokio@=1.20.0", "clap@2", "hyper@0.14 --features full", "rand@0.7", "actix-web@3", "bevy_ecs@0.5",
    "serde@1 tokio@1 reqwest@0.11", "sqlx@0.6 --features runtime-tokio-rustls,mysql",
    "futures@0.1 tokio@0.1", "diesel@1.4 --features postgres,r2d2", "rocket@0.4",
)  # fmt: skip
WORK = Path(__file__).resolve().parent / ".work" / "cargo-oracle"


class Compared(msgspec.Struct):
    """One root's outcome."""

    root: str
    cargo: Lock | None
    ours: Lock | None
    said: str
    steps: list[int]
    cargo_seconds: float
    seconds: float

    @property
    def agrees(self) -> bool:
        return self.cargo == self.ours


class Kept:
    """Index files kept on disk, and which roots they are complete for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = folder / "index"
        self._home = folder / "home"
        self._files.mkdir(parents=True, exist_ok=True)

    def record(self, root: str) -> str:
        """Let cargo load what it needs for a root, once. What it said if it could not."""
        done = self._folder / "roots" / root.replace("/", "_").replace(" ", "_")
        if done.exists():
            return ""
        self._home.mkdir(parents=True, exist_ok=True)
        own = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        for name in ("config.toml", "config"):
            if (own / name).exists():
                shutil.copy(own / name, self._home / name)
        locked, said = by_cargo(self._folder / "project", self._home, manifest(split(root)))
        for cached in self._home.glob("registry/index/*/.cache/**/*"):
            if cached.is_file():
                (self._files / cached.name).write_bytes(
                    b"\n".join(lines_of_cache(cached.read_bytes())) + b"\n"
                )
        if locked is not None:
            done.parent.mkdir(exist_ok=True)
            done.touch()
        return said

    def find(self, project: str) -> bytes | None:
        """The index file of a crate, if cargo has loaded it."""
        file = self._files / project
        return file.read_bytes() if file.exists() else None


def lines_of_cache(content: bytes) -> Iterator[bytes]:
    """The index lines in a file of cargo's cache: five bytes of formats, then texts that end with NUL: the
    file's version at the registry, and in turn a version of the crate and its line."""
    texts = content[5:].split(b"\0")
    return iter(texts[2:-1:2])


def split(root: str) -> list[str]:
    """The requirements of one entry of the list: options belong to the name before them."""
    found: list[str] = []
    for word in root.split(" "):
        if word.startswith("-") or (found and found[-1].endswith(" --features")):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def compare(kept: Kept, address: str, root: str) -> Compared:
    """One root, out of what is kept."""
    requirements = split(root)
    started = time.monotonic()
    theirs, said = by_cargo(WORK / "project", WORK / "replay", manifest(requirements), index_url=address)
    cargo_seconds = time.monotonic() - started
    steps: list[int] = []
    started = time.monotonic()
    ours, why = by_resolver(kept.find, requirements, steps=steps)
    seconds = time.monotonic() - started
    shown = " | ".join(each for each in (said and f"cargo: {said}", why and f"orchard: {why}") if each)
    return Compared(root, theirs, ours, shown, steps, cargo_seconds, seconds)


def compare_through(base: str, root: str) -> Compared:
    """One root, by an Orchard and by cargo through the same Orchard."""
    requirements = split(root)
    started = time.monotonic()
    ours, why = by_orchard(base, requirements)
    seconds = time.monotonic() - started
    started = time.monotonic()
    shutil.rmtree(WORK / "through", ignore_errors=True)
    theirs, said = by_cargo(
        WORK / "project", WORK / "through", manifest(requirements), index_url=f"{base}/cargo/"
    )
    shown = " | ".join(each for each in (said and f"cargo: {said}", why and f"orchard: {why}") if each)
    return Compared(root, theirs, ours, shown, [], time.monotonic() - started, seconds)


def show(one: Compared) -> None:
    """One root's line, and one for each difference."""
    steps = f"  {sum(one.steps):4} documents in {len(one.steps):2} steps" if one.steps else ""
    print(
        f"{'equal  ' if one.agrees else 'UNEQUAL'} {one.root:44} {len(one.ours or ()):4} packages"
        f"{steps}  ours {one.seconds:6.2f} s  cargo {one.cargo_seconds:5.2f} s",
        flush=True,
    )
    if one.said:
        print("          " + one.said.replace("\n", "\n          ")[:1500])
    if not one.agrees:
        print("          cargo only:  ", sorted((one.cargo or set()) - (one.ours or set()))[:20])
        print("          orchard only:", sorted((one.ours or set()) - (one.cargo or set()))[:20])


def run(roots: Sequence[str], base: str = "") -> int:
    """Exit code: 1 when a root is unequal, 2 when nothing could be loaded."""
    kept = Kept(WORK)
    compared: list[Compared] = []
    with serve(kept.find) as address:
        for root in roots or ROOTS:
            said = "" if base else kept.record(root)
            if said:
                print(f"cargo could not load {root}: {said}", file=sys.stderr)
            compared.append(compare_through(base, root) if base else compare(kept, address, root))
            show(compared[-1])
    locked = [one for one in compared if one.cargo is not None]
    equal = sum(one.agrees for one in locked)
    packages = sum(len(one.cargo or ()) for one in locked)
    print(
        f"{equal} of {len(locked)} locks are equal ({packages} packages);"
        f" without a lock: {len(compared) - len(locked)}"
    )
    if not locked:
        return 2
    return 0 if equal == len(locked) and all(one.agrees for one in compared) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.resolution_oracle_cargo", description=__doc__)
    parser.add_argument("roots", nargs="*")
    parser.add_argument("--fresh", action="store_true", help="forget the index files that were kept")
    parser.add_argument("--through", metavar="URL", default="", help="a running Orchard's address")
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(run(options.roots, options.through.rstrip("/")))
