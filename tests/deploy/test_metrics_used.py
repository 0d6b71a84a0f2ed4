"""Dashboards, rules and autoscaling ask only for metrics that exist, with labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from shared.telemetry import feeds_and_webhooks, metrics
from tests.deploy.tools import needs_promtool, run
from tests.support.stores import ROOT

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
SCALERS = ROOT / "deploy" / "k8s" / "components" / "keda" / "scaled-objects.yaml"
SCRAPED = {"job", "instance", "namespace", "pod", "version"}  # labels that Prometheus itself adds
WORDS = re.compile(r"orchard_\w+")


def _series() -> dict[str, set[str]]:
    """The name of every series that shared/telemetry declares, with its labels."""
    known: dict[str, set[str]] = {}
    for each in (*vars(metrics).values(), *vars(feeds_and_webhooks).values()):
        if isinstance(each, MetricWrapperBase):
            for family in each.describe():
                known |= _names(family.name, family.type, set(each._labelnames))
    metrics.observe_request("pypi", "HIT", 200, 0.01, 1)  # whose rows are there once they have counted
    for family in metrics.ANSWERED.collect():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        known |= _names(family.name, family.type, labels)
    return known


def _names(name: str, kind: str, labels: set[str]) -> dict[str, set[str]]:
    """What Prometheus makes of one metric."""
    if kind == "counter":
        return {f"{name}_total": labels}
    if kind == "histogram":
        return {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
    assert kind == "gauge", (name, kind)
    return {name: labels}


def _recorded() -> dict[str, str]:
    """Recording rules: name, expression."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


def _panels() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def _rules() -> Iterator[tuple[str, str]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield f"{path.stem}: {rule.get('alert') or rule.get('record')}", rule["expr"]


def _triggers() -> Iterator[tuple[str, str]]:
    for scaled in yaml.safe_load_all(SCALERS.read_text()):
        for trigger in scaled["spec"]["triggers"]:
            yield f"keda: {scaled['metadata']['name']} {trigger['name']}", trigger["metadata"]["query"]


EXPRESSIONS = [*_panels(), *_rules(), *_triggers()]


def _faults(expression: str, series: dict[str, set[str]], recorded: dict[str, str]) -> list[str]:
    """What an expression asks for that nobody has: names, labels in selectors, labels in `by (…)`."""
    faults = []
    text = expression
    available: set[str] = set(SCRAPED)
    for name, recorded_as in recorded.items():
        if name in text:
            text = text.replace(name, "orchard_recorded")
            available |= set(name.partition(":")[0].split("_"))
            assert recorded_as
    for match in re.finditer(r"(?P<name>orchard_\w+)(?:\{(?P<selector>[^}]*)\})?", text):
        name = match["name"]
        if name != "orchard_recorded" and name not in series:
            faults.append(f"no metric {name}")
            continue
        labels = series.get(name, available)
        available |= labels
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", match["selector"] or ""):
            if label not in labels | {"job", "instance"}:
                faults.append(f"{name} has no label {label}")
    for grouping in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        for label in filter(None, (each.strip() for each in grouping.split(","))):
            if label not in available:
                faults.append(f"nothing here has a label {label} to group by")
    return faults


def test_alerts__each_has_a_row_that_says_what_to_do() -> None:
    named = {rule.partition(": ")[2] for rule, _ in _rules()} - set(_recorded())
    rows = re.findall(
        r"^\| `(Orchard\w+)` \| \S", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    assert len(named) > 20
    assert sorted(rows) == sorted(named)


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_expression__asks_for_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    assert _faults(expression, _series(), _recorded()) == [], where


def test_expressions__wrong_names_and_labels_would_be_noticed() -> None:
    series, recorded = _series(), _recorded()
    for wrong in (
        "orchard_queue_job",
        'orchard_queue_jobs{status="ready"}',
        "sum by (task) (orchard_queue_jobs)",
        "orchard_http_request_duration_seconds",
        "rate(orchard_bytes_served[5m])",
    ):
        assert _faults(wrong, series, recorded), wrong


def test_label_values__results_and_states_are_words_of_the_code() -> None:
    for where, expression in EXPRESSIONS:
        for label, words in re.findall(r"\b(result|state)=~?\"([A-Za-z|]+)\"", expression):
            known = (
                metrics.RESULTS
                | {"hit", "miss", "stale", "l1", "error", "ok", "missing", "failed", "damaged", "dropped"}
                if label == "result"
                else {"ready", "running", "deferred", "dead"}
            )
            assert set(words.split("|")) <= known, where


def test_label_values__outcomes_of_jobs_are_words_of_the_code() -> None:
    found = set()
    for where, expression in EXPRESSIONS:
        for words in re.findall(r"orchard_job_duration_seconds\w*\{[^}]*outcome=~?\"([^\"]+)\"", expression):
            assert set(words.split("|")) <= metrics.JOB_OUTCOMES, where
            found |= set(words.split("|"))
    assert found, "no panel and no rule names an outcome: this test looks at nothing"


def test_recording_rules__names_carry_their_level_metric_and_operation() -> None:
    for name, expression in _recorded().items():
        level, metric, operation = name.split(":")
        assert operation
        assert metric.startswith("orchard_")
        for label in WORDS.sub("", level).split("_"):
            assert re.search(rf"by \([^)]*\b{label}\b", expression), f"{name} does not group by {label}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard__can_be_provisioned(path: Path) -> None:
    board: dict[str, Any] = json.loads(path.read_text())
    assert board["uid"] == f"orchard-{path.stem}"
    assert "id" not in board, "an id belongs to one Grafana"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {each["name"] for each in board["templating"]["list"]}
    for panel in panels:
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", "__range"}
            assert used <= variables, panel["title"]
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places), "two panels lie on one another"
    found = {expression for where, expression in _panels() if where.startswith(f"{path.stem}:")}
    assert len(found) >= 6


@needs_promtool
def test_rules__promtool_accepts_them_and_their_unit_tests_pass() -> None:
    checked = run("promtool", "check", "rules", *RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tests = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"))
    assert tests
    tested = run("promtool", "test", "rules", *tests)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_configuration_of_compose__promtool_accepts_it(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/rules", str(ROOT / "deploy" / "prometheus" / "rules"))
    )
    done = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@needs_promtool
def test_expressions_of_panels_and_scalers__prometheus_can_parse_them(tmp_path: Path) -> None:
    rules = [
        {"record": f"parsed:{number}", "expr": re.sub(r"\$__\w+", "5m", expression)}
        for number, (_, expression) in enumerate([*_panels(), *_triggers()])
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = run("promtool", "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
