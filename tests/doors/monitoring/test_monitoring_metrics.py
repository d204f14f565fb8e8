"""`GET /metrics`, read by the parsers of Prometheus's own Python client; and the dashboard and the alerts, all of whose
metrics have to be in it."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from monitored_server import rows
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "monitoring" / "grafana" / "thalweg.json"
ALERTS = ROOT / "monitoring" / "prometheus" / "alerts.yml"
SCRAPE = ROOT / "monitoring" / "prometheus" / "scrape.yml"
DOCS = ROOT / "docs" / "monitoring.md"
# Given by Prometheus itself.
FROM_PROMETHEUS = {"job", "instance"}


class Scrape:
    """Samples by name, each as its labels and its value."""

    def __init__(self, families):
        self.kinds, self.samples = {}, {}
        for family in families:
            self.kinds[family.name] = family.type
            for sample in family.samples:
                self.samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def value(self, name, **labels):
        found = [value for own, value in self.samples[name] if labels.items() <= own.items()]
        assert len(found) == 1, (name, labels, found)
        return found[0]


def scrape(server):
    return Scrape(parse_openmetrics(server.metrics().text))


def test_the_content_type_is_the_one_asked_for(busy):
    answer = busy.metrics()
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    for accept in ["text/plain", "*/*", "text/html;q=0.9"]:
        answer = busy.metrics(accept=accept)
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "# EOF" not in answer.text


def test_both_forms_have_the_same_samples(busy):
    new = Scrape(parse_openmetrics(busy.metrics().text))
    old = Scrape(parse_classic(busy.metrics(accept="text/plain").text))
    assert set(new.samples) == set(old.samples)
    assert "unknown" not in new.kinds.values() and "unknown" not in old.kinds.values()
    name = "thalweg_source_rows_total"
    assert old.value(name, source="payments", outcome="applied") == new.value(
        name, source="payments", outcome="applied"
    )


def test_rows_are_counted_as_they_were_acknowledged(busy):
    seen = scrape(busy)
    outcomes = {"applied": 12, "deduplicated": 2, "filtered": 3, "quarantined": 2}
    for outcome, number in outcomes.items():
        assert seen.value("thalweg_source_rows_total", source="payments", outcome=outcome) == number
    assert seen.value("thalweg_source_rows_read_total", source="payments") == sum(outcomes.values())
    assert seen.value("thalweg_source_pushes_total", source="payments") == 2
    assert seen.value("thalweg_source_quarantine_waiting", source="payments") == 2
    assert seen.value("thalweg_source_freshness_seconds_count", source="payments") == 2
    assert seen.value("thalweg_source_outside_history", source="payments") == 0
    assert seen.value("thalweg_history_rows_total") == 12
    assert seen.value("thalweg_view_entities", view="spend") == 1
    assert seen.value("thalweg_view_applied_total", view="spend") == 12
    assert seen.value("thalweg_view_ready", view="spend") == 1
    assert seen.value("thalweg_view_memory_bytes", view="spend") > 0


def test_requests_and_values_are_counted_by_outcome(busy):
    seen = scrape(busy)
    read = {"door": "http", "operation": "read"}
    assert seen.value("thalweg_requests_total", **read, code="OK") == 6
    assert seen.value("thalweg_requests_total", **read, code="NOT_FOUND") == 1
    assert seen.value("thalweg_request_duration_seconds_count", **read) == 6, "failures are quick, and left out"
    assert seen.value("thalweg_request_items_total", **read) == 5 * 2 * 2 + 1
    assert seen.value("thalweg_requests_total", door="http", operation="push", code="OK") == 2
    assert seen.value("thalweg_request_items_total", door="http", operation="push") == 19
    assert seen.value("thalweg_service_reads_total", service="spending", outcome="answered") == 5
    assert seen.value("thalweg_service_read_duration_seconds_count", service="spending") == 5
    by_status = {
        labels["status"]: value
        for labels, value in seen.samples["thalweg_service_values_total"]
        if labels["service"] == "spending"
    }
    assert by_status == {"PRESENT": 10, "NOT_FOUND": 10, "NULL": 0, "STALE": 0, "ERROR": 0}
    assert seen.value("thalweg_service_values_total", service="-", status="PRESENT") == 1


def test_a_name_that_nobody_declared_makes_no_series(busy):
    assert "guessed_by_a_caller" not in busy.metrics().text


def test_histograms_are_whole(busy):
    seen = scrape(busy)
    labels = {"door": "http", "operation": "read"}
    buckets = [
        (float(own["le"]), value)
        for own, value in seen.samples["thalweg_request_duration_seconds_bucket"]
        if labels.items() <= own.items()
    ]
    assert [edge for edge, _ in buckets] == sorted(edge for edge, _ in buckets)
    assert buckets[0][0] == 50e-6 and buckets[-2][0] == 10.0 and buckets[-1][0] == float("inf")
    counts = [value for _, value in buckets]
    assert counts == sorted(counts) and counts[-1] == seen.value("thalweg_request_duration_seconds_count", **labels)
    assert 0 < seen.value("thalweg_request_duration_seconds_sum", **labels) < 60


def test_the_process_and_the_disk(busy):
    seen = scrape(busy)
    assert 1e6 < seen.value("process_resident_memory_bytes") < 1e11
    assert seen.value("process_cpu_seconds_total") > 0
    assert 0 < seen.value("process_open_fds") < seen.value("process_max_fds")
    assert 1.6e9 < seen.value("process_start_time_seconds") < 1e11
    assert 0 < seen.value("thalweg_disk_free_bytes") <= seen.value("thalweg_disk_size_bytes")
    assert seen.value("thalweg_check_compared_total") > 0 and seen.value("thalweg_check_mismatches_total") == 0


def test_counters_move(serve):
    server = serve()
    before = scrape(server)
    assert before.value("thalweg_source_rows_read_total", source="payments") == 0
    server.push(rows(0, 7))
    after = scrape(server)
    assert after.value("thalweg_source_rows_total", source="payments", outcome="applied") == 7
    scrapes = {"door": "http", "operation": "metrics", "code": "OK"}
    assert after.value("thalweg_requests_total", **scrapes) == 1, "the scrape before"


def expressions():
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}: {target['refId']}", target["expr"].replace("$__rate_interval", "5m")
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda text: text[:60])
def test_dashboard_and_alerts_speak_of_what_there_is(busy, place, expression):
    """Every metric of an expression is in a scrape, with every label that the expression names and every value."""
    seen = scrape(busy)
    metrics, grouped = [], set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            metrics.append(node)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    assert metrics, f"{place}: it watches nothing"
    there = set(FROM_PROMETHEUS)
    for metric in metrics:
        if metric.name == "up":
            continue
        assert metric.name in seen.samples, f"{place}: no scrape has {metric.name}"
        samples = [labels for labels, _ in seen.samples[metric.name]]
        there.update(*samples)
        for matcher in metric.matchers.matchers:
            if matcher.name in FROM_PROMETHEUS:
                continue
            values = {labels.get(matcher.name) for labels in samples}
            wanted = matcher.value.split("|")
            assert any(value in values for value in wanted), f"{place}: {metric.name} has no {matcher}: {values}"
    assert grouped <= there, f"{place}: {grouped - there} are no labels of it"


def test_the_dashboard_imports(busy):
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 36 and dashboard["id"] is None and dashboard["uid"]
    source = next(one for one in dashboard["templating"]["list"] if one["type"] == "datasource")
    assert source["name"] == "datasource" and source["query"] == "prometheus"
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert titles == ["Overview", "Doors", "Sources", "Views", "Services", "Process"]
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"


def test_the_alerts_are_rules_of_prometheus():
    names = []
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert re.fullmatch(r"(\d+(ms|[smhdwy]))+", rule.get("for", "1m"))
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["summary"]
            names.append(rule["alert"])
    assert len(set(names)) == len(names)
    for objective in ["availability", "latency_p99", "freshness", "agreement"]:
        assert any(f'objective="{objective}"' in expression for _, expression in expressions())
    job = yaml.safe_load(SCRAPE.read_text())["scrape_configs"][0]
    assert job["job_name"] == "thalweg" and job["authorization"]["type"] == "Bearer"


def test_the_page_lists_every_metric(busy):
    """Every family of a scrape is a row of a table in the docs, and every row is a family."""
    listed = set(re.findall(r"^\| `((?:thalweg|process)_[a-z0-9_]+)` \|", DOCS.read_text(), re.MULTILINE))
    ends = {"counter": "_total", "info": "_info"}
    there = {name + ends.get(kind, "") for name, kind in scrape(busy).kinds.items()}
    assert there == listed
