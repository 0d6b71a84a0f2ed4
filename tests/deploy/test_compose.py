"""docker-compose.yml fits the compose specification, and what it says of Orchard is true."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from services.gateway.http.bodies import FORWARDED_BYTES, MOST_BYTES
from shared.access.exposure import check_exposure
from shared.errors import ConfigurationError
from shared.protocols import PROTOCOLS, spoken
from shared.settings import _SECRETS, Settings, load_settings, variable
from shared.version import VERSION
from tests.deploy.dockerfile import read_dockerfile
from tests.deploy.tools import BIN, needs_schemas, needs_tools, run
from tests.support.stores import ROOT

FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"
OURS = ("gateway-1", "gateway-2", "fetcher-1", "fetcher-2", "extractor", "migrations", "backup")


def _interpolated(values: dict[str, str]) -> dict[str, Any]:
    """The file, merged, with ${NAME}, ${NAME:-default} and ${NAME:?why} replaced as compose does it."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match["name"], match["operator"] or "", match["rest"] or ""
        if values.get(name):
            return values[name]
        assert operator != ":?", f"{name} must be set: {rest}"
        return rest

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(each) for key, each in node.items()}
        if isinstance(node, list):
            return [walk(each) for each in node]
        if isinstance(node, str):
            pattern = r"\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}"
            return re.sub(pattern, value, node.replace("$$", "\0")).replace("\0", "$")
        return node

    loaded: dict[str, Any] = walk(yaml.safe_load(FILE.read_text()))
    for service in loaded["services"].values():
        for file in service.get("env_file", []):
            assert file == {"path": ".env", "required": False}
            service["environment"] = values | service["environment"]
    return loaded


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """deploy/compose/example.env, filled in."""
    lines = (ROOT / "deploy" / "compose" / "example.env").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: value or "secret123secret45" for name, value in pairs}


@pytest.fixture(scope="module")
def compose(example: dict[str, str]) -> dict[str, Any]:
    return _interpolated(example)


def test_example_env__names_every_variable_that_must_be_set(compose: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="must be set"):
        _interpolated({})
    assert compose["services"]


@needs_tools
@needs_schemas
@pytest.mark.parametrize("spoilt", [False, True])
def test_file__against_the_specifications_schema(
    spoilt: bool, compose: dict[str, Any], tmp_path: Path
) -> None:
    fetched = run(
        BIN / "python", "-c",
        "from scripts.k8s_check import CACHE; from scripts.k8s_check_schemas import fetch_schemas; "
        "print(fetch_schemas(CACHE))",
    )  # fmt: skip
    assert fetched.returncode == 0, fetched.stderr
    document = json.loads(json.dumps(compose))
    if spoilt:
        document["services"]["proxy"]["helthcheck"] = document["services"]["proxy"].pop("healthcheck")
    (tmp_path / "compose.json").write_text(json.dumps(document))
    code = (
        "import json, sys, jsonschema\n"
        "schema, document = (json.load(open(path)) for path in sys.argv[1:])\n"
        "for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(document):\n"
        "    print(list(error.absolute_path), error.message)\n"
    )
    schema = Path(fetched.stdout.strip()) / "compose-spec.json"
    checked = run(BIN / "python", "-c", code, schema, tmp_path / "compose.json")
    assert checked.returncode == 0, checked.stderr
    assert ("helthcheck" in checked.stdout) == spoilt
    assert bool(checked.stdout) == spoilt, checked.stdout


def test_services__settings_are_known_and_stores_have_their_roles(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in OURS:
        settings = load_settings(services[name]["environment"])
        assert settings.redis_host == "redis-cache"
        assert settings.queue_redis_host == "redis-queue"
        assert settings.data_dir == "/data"
    assert "allkeys-lru" in services["redis-cache"]["command"][-1]
    queue = services["redis-queue"]["command"][-1]
    assert "noeviction" in queue
    assert "--appendonly yes" in queue
    grace = float(services["fetcher-1"]["stop_grace_period"].rstrip("s"))
    assert grace >= load_settings(services["fetcher-1"]["environment"]).drain_timeout + 10


FIXED = {
    *(f"{kind}redis_{part}" for kind in ("", "queue_") for part in ("host", "port", "password")),
    *("database_url", "data_dir", "s3_access_key", "s3_secret_key", "s3_create_bucket", "drain_timeout"),
    *("host", "port", "worker_host", "worker_port"),
}
"""Settings that the file itself has to say."""
READERS = {
    "gateway": {"admin_token", "edge_token", "edge_purge"},
    "fetcher": {"secret_key", "oidc_client_secret", "http_proxy"}
    | {f"{protocol.name}_upstream" for protocol in PROTOCOLS},
    "extractor": {"log_key"},
}
"""What one service alone gets; it may hold a password, or need one."""
FOR_ALL = {"otlp_headers", "osv_feeds"} | {f"{kind}redis_sentinel_password" for kind in ("", "queue_")}
OF_THE_COMMAND = {"token", "id_token"}


@pytest.mark.parametrize("name", OURS)
def test_env_file__every_setting__reaches_each_service_that_may_read_it(
    name: str, example: dict[str, str]
) -> None:
    fields = {field.name for field in msgspec.structs.fields(Settings)} | {
        *READERS["fetcher"], "minimum_age", "minimum_age_pypi", "pypi_request_timeout"
    }  # fmt: skip
    written = {variable(field): f"of {field}" for field in fields} | {"HTTPS_PROXY": "http://p:1"}
    got = _interpolated(example | written)["services"][name]["environment"]
    own = READERS.get(name.partition("-")[0], set())
    of_others = set().union(*READERS.values()) - own
    assert _SECRETS - {"upstreams"} <= FIXED | FOR_ALL | OF_THE_COMMAND | of_others | own
    advertised = {"worker_advertise"} if name.startswith("fetcher") else set()
    for field in fields - FIXED - of_others - advertised:
        assert got[variable(field)] == f"of {field}"
    assert got["HTTPS_PROXY"] == "http://p:1"
    assert {got.get(variable(field), "") for field in of_others} == {""}


def test_env_file__what_operators_write__is_taken_by_every_service(example: dict[str, str]) -> None:
    written = {
        "ORCHARD_OFFLINE": "true", "ORCHARD_MINIMUM_AGE": "7d", "ORCHARD_EVICT_BYTES": "1000000",
        "ORCHARD_CA_FILE": "/etc/ca.pem", "ORCHARD_OIDC_ISSUER": "https://sso.example.com",
        "ORCHARD_OIDC_CLIENT_ID": "orchard", "ORCHARD_OIDC_CLIENT_SECRET": "s", "ORCHARD_OIDC_READ": "sub=*",
        "ORCHARD_EDGE": "true", "ORCHARD_EDGE_PURGE": "http://edge:80", "ORCHARD_EDGE_TOKEN": "e" * 16,
        "ORCHARD_S3_ENDPOINT": "http://minio:9000", "ORCHARD_HTTP_PROXY": "http://proxy:3128",
        "ORCHARD_PYPI_UPSTREAM": "https://packages.example.com/simple/",
    }  # fmt: skip
    services = _interpolated(example | written)["services"]
    for name in OURS:
        settings = load_settings(services[name]["environment"], protocols=spoken())
        if name.startswith("gateway"):
            check_exposure(settings)
        assert settings.offline
        assert settings.minimum_ages == {"": 7 * 86_400}
        assert settings.evict_bytes == 1_000_000
    with pytest.raises(ConfigurationError, match="ORCHARD_OFLINE"):
        load_settings(_interpolated(example | {"ORCHARD_OFLINE": "true"})["services"][OURS[0]]["environment"])


def test_services__advertise_their_own_names_on_the_port_of_the_image(compose: dict[str, Any]) -> None:
    final = read_dockerfile(DOCKERFILE)[-1]
    port = final.environment["ORCHARD_WORKER_PORT"]
    for name in ("fetcher-1", "fetcher-2"):
        assert compose["services"][name]["environment"]["ORCHARD_WORKER_ADVERTISE"] == f"{name}:{port}"


def test_services__only_fetchers_have_a_way_out_and_nothing_writes_its_root(compose: dict[str, Any]) -> None:
    networks, services = compose["networks"], compose["services"]
    assert [name for name, each in networks.items() if (each or {}).get("internal")] == ["inside", "stores"]
    assert {name for name, each in services.items() if "egress" in each["networks"]} == {
        "fetcher-1",
        "fetcher-2",
    }
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    assert "objects:/data:ro" in services["gateway-1"]["volumes"]


def test_services__everything_named_exists_and_waits_for_health(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert not service.get("image", "").endswith(":latest"), name
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name} mounts {source}, which is not there"
            elif target:
                assert source in compose["volumes"], f"{name} uses the volume {source}"
        assert set(service["networks"]) <= set(compose["networks"])
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                image = services[other].get("image", "")
                assert "healthcheck" in services[other] or image.startswith("orchard-"), other
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


@pytest.mark.skipif(
    shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists(),
    reason="no nginx here: apt-get install nginx-light",
)
def test_proxy__its_configuration_is_accepted_by_nginx(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "compose" / "nginx.conf").read_text()
    text = re.sub(r"gateway-[12]:8080", "127.0.0.1:8080", text).replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(text)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    done = subprocess.run(
        [nginx, "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["compose", "edge"])
def test_proxy__takes_bodies_as_large_as_a_gateway_does(folder: str) -> None:
    text = (ROOT / "deploy" / folder / "nginx.conf").read_text()
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(megabytes) * 1024 * 1024 >= max(FORWARDED_BYTES, *MOST_BYTES.values())


@needs_tools
def test_dockerfile__hadolint_has_nothing_to_say() -> None:
    done = run(BIN / "hadolint", DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile__installs_by_hash_alone_and_runs_as_a_number_without_tools() -> None:
    build, final = read_dockerfile(DOCKERFILE)
    assert build.image == final.image == "${PYTHON_IMAGE}"
    assert final.one("USER") == "10001:10001"
    assert all("--from=build" in line for line in final.all("COPY"))
    installing = next(line for line in build.all("RUN") if "pip install" in line)
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:"):
        assert option in installing
    assert "apt-get" not in " ".join(build.all("RUN") + final.all("RUN"))


def test_services__each_image_is_built_for_the_service_that_it_is_named_after(
    compose: dict[str, Any],
) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["image"] == f"orchard-{service['build']['args']['SERVICE']}:{VERSION}"
