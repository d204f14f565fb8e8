"""What Thalweg serves in these tests: drivers, by the names and types under which `feast_repo.py` declares them."""

from __future__ import annotations

import thalweg as tw

DRIVER = tw.Entity("driver", keys={"driver_id": tw.int64})
KEY = tw.Column(tw.int64, required=True)
TIME = tw.Column(tw.timestamp, required=True)


def project() -> tw.Project:
    # The event time has a name of its own: Feast's client sends it as `event_timestamp` whatever it is called.
    moves = tw.EventSource(
        "driver_moves",
        schema={
            "driver_id": KEY,
            "trips": tw.int64,
            "rate": tw.Column(tw.float64, min=0),
            "city": tw.string,
            "ok": tw.bool_,
            "since": tw.timestamp,
            "scores": tw.list_of(tw.float64),
            "moved_at": TIME,
        },
        timestamp="moved_at",
    )
    columns = ("trips", "rate", "city", "ok", "since", "scores")
    stats = tw.FeatureView(
        "driver_stats", entity=DRIVER, source=moves, features={name: tw.latest(name) for name in columns}
    )
    totals = tw.FeatureView(
        "driver_totals", entity=DRIVER, source=moves, features={"trips": tw.sum("trips"), "rows": tw.count()}
    )
    pings = tw.EventSource(
        "driver_pings",
        schema={"driver_id": KEY, "load": tw.float64, "event_timestamp": TIME},
        timestamp="event_timestamp",
    )
    load = tw.FeatureView(
        "driver_load", entity=DRIVER, source=pings, features={"load": tw.latest("load")}, staleness="1h"
    )
    sum_trips = tw.OnDemand("sum_trips", "driver_stats.trips + request.extra", request={"extra": tw.int64})
    risk = tw.FeatureService("driver_risk", features=[stats["trips"], stats["rate"], sum_trips])
    return tw.Project("drivers", [risk, totals, load])
