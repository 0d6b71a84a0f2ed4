"""The images, built by `make images` with a base made here, and what docker-compose.yml runs of them:
migrations, two gateways, two fetchers, an extractor, unprivileged on read-only roots over real stores; and
the image that is a whole Orchard by itself. A real pip installs through each."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from shared.protocols import PROTOCOLS
from shared.version import VERSION
from tests.deploy.boxes import Box, Image, opened
from tests.deploy.test_compose import OURS, compose, example  # noqa: F401 - fixtures
from tests.support.builders import wheel_file
from tests.support.orchard import JSON, SECRET_KEY, wait_until
from tests.support.proxy import needs_nginx, nginx
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

SERVICES = ("gateway", "fetcher", "extractor", "standalone")
ALONE = {
    "read_only": True,
    "tmpfs": ["/tmp:size=64m,mode=1777"],
    "volumes": ["data:/data", "backup:/backup"],
    "environment": {},
}
"""As docs/deployment.md (One container) runs it."""


def _lacks() -> str:
    """Why no image can be built here, in words."""
    if os.geteuid() != 0:
        return "images are built as root here"
    for program in ("buildah", "debootstrap"):
        if shutil.which(program) is None:
            return f"no {program} here: apt-get install {program}"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "this machine gives no mount namespaces"
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2700),
    pytest.mark.skipif(bool(_lacks()), reason=_lacks() or "-"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of what `make images` wrote, with what it said. Images are in a storage of their own."""
    folder = tmp_path_factory.mktemp("images")
    storage = folder / "storage"
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
    )
    before = os.environ.get("CONTAINERS_STORAGE_CONF")
    os.environ["CONTAINERS_STORAGE_CONF"] = str(folder / "storage.conf")
    try:
        if subprocess.run(["buildah", "info"], capture_output=True).returncode:
            os.environ["STORAGE_DRIVER"] = "vfs"
        done = subprocess.run(
            [sys.executable, "-m", "scripts.images", "--engine", "buildah", "--make-base", "--tag", "test",
             "--out", str(folder)],
            cwd=ROOT, capture_output=True, text=True, timeout=2100,
        )  # fmt: skip
        if "debootstrap ended with" in done.stderr:
            pytest.skip(f"this machine's distribution is not reached: {done.stderr[-400:]}")
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)
        (folder / "said").write_text(done.stdout)
        yield folder
    finally:
        subprocess.run(["buildah", "rm", "--all"], capture_output=True)
        os.environ.pop("STORAGE_DRIVER", None)
        os.environ.pop("CONTAINERS_STORAGE_CONF")
        if before is not None:
            os.environ["CONTAINERS_STORAGE_CONF"] = before
        subprocess.run(["umount", "--quiet", str(storage / "graph" / "overlay")], capture_output=True)
        shutil.rmtree(storage, ignore_errors=True)


@pytest.fixture(scope="module")
def images(built: Path) -> Iterator[dict[str, Image]]:
    with ExitStack() as stack:
        yield {each: stack.enter_context(opened(f"localhost/orchard-{each}:test")) for each in SERVICES}


def test_build__says_how_large_each_image_is(built: Path) -> None:
    said = (built / "said").read_text()
    sizes = dict(re.findall(r"^orchard-(\w+):test: \d+ MB, (\d+) MB beside the base", said, re.MULTILINE))
    assert set(sizes) == set(SERVICES)
    assert all(20 < int(each) < 350 for each in sizes.values()), sizes


@pytest.mark.parametrize("service", SERVICES)
def test_image__bill_of_materials__is_valid_and_names_what_is_in_it(
    service: str, built: Path, images: dict[str, Image]
) -> None:
    text = (built / f"orchard-{service}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["version"] == VERSION
    purls = {each["purl"] for each in document["components"]}
    (site,) = images[service].root.glob("opt/venv/lib/python*/site-packages")
    there = {
        f"{each.metadata['Name'].lower().replace('_', '-').replace('.', '-')}@{each.version}"
        for each in importlib.metadata.distributions(path=[str(site)])
    }
    assert len(there) > 20
    assert there == {each.removeprefix("pkg:pypi/") for each in purls if each.startswith("pkg:pypi/")}
    assert len([each for each in purls if each.startswith("pkg:deb/")]) > 50
    assert any(each.startswith("pkg:generic/python@3.") for each in purls)


@pytest.mark.parametrize("service", SERVICES)
def test_image__holds_no_installer__its_own_service_and_the_documents(
    service: str, images: dict[str, Image]
) -> None:
    root = images[service].root
    assert [each for each in root.glob("**/site-packages/pip") if each.is_dir()] == []
    held = {each.name for each in (root / "app" / "services").iterdir() if each.is_dir()}
    own = set(SERVICES) if service == "standalone" else {service}
    assert held - {"__pycache__"} == {"cli", "standalone", *own}
    documents = {each.name for each in (root / "app" / "docs").iterdir()}
    assert documents == {each.name for each in (ROOT / "docs").glob("*.md")}
    config = images[service].config
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


@needs_nginx
def test_compose__all_services_out_of_their_images__install_a_package(
    images: dict[str, Image],
    compose: dict[str, Any],  # noqa: F811
    empty_database_url: str,
    store_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    leaf, top = wheel_file("in-a-box", "1.0"), wheel_file("top-of-it", "2.0", requires=["in-a-box>=1"])
    with Upstream() as upstream:
        for name, file in (("in-a-box", leaf), ("top-of-it", top)):
            upstream.add_project(name, {file.filename: file.content})
        settings = {key: value for key, value in store_settings.items() if key != "ORCHARD_DATA_DIR"} | {
            "ORCHARD_DATABASE_URL": empty_database_url
        }
        of_fetchers = {
            "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/",
            "ORCHARD_SECRET_KEY": SECRET_KEY,
        }
        (tmp_path / "volumes").mkdir()
        boxes = {}
        for name in OURS:
            service = compose["services"][name]
            image = images[service["image"].removeprefix("orchard-").partition(":")[0]]
            more = of_fetchers if name.startswith("fetcher") else {}
            place = tmp_path / f"{name}.log"
            given = {**settings, **more}
            boxes[name] = Box(
                name, image, service, given, tmp_path / "volumes", place, first=name == "backup"
            )
        migrations, backup = boxes.pop("migrations"), boxes.pop("backup")
        _check_confinement(migrations)
        migrated = migrations.run()
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        try:
            for box in boxes.values():
                box.start()
            for box in boxes.values():
                box.wait_ready()
                assert box.health() == 0, box.name
            gateways = [boxes["gateway-1"], boxes["gateway-2"]]
            with nginx(tmp_path / "nginx", [each.port for each in gateways]) as base:
                _install(base, tmp_path)
                for gateway in gateways:
                    _served(gateway.base, top.content)
                _wait_for_extraction(boxes["extractor"])
                command = tmp_path / "orchard.pyz"
                command.write_bytes(httpx.get(f"{base}/orchard.pyz", trust_env=False).content)
                said = subprocess.run([sys.executable, command, "--version"], capture_output=True, text=True)
                assert said.stdout == f"orchard {VERSION}\n", said.stderr
                shown = httpx.get(f"{base}/ui/docs/operations.md", timeout=30, trust_env=False)
                page = images["gateway"].root / "app" / "docs" / "operations.md"
                assert shown.content == page.read_bytes()
            _back_up(backup)
            codes = {box.name: box.stop() for box in boxes.values()}
        finally:
            for box in (*boxes.values(), backup):
                box.kill()
        assert codes == dict.fromkeys(boxes, 0), [box.log.read_text()[-2000:] for box in boxes.values()]
        assert boxes["gateway-1"].health() != 0, "a stopped gateway must not be healthy"


def _back_up(box: Box) -> None:
    """Compose's profile `backup`: it is healthy once there is a snapshot, and stops when it is told to."""
    kind, words = box.service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert box.run("sh", "-c", words).returncode != 0
    box.start()
    wait_until(lambda: box.run("sh", "-c", words).returncode == 0, seconds=120, what="a backup")
    assert box.stop() == 0
    assert re.search(r"snapshot \S+: \d+ rows, [1-9]\d* objects", box.log.read_text())


def test_standalone__one_container_and_one_volume__install_a_package_and_go_on_after_a_restart(
    images: dict[str, Image], tmp_path: Path
) -> None:
    leaf, top = wheel_file("in-a-box", "1.0"), wheel_file("top-of-it", "2.0", requires=["in-a-box>=1"])
    (tmp_path / "volumes").mkdir()
    with Upstream() as upstream:
        for name, file in (("in-a-box", leaf), ("top-of-it", top)):
            upstream.add_project(name, {file.filename: file.content})
        settings = {
            f"ORCHARD_{each.name.upper()}_UPSTREAM": f"{upstream.url}/{each.name}/" for each in PROTOCOLS
        }
        settings |= {"ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/", "ORCHARD_ANONYMOUS_READ": "true"}
        image = images["standalone"]
        box = Box("alone", image, ALONE, settings, tmp_path / "volumes", tmp_path / "alone.log", first=True)
        _check_confinement(box)
        try:
            box.start()
            box.wait_ready()
            assert box.health() == 0
            _install(box.base, tmp_path / "before")
            made = box.run(
                "python", "-m", "services.cli", "tokens", "create", "ci"
            )  # with the folder's token
            assert made.returncode == 0, made.stderr
            backed_up = box.run("python", "-m", "services.cli", "backup", "/backup/orchard")
            assert backed_up.returncode == 0, backed_up.stderr
            assert box.stop() == 0, box.log.read_text()[-2000:]
        finally:
            box.kill()
    offline = {**settings, "ORCHARD_OFFLINE": "true"}
    again = Box("alone", image, ALONE, offline, tmp_path / "volumes", tmp_path / "again.log", first=True)
    try:
        again.start()
        again.wait_ready()
        _install(again.base, tmp_path / "after")
        assert again.stop() == 0, again.log.read_text()[-2000:]
    finally:
        again.kill()


def test_standalone__nothing_says_who_may_read__refused_in_one_line(
    images: dict[str, Image], tmp_path: Path
) -> None:
    (tmp_path / "volumes").mkdir()
    box = Box("alone", images["standalone"], ALONE, {}, tmp_path / "volumes", tmp_path / "log", first=True)
    words = ("env", "ORCHARD_HOST=0.0.0.0", *images["standalone"].config["Cmd"])
    refused = box.run(*words)
    assert refused.returncode == 2
    assert "ORCHARD_ANONYMOUS_READ" in refused.stderr and "Traceback" not in refused.stderr


def _check_confinement(box: Box) -> None:
    said = box.run("sh", "-c", "id -u; touch /app/x; touch /opt/venv/x; touch /tmp/x && echo tmp")
    assert said.stdout.split() == ["10001", "tmp"], said.stderr
    assert said.stderr.count("Read-only file system") == 2, said.stderr


def _install(base: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir",
         "--index-url", f"{base}/pypi/simple/", "--target", str(folder / "installed"), "top-of-it"],
        env=env, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    installed = {each.name for each in (folder / "installed").glob("*.dist-info")}
    assert installed == {"in_a_box-1.0.dist-info", "top_of_it-2.0.dist-info"}


def _served(base: str, content: bytes) -> None:
    with httpx.Client(trust_env=False, timeout=30) as client:
        page = client.get(f"{base}/pypi/simple/top-of-it/", headers={"accept": JSON})
        (file,) = page.json()["files"]
        got = client.get(httpx.URL(str(page.url)).join(file["url"]))
        assert (got.content, got.headers["x-cache"]) == (content, "HIT")


def _wait_for_extraction(box: Box) -> None:
    def extracted() -> bool:
        text = httpx.get(f"{box.base}/metrics", timeout=10, trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith("orchard_extractions_total{")]
        return any('state="extracted"' in line for line in lines)

    wait_until(extracted, seconds=60, what="the extractor's work")
