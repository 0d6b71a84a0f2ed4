"""The clients: what each is told so that it asks one place, through one proxy or none, with empty caches."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".cache" / "clients"
MOST_SECONDS = 300.0
_POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>bench</groupId><artifactId>wan</artifactId><version>1</version>
<dependencies>{dependencies}</dependencies></project>
"""
_SETTINGS = """<settings>
<mirrors><mirror><id>place</id><mirrorOf>*</mirrorOf><url>{index}</url></mirror></mirrors>
<proxies>{proxy}</proxies></settings>
"""


class Place(msgspec.Struct, frozen=True):
    """Where a client asks: a registry's address, and how it gets there."""

    index: str
    proxy: str = ""  # http://host:port
    authority: str = ""  # PEM of who signed its certificate, where no public authority did
    truststore: str = ""  # the same as Java wants it (PKCS #12, password "changeit")


class Command(msgspec.Struct, frozen=True):
    """What is run, in an empty folder; nothing outside of it is written."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = {}


Make = Callable[[Any, Place, Path], Command]


class Client(msgspec.Struct, frozen=True):
    """One client doing one thing."""

    name: str
    protocol: str
    make: Make
    needs: str  # a program

    @property
    def there(self) -> bool:
        return shutil.which(self.needs) is not None


def run(client: Client, packages: Any, place: Place, work: Path) -> float:
    """Seconds of one run in an empty folder. Raises `RuntimeError` with what the client said."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    command = client.make(packages, place, work)
    started = time.perf_counter()
    with (work / "said").open("wb") as said:
        process = subprocess.Popen(
            command.arguments,
            cwd=work,
            env=environment(place, work) | dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(MOST_SECONDS)
            ended = f"ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            ended = f"did not end within {MOST_SECONDS:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it started, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.perf_counter() - started
    if ended:
        text = (work / "said").read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{client.name} {ended}:\n{text}")
    return seconds


def environment(place: Place, work: Path) -> dict[str, str]:
    """This process's, without any client's own settings (but for the authorities that they trust)."""
    kept = ("PIP_CERT", "NPM_CONFIG_CAFILE", "npm_config_cafile")
    theirs = ("pip_", "uv_", "npm_config_", "maven_", "orchard_")
    env = {
        name: value
        for name, value in os.environ.items()
        if name in kept or not (name.lower().startswith(theirs) or name.lower().endswith("_proxy"))
    }
    env |= {"PIP_CONFIG_FILE": os.devnull, "npm_config_userconfig": os.devnull, "HOME": str(work)}
    env |= {"XDG_CACHE_HOME": str(work / "cache"), "XDG_DATA_HOME": str(work / "data"), "CI": "true"}
    if place.proxy:
        for name in ("http_proxy", "https_proxy"):
            env[name] = env[name.upper()] = place.proxy
    if place.authority:
        env.pop("NPM_CONFIG_CAFILE", None)
        for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "npm_config_cafile"):
            env[name] = place.authority
    return env


def _uv_compile(roots: Sequence[str], place: Place, work: Path) -> Command:
    (work / "roots").write_text("\n".join(roots))
    return Command([*_uv(place, work, "compile"), str(work / "roots"), "-o", str(work / "lock")])


def _uv_install(roots: Sequence[str], place: Place, work: Path) -> Command:
    return Command([*_uv(place, work, "install"), "--target", str(work / "target"), *roots])


def _uv(place: Place, work: Path, verb: str) -> list[str]:
    return [
        *(_program("uv/bin/uv", "uv"), "pip", verb, "--quiet", "--no-config"),
        *("--only-binary", ":all:", "--python", sys.executable),
        *("--cache-dir", str(work / "cache"), "--default-index", place.index),
    ]


def _pip_resolve(roots: Sequence[str], place: Place, work: Path) -> Command:
    return Command([*_pip(place), "install", "--dry-run", "--ignore-installed", *_pip_words(place), *roots])


def _pip_download(roots: Sequence[str], place: Place, work: Path) -> Command:
    return Command([*_pip(place), "download", "--dest", str(work / "files"), *_pip_words(place), *roots])


def _pip(place: Place) -> list[str]:
    return [_program("pip-newest/bin/python", sys.executable), "-m", "pip"]


def _pip_words(place: Place) -> list[str]:
    return [
        *("--quiet", "--no-cache-dir", "--no-input", "--disable-pip-version-check"),
        *("--only-binary", ":all:", "--index-url", place.index),
    ]


def _npm(packages: Mapping[str, str], place: Place, work: Path) -> Command:
    _package(packages, work)
    words = ["install", "--cache", str(work / "cache"), "--registry", place.index, "--silent"]
    words += ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    return Command([_program("npm-11/node_modules/.bin/npm", "npm"), *words, *_node_proxy(place)])


def _pnpm(packages: Mapping[str, str], place: Place, work: Path) -> Command:
    _package(packages, work)
    words = ["install", "--store-dir", str(work / "store"), "--registry", place.index]
    words += ["--ignore-scripts", "--reporter", "silent", "--no-frozen-lockfile"]
    program = _program("pnpm-10/node_modules/.bin/pnpm", "pnpm")
    proxy = {"npm_config_https_proxy": place.proxy, "npm_config_proxy": place.proxy} if place.proxy else {}
    return Command([program, *words], {"npm_config_cache_dir": str(work / "cache"), **proxy})


def _package(packages: Mapping[str, str], work: Path) -> None:
    about = {"name": "wan", "version": "1.0.0", "private": True, "dependencies": packages}
    (work / "package.json").write_bytes(msgspec.json.encode(about))


def _node_proxy(place: Place) -> list[str]:
    return ["--https-proxy", place.proxy, "--proxy", place.proxy] if place.proxy else []


def _mvn(coordinates: Sequence[str], place: Place, work: Path) -> Command:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in (each.split(":") for each in coordinates)
    )
    (work / "pom.xml").write_text(_POM.format(dependencies=dependencies))
    host, _, port = place.proxy.removeprefix("http://").partition(":")
    proxy = f"<proxy><id>link</id><protocol>http</protocol><host>{host}</host><port>{port}</port></proxy>"
    (work / "settings.xml").write_text(
        _SETTINGS.format(index=place.index, proxy=proxy if place.proxy else "")
    )
    words = ["-B", "-q", "-s", str(work / "settings.xml"), f"-Dmaven.repo.local={work / 'cache'}"]
    java = ""
    if place.truststore:
        store = "-Djavax.net.ssl.trustStore"
        java = f"{store}={place.truststore} {store}Password=changeit {store}Type=PKCS12"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:resolve"
    return Command([_program("mvn-3.9/bin/mvn", "mvn"), *words, goal], {"MAVEN_OPTS": java})


def _program(ours: str, otherwise: str) -> str:
    return str(TOOLS / ours) if (TOOLS / ours).exists() else otherwise


CLIENTS = (
    Client("uv-compile", "pypi", _uv_compile, _program("uv/bin/uv", "uv")),
    Client("uv-install", "pypi", _uv_install, _program("uv/bin/uv", "uv")),
    Client("pip-resolve", "pypi", _pip_resolve, sys.executable),
    Client("pip-download", "pypi", _pip_download, sys.executable),
    Client("npm", "npm", _npm, _program("npm-11/node_modules/.bin/npm", "npm")),
    Client("pnpm", "npm", _pnpm, _program("pnpm-10/node_modules/.bin/pnpm", "pnpm")),
    Client("mvn", "maven", _mvn, _program("mvn-3.9/bin/mvn", "mvn")),
)
