"""Objectives: what is promised and measured, and the webhook that hears of breaches and recoveries."""

import json
import time

from monitored_server import rows, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ENOUGH_READS = 150


def told(webhook, objective):
    bodies = [json.loads(body) for body in webhook.bodies]
    return [body for body in bodies if body["objective"] == objective]


def samples(server, name):
    families = text_string_to_metric_families(server.metrics().text)
    return {
        (sample.labels["objective"], sample.labels["view"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_all_objectives_are_shown_and_equal_their_metrics(serve):
    server = serve(agreement_interval="off")
    assert {server.objective(name)["state"] for name in ("availability", "latency_p99", "agreement")} == {"no_data"}
    server.push(rows(0, 5))
    for _ in range(ENOUGH_READS):
        server.read()
    availability, freshness = server.objective("availability"), server.objective("freshness")
    assert (availability["target"], availability["measured"], availability["state"]) == (0.999, 1.0, "met")
    assert availability["unit"] == "ratio" and availability["samples"] == ENOUGH_READS + 1
    assert freshness["target"] == 300 and 0 < freshness["measured"] < 300 and freshness["samples"] == 1
    assert server.objective("latency_p99")["target"] == 0.01
    view = server.objective("freshness", view="spend")
    assert view["target"] == 86_400 and 0 < view["measured"] < 600 and view["state"] == "met"
    assert samples(server, "thalweg_objective_target")["freshness", "spend"] == 86_400
    assert samples(server, "thalweg_objective_measured")["availability", ""] == 1.0
    assert samples(server, "thalweg_objective_breached")["availability", ""] == 0


def test_a_refusal_does_not_count_against_availability(serve):
    server = serve(agreement_interval="off")
    for _ in range(ENOUGH_READS):
        assert server.read(service="missing").status == 404
    availability = server.objective("availability")
    assert (availability["measured"], availability["samples"]) == (1.0, ENOUGH_READS)


def test_a_breach_and_its_recovery_are_told_once_each(serve, sink):
    webhook = sink()
    server = serve(
        alert_webhook=f"{webhook.url}/hook",
        objective_latency_p99="1us",
        objective_window="10s",
        agreement_interval="off",
    )
    server.push(rows(0, 5))
    for _ in range(ENOUGH_READS):
        server.read()
    wait_until(lambda: told(webhook, "latency_p99"))
    assert server.objective("latency_p99")["state"] == "breached"
    # Nobody reads any more, so that the window empties.
    wait_until(lambda: len(told(webhook, "latency_p99")) == 2)
    breach, recovery = told(webhook, "latency_p99")
    assert (breach["event"], breach["state"]) == ("breached", "breached")
    assert (breach["target"], breach["unit"]) == (1e-6, "seconds")
    assert breach["measured"] > 1e-6 and breach["samples"] >= 100
    assert breach["server"] == server.url.removeprefix("http://") and "latency_p99 breached" in breach["text"]
    assert recovery["event"] == "recovered" and recovery["state"] == "no_data"
    assert set(webhook.paths) == {"/hook"}
    assert "an objective is breached" in server.log.read_text()
    for _ in range(ENOUGH_READS):
        server.read()
    wait_until(lambda: server.objective("latency_p99")["state"] == "breached")
    time.sleep(2)
    assert len(told(webhook, "latency_p99")) == 2, "a second breach within five minutes is not told"


def test_a_webhook_that_fails_is_tried_again(serve, sink):
    webhook = sink(503, 500)
    server = serve(
        alert_webhook=webhook.url, objective_freshness="1us", objective_window="1h", agreement_interval="off"
    )
    server.push(rows(0, 1))
    attempts = wait_until(lambda: len(told(webhook, "freshness")) == 3 and told(webhook, "freshness"))
    assert attempts[0] == attempts[1] == attempts[2]

    def delivered():
        return 'thalweg_alerts_total{outcome="delivered"} 1\n' in server.metrics().text

    wait_until(delivered)


def test_agreement_is_measured_in_the_background(serve):
    server = serve(serve_log=1.0, agreement_interval="1s")
    server.push(rows(0, 5))
    for _ in range(3):
        assert server.read(users=["u1", "u2"]).status == 200
    agreement = wait_until(lambda: (one := server.objective("agreement"))["state"] == "met" and one)
    assert agreement["measured"] == 1.0 and agreement["samples"] > 0


def test_without_a_webhook_nothing_is_sent(serve, sink):
    webhook = sink()
    server = serve(objective_freshness="1us", agreement_interval="off")
    server.push(rows(0, 1))
    wait_until(lambda: server.objective("freshness")["state"] == "breached")
    assert webhook.bodies == []
