"""The page of metrics, read by the parser of Prometheus' own Python client."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from .http_json import Httpx

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Prometheus(Httpx):
    def answered_reads(self) -> float:
        """The reads over HTTP that were answered."""
        _, page = self.send("GET", "/metrics", headers={"accept": OPENMETRICS})
        wanted = {"door": "http", "operation": "read", "code": "OK"}
        samples = [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]
        found = [one.value for one in samples if one.name == "thalweg_requests_total" and one.labels == wanted]
        assert len(found) <= 1, found
        return sum(found)
