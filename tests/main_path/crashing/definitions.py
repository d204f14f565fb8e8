"""The project that crashes are tried on: every kind of source, and views that can be added while it runs."""

import thalweg as tw

EVENT_SOURCES = ("payments", "clicks", "blobs")
BASE_VIEWS = {"payments": "spend", "clicks": "visits", "blobs": "bulk", "accounts": "holdings"}
"""The view that every version of the project has over a source."""
DIRECT = ("users__counter", "users__score", "users__seen")
SOURCES = (*EVENT_SOURCES, "accounts", *DIRECT)
USERS = tuple(f"u{number}" for number in range(12))
REGIONS = tuple(f"r{number}" for number in range(5))
BY_USER, BY_REGION = "by_user", "by_region"


def project(extra: dict[str, str]) -> tw.Project:
    """The project with some further views, each by its name and the source that it is over."""
    user = tw.Entity("user", keys={"user": tw.string})
    region = tw.Entity("region", keys={"region": tw.string})
    sources = {"payments": _payments(), "clicks": _clicks(), "blobs": _blobs(), "accounts": _accounts()}

    def view(name: str, source: str) -> tw.FeatureView:
        entity = region if source == "accounts" else user
        return tw.FeatureView(name, entity=entity, source=sources[source], features=_features(source))

    views = {name: view(name, source) for source, name in BASE_VIEWS.items()}
    views |= {name: view(name, source) for name, source in extra.items()}
    regional = [one for name, one in views.items() if {**_origins(), **extra}[name] == "accounts"]
    direct = [
        tw.DirectFeature("counter", entity=user, primitive=int, namespace="users", keep_previous=1),
        tw.DirectFeature("score", entity=user, primitive=float, namespace="users"),
        tw.DirectFeature("seen", entity=user, primitive=list[int], namespace="users"),
    ]
    of_users = [one for one in views.values() if one not in regional]
    services = [
        tw.FeatureService(BY_USER, features=[*of_users, *direct]),
        tw.FeatureService(BY_REGION, features=regional),
    ]
    return tw.Project("crashes", services)


def _origins() -> dict[str, str]:
    return {view: source for source, view in BASE_VIEWS.items()}


def _features(source: str) -> dict[str, object]:
    if source == "accounts":
        return {
            "rows": tw.count(),
            "total": tw.sum("balance"),
            "ids": tw.distinct_count("id"),
            "largest": tw.max("balance"),
        }
    return {
        "rows": tw.count(),
        "total": tw.sum("amount"),
        "ids": tw.distinct_count("mark"),
        "newest": tw.last("mark"),
        "recent": tw.sum("amount", over="2s"),
        "mean": tw.mean("amount", over="1m"),
    }


def _columns() -> dict[str, object]:
    return {
        "mark": tw.Column(tw.int64, required=True),
        "user": tw.Column(tw.string, required=True),
        "at": tw.Column(tw.timestamp, required=True),
        "amount": tw.Column(tw.int64, min=0),
    }


def _payments() -> tw.EventSource:
    return tw.EventSource("payments", schema=_columns(), timestamp="at")


def _clicks() -> tw.EventSource:
    schema = {**_columns(), "kind": tw.string}
    dedup = tw.Dedup(["mark"], within="1d")
    return tw.EventSource("clicks", schema=schema, timestamp="at", dedup=dedup, filter="kind <> 'noise'")


def _blobs() -> tw.EventSource:
    return tw.EventSource("blobs", schema={**_columns(), "body": tw.string}, timestamp="at")


def _accounts() -> tw.ChangeSource:
    schema = {
        "id": tw.int64,
        "op": tw.string,
        "region": tw.string,
        "balance": tw.int64,
        "at": tw.timestamp,
        "mark": tw.int64,
    }
    return tw.ChangeSource("accounts", schema=schema, timestamp="at", primary_key=["id"], operation="op")
