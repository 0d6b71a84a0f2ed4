"""Connections to PostgreSQL are counted as the services open them, and too many are a fault."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.k8s_check_database import (
    GATEWAY_CONNECTIONS,
    SPARE_CONNECTIONS,
    database_connections_suffice,
    extractor_connections,
    given_connections,
    wanted_connections,
)
from services.extractor.compose import database_connections
from services.gateway.compose import DATABASE_CONNECTIONS
from shared.settings import load_settings
from tests.support.stores import ROOT

OVERLAY = yaml.safe_load("""
- kind: ConfigMap
  metadata: {name: orchard-abc}
  data: {ORCHARD_DATABASE_POOL_SIZE: "10", ORCHARD_DATABASE_MAX_OVERFLOW: "5"}
- kind: Deployment
  metadata: {name: orchard-gateway}
  spec:
    strategy: {rollingUpdate: {maxSurge: 1}}
    template: {spec: {containers: [{name: gateway, image: "g:1"}]}}
- kind: HorizontalPodAutoscaler
  metadata: {name: orchard-gateway}
  spec: {maxReplicas: 20, scaleTargetRef: {name: orchard-gateway}}
- kind: Deployment
  metadata: {name: orchard-fetcher}
  spec:
    replicas: 4
    strategy: {rollingUpdate: {maxSurge: 50%}}
    template: {spec: {containers: [{name: fetcher, image: "f:1"}]}}
- kind: Deployment
  metadata: {name: orchard-extractor}
  spec:
    replicas: 2
    strategy: {type: Recreate}
    template: {spec: {containers: [{name: extractor, image: "e:1", env: [
      {name: ORCHARD_EXTRACT_SLOTS, value: "3"}, {name: ORCHARD_RESOLVE_SLOTS, value: "1"}]}]}}
- kind: StatefulSet
  metadata: {name: postgres}
  spec: {template: {spec: {containers: [{name: postgres, image: "postgres:17-alpine",
    command: [docker-entrypoint.sh, postgres, -c, max_connections=320]}]}}}
""")
GATEWAYS, FETCHERS, EXTRACTORS = 21 * (8 + 1), (4 + 2) * (15 + 2), 2 * (3 + 2 + 6 + 1)


def test_wanted__every_pool_at_its_most_replicas_in_a_rollout() -> None:
    assert wanted_connections(OVERLAY) == SPARE_CONNECTIONS + GATEWAYS + FETCHERS + EXTRACTORS == 335


def _command(words: list[str]) -> Callable[[list[dict[str, Any]]], object]:
    return lambda r: r[-1]["spec"]["template"]["spec"]["containers"][0].update(command=words)


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (lambda r: None, False),
        (_command(["postgres", "-c", "max_connections=334"]), False),
        (_command(["postgres", "-c", "max_connections=335"]), True),
        (_command(["postgres"]), False),
        (lambda r: r[2]["spec"].update(maxReplicas=18), True),
        (lambda r: r[0]["data"].update(ORCHARD_DATABASE_MAX_OVERFLOW="2"), True),
        (lambda r: r[3]["spec"]["strategy"].update(rollingUpdate={"maxSurge": 0}), True),
        (lambda r: r.append({"kind": "Cluster", "metadata": {"name": "c"}, "spec": {"postgresql": {
            "parameters": {}}}}), False),
        (lambda r: r.pop(), True),
    ],
)  # fmt: skip
def test_overlay__fits_what_its_postgresql_gives_or_is_a_fault(
    change: Callable[[list[dict[str, Any]]], object], fits: bool
) -> None:
    overlay = copy.deepcopy(OVERLAY)
    change(overlay)
    assert (list(database_connections_suffice(overlay)) == []) is fits


def test_counts__are_those_of_the_code() -> None:
    assert GATEWAY_CONNECTIONS == DATABASE_CONNECTIONS
    settings = load_settings({"ORCHARD_EXTRACT_SLOTS": "7", "ORCHARD_RESOLVE_SLOTS": "5"})
    assert extractor_connections(7, 5) == database_connections(settings)


def test_compose__fits_what_its_postgresql_gives() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    of = {"gateway": "orchard-gateway", "fetcher": "orchard-fetcher", "extractor": "orchard-extractor"}
    overlay = [
        {
            "kind": "Deployment",
            "metadata": {"name": of[name.partition("-")[0]]},
            "spec": {"replicas": 1, "strategy": {"type": "Recreate"}, "template": {"spec": {"containers": [
                {"name": name, "image": name}]}}},
        }
        for name in services
        if name.partition("-")[0] in of
    ]  # fmt: skip
    assert len(overlay) == 5
    given = {
        "name": "postgres",
        "image": services["postgres"]["image"],
        "command": services["postgres"]["command"],
    }
    server = {"kind": "StatefulSet", "metadata": {"name": "postgres"}, "spec": {"template": {"spec": {
        "containers": [given]}}}}  # fmt: skip
    assert [most for _, most in given_connections([server])] == [200]
    assert list(database_connections_suffice([*overlay, server])) == []
