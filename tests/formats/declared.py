"""What the data directories of v1 declare: every kind of accumulator, key, source and direct feature there is.

Kept as it was when `v1/` was written. A later format gets declarations of its own.
"""

import thalweg as tw

PAYMENTS = {
    "id": tw.Column(tw.string, required=True),
    "user": tw.string,
    "at": tw.timestamp,
    "known_at": tw.timestamp,
    "amount": tw.float64,
    "cents": tw.decimal(12, 2),
    "n": tw.int64,
    "small": tw.Column(tw.int32, max=100),
    "ratio": tw.float32,
    "kind": tw.string,
    "flag": tw.bool_,
    "day": tw.date,
    "seen": tw.timestamp,
    "blob": tw.bytes_,
    "tags": tw.list_of(tw.string),
    "place": tw.vector(3),
    "currency": tw.string,
    "test": tw.bool_,
}
ACCOUNTS = {
    "id": tw.int64,
    "op": tw.string,
    "at": tw.timestamp,
    "known_at": tw.timestamp,
    "user": tw.string,
    "balance": tw.float64,
    "cents": tw.decimal(12, 2),
    "plan": tw.string,
    "active": tw.bool_,
}
CLICKS = {"user": tw.string, "at": tw.timestamp, "page": tw.string}

# What SQL that is not a bare column means: a function of a row, and its type.
EXPRESSIONS = {
    "n > 0": (lambda row: None if row["n"] is None else row["n"] > 0, "bool"),
    "amount * 2": (lambda row: None if row["amount"] is None else row["amount"] * 2, "float64"),
    "upper(currency)": (lambda row: None if row["currency"] is None else row["currency"].upper(), "string"),
    "n IS NULL OR n > -1000": (lambda row: row["n"] is None or row["n"] > -1000, "bool"),
    "test IS NOT TRUE": (lambda row: row["test"] is not True, "bool"),
}


def every_aggregation(over, **options):
    """All of them, over columns of many types, with filters and keys."""
    given = {"over": over, **options}
    return {
        "rows": tw.count(**given),
        "rows_of_kinds": tw.count(by="kind", **given),
        "some": tw.count("blob", **given),
        "total_n": tw.sum("n", where="n > 0", **given),
        "total_cents": tw.sum("cents", **given),
        "total": tw.sum("amount", **given),
        "total_by": tw.sum("amount", by="small", **given),
        "twice": tw.sum("amount * 2", where="flag", **given),
        "mean": tw.mean("ratio", **given),
        "mean_cents": tw.mean("cents", **given),
        "least": tw.min("amount", **given),
        "most": tw.max("kind", **given),
        "most_by": tw.max("day", by="flag", **given),
        "var": tw.var("amount", **given),
        "std": tw.std("n", ddof=0, **given),
        "std_cents": tw.std("cents", **given),
        "skew": tw.skew("ratio", **given),
        "kurtosis": tw.kurtosis("small", **given),
        "first": tw.first("tags", **given),
        "last": tw.last("place", **given),
        "first_k": tw.first_k("seen", k=3, **given),
        "last_k": tw.last_k("blob", k=2, **given),
        "top": tw.top_k("amount", k=3, **given),
        "bottom": tw.bottom_k("cents", k=2, **given),
        "bottom_by": tw.bottom_k("n", k=2, by="day", **given),
        "distinct": tw.distinct_count("small", **given),
        "counts": tw.value_counts("kind", **given),
        "counts_of_times": tw.value_counts("seen", where="flag", **given),
        "about_few": tw.approx_distinct("id", lg_k=12, **given),
        "about_many": tw.approx_distinct("n", lg_k=4, **given),
        "half": tw.approx_quantile("amount", quantile=0.5, relative_error=0.05, **given),
        "latest": tw.latest("currency", **given),
    }


def project(later=False, mended=False):
    """The project as it was first, and as it was `later`: with a column and a feature more. The mended one sets no row
    aside for what is in `small`."""
    schema = PAYMENTS | ({"country": tw.string} if later else {}) | ({"small": tw.int32} if mended else {})
    payments = tw.EventSource(
        "payments",
        schema=schema,
        timestamp="at",
        arrival_time="known_at",
        dedup=tw.Dedup(["id"], within="1d"),
        steps=[
            tw.Transform("currency", "upper(currency)"),
            tw.Validate("n IS NULL OR n > -1000", reason="n is far too small"),
        ],
        filter="test IS NOT TRUE",
    )
    accounts = tw.ChangeSource(
        "accounts", schema=ACCOUNTS, timestamp="at", arrival_time="known_at", primary_key=["id"], operation="op"
    )
    clicks = tw.EventSource("clicks", schema=CLICKS, timestamp="at")
    user = tw.Entity("user", keys={"user": tw.string})
    keys = {"kind": tw.string, "flag": tw.bool_, "small": tw.int32, "day": tw.date, "cents": tw.decimal(12, 2)}
    shelf = tw.Entity("shelf", keys={**keys, "blob": tw.bytes_, "ratio": tw.float32})
    bounded = every_aggregation(["1d", tw.Sliding("6h", hop="1h")])
    if later:
        bounded["countries"] = tw.value_counts("country", over="7d")
    changed = {
        "accounts": tw.count(),
        "paying": tw.count(over="7d", where="active"),
        "balance": tw.sum("balance"),
        "richest": tw.max("balance", over="2d"),
        "poorest": tw.min("cents"),
        "newest_plan": tw.last("plan"),
        "plans": tw.value_counts("plan", over="2d"),
        "best": tw.top_k("balance", k=2, by="plan"),
        "distinct": tw.distinct_count("plan"),
    }
    views = [
        tw.FeatureView("bounded", entity=user, source=payments, features=bounded, retention="30d"),
        tw.FeatureView("lifetime", entity=user, source=payments, features=every_aggregation(None), nan="keep"),
        tw.FeatureView("changed", entity=user, source=accounts, features=changed),
        tw.FeatureView(
            "shelves", entity=shelf, source=payments, features={"rows": tw.count(), "total": tw.sum("n", over="7d")}
        ),
        tw.FeatureView(
            "browsing",
            entity=user,
            source=clicks,
            features={"rows": tw.count(over="30d"), "page": tw.last("page", over="30d")},
            staleness="12h",
        ),
    ]
    direct = [
        tw.DirectFeature("visits", entity=user, primitive=int, namespace="users", keep_previous=2),
        tw.DirectFeature("pages", entity=user, primitive=list[str], namespace="users"),
        tw.DirectFeature(
            "spent", entity=user, primitive=float, namespace="users", aggregations=["sum", "count"], over="1d"
        ),
    ]
    before = [direct[0].previous(1), direct[0].previous(2)]
    over = tw.OnDemand("over", "bounded.total_1d - request.limit", request={"limit": tw.float64})
    of_user = [view for view in views if view.name != "shelves"]
    services = [
        tw.FeatureService("everything", features=[*of_user, *direct, *before, over], log_sample=1.0),
        tw.FeatureService("shelving", features=[views[3]], log_sample=1.0),
    ]
    return tw.Project("shop", services)
