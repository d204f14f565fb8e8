"""Thalweg: one definition of a feature, and one engine that computes it live, in training sets and in the notebook.

Declare what there is:

    import thalweg as tw

    carrier = tw.Entity("carrier", keys={"carrier": tw.string})
    departures = tw.EventSource(
        "departures",
        schema={"carrier": tw.string, "dep_delay": tw.float64, "event_time": tw.timestamp},
        timestamp="event_time",
    )
    carrier_delays = tw.FeatureView(
        "carrier_delays",
        entity=carrier,
        source=departures,
        features={"flights": tw.count(over=["1h", "1d"]), "delay_mean": tw.mean("dep_delay", over="7d")},
    )
    arrival_delay = tw.FeatureService("arrival_delay", features=[carrier_delays])

and use it, on a server (`tw.connect("http://...")`) or in the process:

    with tw.Engine("data") as engine:
        engine.apply(tw.Project("flights", [arrival_delay]))
        engine.push("departures", frame)
        engine.features("arrival_delay", {"carrier": ["AA"]}).to_pandas()
        engine.training_set("arrival_delay", spine, timestamp="scheduled").to_pandas()

A feature at query time `q` sees the events before `q`, never those at it or after. All times are UTC, in microseconds.
Definitions work without the native module; compiling, the engine and the command line need it.
"""

from .aggregations import (
    approx_distinct,
    approx_quantile,
    bottom_k,
    count,
    distinct_count,
    first,
    first_k,
    kurtosis,
    last,
    last_k,
    latest,
    mean,
    skew,
    std,
    top_k,
    value_counts,
    var,
)
from .aggregations import max as max
from .aggregations import min as min
from .aggregations import sum as sum
from .async_client import AsyncClient
from .client import Client
from .connecting import connect
from .direct import DirectFeature, Fetch
from .encoders import bucketize, fill, one_hot, standardize
from .engine import Engine
from .errors import DefinitionError, Overloaded, Problem, ServerError, ThalwegError
from .features import Feature
from .loading import load_project
from .project import Compiled, Project
from .results import CheckResult, FeatureVector, Plan, PushResult, RowError, TrainingSetResult
from .schema import infer_schema
from .services import FeatureService, OnDemand, TrainingSet
from .sources import ChangeSource, Column, Dedup, Entity, EventSource
from .steps import Transform, Validate
from .types import (
    DataType,
    bool_,
    bytes_,
    date,
    decimal,
    float32,
    float64,
    int32,
    int64,
    list_of,
    string,
    timestamp,
    vector,
)
from .views import FeatureRef, FeatureView
from .windows import Sliding, ToDate, Tumbling, Unbounded

__version__ = "0.1.0"

# `max`, `min` and `sum` are for `tw.sum(...)`: a star import must not replace Python's own.
__all__ = [
    "AsyncClient",
    "ChangeSource",
    "CheckResult",
    "Client",
    "Column",
    "Compiled",
    "DataType",
    "Dedup",
    "DefinitionError",
    "DirectFeature",
    "Engine",
    "Entity",
    "EventSource",
    "Feature",
    "FeatureRef",
    "FeatureService",
    "FeatureVector",
    "FeatureView",
    "Fetch",
    "OnDemand",
    "Overloaded",
    "Plan",
    "Problem",
    "Project",
    "PushResult",
    "RowError",
    "ServerError",
    "Sliding",
    "ThalwegError",
    "ToDate",
    "TrainingSet",
    "TrainingSetResult",
    "Transform",
    "Tumbling",
    "Unbounded",
    "Validate",
    "__version__",
    "approx_distinct",
    "approx_quantile",
    "bool_",
    "bottom_k",
    "bucketize",
    "bytes_",
    "connect",
    "count",
    "date",
    "decimal",
    "distinct_count",
    "fill",
    "first",
    "first_k",
    "float32",
    "float64",
    "infer_schema",
    "int32",
    "int64",
    "kurtosis",
    "last",
    "last_k",
    "latest",
    "list_of",
    "load_project",
    "mean",
    "one_hot",
    "skew",
    "standardize",
    "std",
    "string",
    "timestamp",
    "top_k",
    "value_counts",
    "var",
    "vector",
]
