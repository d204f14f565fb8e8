"""The project that `thalweg init` writes: small, working, and meant to be changed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .errors import ThalwegError
from .loading import DEFINITIONS, SETTINGS
from .schema import infer_schema, schema_source
from .sources import Column
from .types import int32, int64, string, timestamp

SAMPLE = "payments.ndjson"


def write_project(directory: Path, sample: Path | None = None) -> list[Path]:
    """Writes a project into a directory; the files written.

    Args:
        directory: created where there is none; its name becomes the project's.
        sample: a file of events. Left out, the project is about payments, and comes with a file of them.

    Raises:
        ThalwegError: one of the files is there already (nothing is written then), or the sample cannot be read.
    """
    name = re.sub(r"[^a-z0-9]+", "_", directory.resolve().name.lower()).strip("_") or "project"
    files = _payments(name) if sample is None else _from_sample(name, sample)
    for file in files:
        if (directory / file).exists():
            raise ThalwegError(f"{directory / file} is there already; name a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (directory / file).write_text(text, encoding="utf-8")
    return [directory / file for file in files]


def _payments(name: str) -> dict[str, str]:
    return {
        DEFINITIONS: _PAYMENTS,
        SETTINGS: _SETTINGS.format(name=name, definitions=DEFINITIONS),
        SAMPLE: _sample_events(),
        "README.md": _README.format(
            name=name,
            source="payments",
            file=SAMPLE,
            service="card_risk",
            key="card=c1 amount=80",
            asked='{"card": ["c1"]}, request={"amount": [80.0]}',
        ),
    }


def _from_sample(name: str, sample: Path) -> dict[str, str]:
    schema = infer_schema(sample)
    source = re.sub(r"[^a-z0-9]+", "_", sample.stem.lower()).strip("_") or "events"
    time = next((column for column, declared in schema.items() if declared.type == timestamp), None)
    if time is None:
        raise ThalwegError(
            f"{sample} has no column of times; add one, or start from `thalweg init` and write the schema yourself"
        )
    key = _likely_key(schema)
    definitions = _FROM_SAMPLE.format(
        sample=sample.name,
        source=source,
        schema=schema_source(schema),
        timestamp=json.dumps(time, ensure_ascii=False),
        key=json.dumps(key, ensure_ascii=False),
        key_type=schema[key].type.source,
        entity=re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_"),
    )
    return {
        DEFINITIONS: definitions,
        SETTINGS: _SETTINGS.format(name=name, definitions=DEFINITIONS),
        "README.md": _README.format(
            name=name,
            source=source,
            file=sample.resolve().as_posix(),
            service=f"{source}_model",
            key=f"{key}=VALUE",
            asked=f"{{{json.dumps(key, ensure_ascii=False)}: [value]}}",
        ),
    }


def _likely_key(schema: dict[str, Column]) -> str:
    """The first column that could name an entity: of text, or else a whole number."""
    for kinds in ((string,), (int64, int32)):
        for name, column in schema.items():
            if column.type in kinds:
                return name
    raise ThalwegError("the sample has no column of text or whole numbers that could name an entity")


def _sample_events() -> str:
    """Ten days of payments with three cards, in a pattern rather than at random."""
    start = datetime(2024, 3, 1, 8, tzinfo=UTC)
    lines = []
    for number in range(60):
        lines.append(
            json.dumps(
                {
                    "id": f"p{number:03}",
                    "card": f"c{1 + number % 3}",
                    "amount": round(5 + (number * 37 % 200) * 1.25, 2),
                    "country": ("CH", "DE", "FR")[number * 7 % 5 % 3],
                    "declined": number % 11 == 0,
                    "paid_at": (start + timedelta(hours=4 * number, minutes=number * 13 % 60)).isoformat(),
                }
            )
        )
    return "\n".join(lines) + "\n"


_SETTINGS = """\
[project]
name = "{name}"
definitions = "{definitions}"
"""

_PAYMENTS = '''\
"""What the platform knows about payments. `thalweg plan` checks this file, `thalweg apply` makes it live."""

import thalweg as tw

card = tw.Entity("card", keys={"card": tw.string}, description="A payment card.")

payments = tw.EventSource(
    "payments",
    schema={
        "id": tw.Column(tw.string, required=True),
        "card": tw.Column(tw.string, required=True),
        "amount": tw.Column(tw.float64, min=0, description="In euros."),
        "country": tw.string,
        "declined": tw.bool_,
        "paid_at": tw.Column(tw.timestamp, required=True),
    },
    timestamp="paid_at",
    dedup=tw.Dedup(["id"], within="2d"),
    description="Every attempt to pay, declined ones included.",
)

card_payments = tw.FeatureView(
    "card_payments",
    entity=card,
    source=payments,
    features={
        "attempts": tw.count(over=["1h", "1d", "7d"]),
        "declined": tw.count(over="7d", where="declined"),
        "amount_mean": tw.mean("amount", over="7d", where="NOT declined"),
        "amount_max": tw.max("amount", over="7d", where="NOT declined"),
        "countries": tw.distinct_count("country", over="7d"),
        "last_country": tw.last("country", over="7d"),
    },
    description="How a card has been used lately.",
)

amount_ratio = tw.OnDemand(
    "amount_ratio",
    "request.amount / card_payments.amount_mean_7d",
    request={"amount": tw.float64},
    description="How unusual this amount is for the card.",
)

card_risk = tw.FeatureService("card_risk", features=[card_payments, amount_ratio], log_sample=1.0)
'''

_FROM_SAMPLE = '''\
"""Definitions begun from {sample}. `thalweg plan` checks this file, `thalweg apply` makes it live."""

import thalweg as tw

# The first column that could name an entity: choose the one that your features are about.
{entity} = tw.Entity("{entity}", keys={{{key}: tw.{key_type}}})

{source} = tw.EventSource(
    "{source}",
    # As in the sample; `required` where it has no nulls.
    schema={schema},
    timestamp={timestamp},
)

{source}_by_{entity} = tw.FeatureView(
    "{source}_by_{entity}",
    entity={entity},
    source={source},
    features={{
        "events": tw.count(over=["1d", "7d"]),
    }},
)

{source}_model = tw.FeatureService("{source}_model", features=[{source}_by_{entity}])
'''

_README = """\
# {name}

`features.py` says what there is: where events come from, which features are computed from them, and what a model reads.

```sh
thalweg serve --clock events &      # time is that of the events, so that old ones are recent
thalweg plan                        # check the definitions, and show what would change
thalweg apply                       # make the definitions live
thalweg load {source} {file} --backfill
thalweg get {service} {key}
```

From Python:

```python
import thalweg as tw

client = tw.connect()
client.features("{service}", {asked}).to_pandas()
```
"""
