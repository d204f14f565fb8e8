"""What the example defines: a risk score that a service elsewhere computes, payments, and what a decision reads.

The score is fetched when a decision needs it and the last one is too old. What was fetched is written down, so that the
training set has the very scores that decisions were made with.
"""

import thalweg as tw

FRESHNESS_SECONDS = 2
STALENESS_SECONDS = 5
TIMEOUT_SECONDS = 0.3

user = tw.Entity("user", keys={"user": tw.string}, description="who pays")

payments = tw.EventSource(
    "payments",
    schema={
        "id": tw.Column(tw.string, required=True),
        "user": tw.Column(tw.string, required=True),
        "amount": tw.Column(tw.float64, required=True),
        "currency": tw.Column(tw.string, required=True),
        "paid_at": tw.Column(tw.timestamp, required=True),
    },
    timestamp="paid_at",
    steps=[
        tw.Validate("amount > 0", reason="a payment is of more than nothing"),
        tw.Transform("currency", "upper(currency)"),
    ],
    description="a payment was made; others call the same currency eur and EUR",
)

spending = tw.FeatureView(
    "spending",
    entity=user,
    source=payments,
    features={"paid": tw.sum("amount", over="1h"), "currency": tw.latest("currency")},
)


def project(scores_url: str) -> tw.Project:
    """The definitions, with scores from the service at this address."""
    score = tw.DirectFeature(
        "score",
        entity=user,
        primitive=float,
        namespace="risk",
        keep_previous=1,
        freshness=f"{FRESHNESS_SECONDS}s",
        staleness=f"{STALENESS_SECONDS}s",
        timeout=f"{round(TIMEOUT_SECONDS * 1000)}ms",
        fetch=tw.Fetch(f"{scores_url}/scores/{{user}}", field="/score"),
        description="how likely the user does not pay, by the service of another team",
    )
    band = tw.bucketize("score_band", score, boundaries=[0.2, 0.5, 0.8], namespace="risk")
    decision = tw.FeatureService("decision", features=[score, band, spending], log_sample=1.0)
    return tw.Project("request_time", [decision])
