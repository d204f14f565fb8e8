"""Will this flight arrive more than fifteen minutes late? The same model with and without the windowed features.

Trained on the first three quarters of the training set's time and judged on the last: a model is never asked about a
time from which it has seen flights.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.metrics import roc_auc_score

PLAIN = ["carrier", "origin", "dest", "hour", "weekday", "distance", "scheduled_minutes"]
TRAINED_SHARE = 0.75
SETTINGS = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 100,
    "colsample_bytree": 0.6,
    "random_state": 13,
    # Threads of OpenMP wait for each other by spinning, which costs minutes where other work has the cores.
    "n_jobs": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass
class Outcome:
    """How late the judged flights were thought to be, by which columns, and how well that puts them in order."""

    name: str
    late: np.ndarray
    scores: np.ndarray
    # The columns that mattered most, the first first.
    leading: list[str]

    @property
    def auc(self) -> float:
        return float(roc_auc_score(self.late, self.scores))


def with_and_without(training_set: pa.Table, features: list[str]) -> tuple[Outcome, Outcome]:
    """The outcome with the platform's features, and the one with no more than the schedule."""
    rows = training_set.select([*PLAIN, *features, "ask_at", "late"]).to_pandas().sort_values("ask_at", kind="stable")
    before = rows.ask_at <= rows.ask_at.iloc[int(len(rows) * TRAINED_SHARE)]
    late = rows.late.astype(bool)
    columns = as_numbers(rows[[*PLAIN, *features]])
    return (
        judged("with windowed features", columns, late, before),
        judged("schedule only", columns[PLAIN], late, before),
    )


def judged(name: str, columns: pd.DataFrame, late: pd.Series, before: pd.Series) -> Outcome:
    model = lightgbm.LGBMClassifier(**SETTINGS).fit(columns[before], late[before])
    order = np.argsort(model.booster_.feature_importance("gain"))[::-1]
    scores = model.predict_proba(columns[~before])[:, 1]
    return Outcome(name, late[~before].to_numpy(), scores, [columns.columns[each] for each in order[:8]])


def as_numbers(columns: pd.DataFrame) -> pd.DataFrame:
    """Text as categories, all else as numbers; nulls stay nulls, which the model can use."""
    text = columns.select_dtypes(["object", "string"]).columns
    return columns.astype({name: "category" if name in text else "float32" for name in columns})
