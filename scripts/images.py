"""`make images`: builds the images of all services with docker or buildah, whichever is there, prints their
sizes and writes a bill of materials of each.

The base is pinned by digest for all of them. Where no container registry is reached, buildah makes one out of
this machine's distribution (debootstrap, as root).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"
SERVICES = ("gateway", "fetcher", "extractor", "standalone")
AUTHORITIES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# docker's format keeps HEALTHCHECK; chroot needs no right but root's.
OPTIONS = {"docker": (), "buildah": ("--format", "docker", "--isolation", "chroot")}
OUR_BASE = "localhost/orchard-python"
# What the interpreter needs, what a company's authorities come with, and nothing to build with.
PACKAGES = "python3,python3-venv,ca-certificates"


class CannotBuild(Exception):
    """The message says why, in words."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all built. 1: not; one line says why."""
    options = _parse(arguments)
    try:
        engine = options.engine or engine_here()
        base = made_base(engine) if options.make_base else pinned_base(engine, options.base)
        build_all(engine, base, options.tag, options.out)
    except CannotBuild as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    return 0


def build_all(engine: str, base: str, tag: str, out: Path) -> None:
    """Build, print a line for each image, write `out`/orchard-SERVICE.cdx.json. Raises `CannotBuild`."""
    _say(f"base: {base}")
    out.mkdir(parents=True, exist_ok=True)
    revision = _output("git", "-C", str(ROOT), "rev-parse", "HEAD") or "unknown"
    with secrets() as given:
        for service in SERVICES:
            began = time.monotonic()
            name = f"orchard-{service}:{tag}"
            arguments = {"SERVICE": service, "PYTHON_IMAGE": base, "VERSION": tag, "REVISION": revision}
            _run(
                engine, "build", *OPTIONS[engine], "--file", str(DOCKERFILE), "--tag", name, *given,
                *(f"--build-arg={key}={value}" for key, value in arguments.items()), str(ROOT),
                env={"DOCKER_BUILDKIT": "1"},
            )  # fmt: skip
            bill = _file_of(engine, name, "/app/sbom.cdx.json")
            (out / f"orchard-{service}.cdx.json").write_bytes(bill)
            size, own = sizes(engine, name, base)
            took = time.monotonic() - began
            _say(f"{name}: {size / 1e6:.0f} MB, {own / 1e6:.0f} MB beside the base, {took:.0f} s")


def engine_here() -> str:
    """The first that works. Raises `CannotBuild`."""
    for engine in ("docker", "buildah"):
        probe = [engine, "info"]
        if shutil.which(engine) and subprocess.run(probe, capture_output=True).returncode == 0:
            return engine
    raise CannotBuild(
        "neither a running docker nor buildah is here (Debian: apt-get install buildah debootstrap)"
    )


def pinned_base(engine: str, base: str) -> str:
    """`base` by its digest, so that all stages of all images stand on one; where it cannot be pulled, one
    that is made. Raises `CannotBuild`."""
    if _try(engine, "pull", "--quiet", base):
        _say(f"the base {base} cannot be pulled (another one: ARGS='--base IMAGE')")
        return made_base(engine)
    if engine == "docker":
        return _output("docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", base) or base
    told = "{{.FromImage}}@{{.FromImageDigest}}"
    found = _output("buildah", "inspect", "--type", "image", "--format", told, base)
    return re.sub(r":[^:/@]+@", "@", found) or base


def made_base(engine: str) -> str:
    """A base of this machine's distribution. Raises `CannotBuild`."""
    if engine != "buildah" or not _root() or shutil.which("debootstrap") is None:
        raise CannotBuild("a base is made by buildah and debootstrap alone, as root")
    if _try("buildah", "inspect", "--type", "image", OUR_BASE):
        _say("making a base of this machine's distribution")
        _make_base()
    return OUR_BASE


def _make_base() -> None:
    site, suite = _distribution()
    container = _output("buildah", "from", "scratch")
    root = _output("buildah", "mount", container)
    try:
        _run(
            "debootstrap", "--variant=minbase", f"--include={PACKAGES}", *_known_keys(), suite, root, site,
            quiet=True,
        )  # fmt: skip
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(Path(root) / waste, ignore_errors=True)
        (Path(root) / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        _run("buildah", "commit", "--quiet", container, OUR_BASE, quiet=True)
    finally:
        _try("buildah", "rm", container)


def _distribution() -> tuple[str, str]:
    """Address and name of the release that apt of this machine is set up for. Raises `CannotBuild`."""
    told = _output(
        "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(CODENAME)", "Created-By: Packages"
    )
    for line in told.splitlines():
        site, *names = line.split()
        if names and (named := [each for each in names if not re.search(r"[-/]|^(stable|testing)$", each)]):
            return site, named[-1]
    raise CannotBuild("apt of this machine knows no distribution to make a base of")


def _known_keys() -> list[str]:
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    return [f"--keyring={keys}"] if keys.exists() else []


@contextmanager
def secrets() -> Iterator[list[str]]:
    """Options that lend a build what this machine's pip is set up with, and whom it believes."""
    with tempfile.TemporaryDirectory() as folder:
        given = []
        settings = pip_settings(_output(sys.executable, "-m", "pip", "config", "list"), os.environ)
        authorities = next(
            (os.environ[each] for each in AUTHORITIES if os.environ.get(each)), settings.pop("cert", "")
        )
        if authorities and Path(authorities).is_file():
            settings["cert"] = "/etc/authorities.pem"
            given.append(f"--secret=id=authorities,src={authorities}")
        file = Path(folder) / "pip.conf"
        file.write_text(
            "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])
        )
        yield [*given, f"--secret=id=pip,src={file}"]


def pip_settings(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Where pip looks for packages, out of `pip config list` and its variables, which count for more."""
    found = {}
    for name in ("index-url", "extra-index-url", "trusted-host", "timeout", "cert"):
        for section in ("global", "install"):
            match = re.search(rf"^{section}\.{name}='(.*)'$", listed, re.MULTILINE)
            found |= {name: match[1]} if match else {}
        variable = environ.get(
            "PIP_DEFAULT_TIMEOUT" if name == "timeout" else f"PIP_{name.upper().replace('-', '_')}"
        )
        found |= {name: variable} if variable else {}
    return found


def sizes(engine: str, name: str, base: str) -> tuple[int, int]:
    """Bytes of the image unpacked, and of what it adds to its base."""
    if engine == "docker":
        size, below = (
            int(_output("docker", "image", "inspect", "--format", "{{.Size}}", each)) for each in (name, base)
        )
        return size, size - below
    size, below = (_unpacked(each) for each in (name, base))
    return size, size - below


def _unpacked(image: str) -> int:
    with mounted(image) as root:
        return int(_output("du", "--summarize", "--bytes", "--one-file-system", str(root)).split()[0])


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The root of a buildah image."""
    container = _output("buildah", "from", "--pull-never", image)
    try:
        yield Path(_output("buildah", "mount", container))
    finally:
        _try("buildah", "rm", container)


def _file_of(engine: str, image: str, path: str) -> bytes:
    if engine == "buildah":
        with mounted(image) as root:
            return (root / path.lstrip("/")).read_bytes()
    done = subprocess.run([engine, "run", "--rm", image, "cat", path], capture_output=True, check=True)
    return done.stdout


def _root() -> bool:
    return os.geteuid() == 0


def _run(*command: str, env: Mapping[str, str] | None = None, quiet: bool = False) -> None:
    """Raises `CannotBuild` with the end of what it said."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise CannotBuild(f"{' '.join(command[:2])} ended with {done.returncode}:\n{done.stdout[-4000:]}")


def _try(*command: str) -> int:
    return subprocess.run(command, capture_output=True).returncode


def _output(*command: str) -> str:
    """What it says, "" if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    version = re.search(r'VERSION = "(.+)"', (ROOT / "shared" / "version.py").read_text())
    base = re.search(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert version is not None and base is not None
    parser = argparse.ArgumentParser(prog="make images", description=__doc__)
    parser.add_argument("--engine", choices=("docker", "buildah"), default="", help="which one builds")
    parser.add_argument("--base", default=base[1], help=f"the base image ({base[1]})")
    parser.add_argument("--make-base", action="store_true", help="make the base instead (buildah, as root)")
    parser.add_argument("--tag", default=version[1], help="the tag of all images (the version)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist" / "images", help="where bills of materials go"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
