"""The example's two pictures: what the windowed features are worth, and that live and training values are one."""

from pathlib import Path

import matplotlib
import pyarrow as pa
import pyarrow.compute as pc
from model import Outcome
from sklearn.metrics import roc_curve

FEATURE = "carrier_arrivals__arr_delay_mean_7d"
BLUE, ORANGE, GREY = "#1f6f8b", "#d9772b", "#8a8f94"


def roc(outcomes: tuple[Outcome, Outcome], to: Path) -> Path:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 5.5))
    for outcome, colour in zip(outcomes, (BLUE, ORANGE), strict=True):
        false, true, _ = roc_curve(outcome.late, outcome.scores)
        axes.plot(false, true, color=colour, label=f"{outcome.name}: AUC {outcome.auc:.3f}")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    axes.set(
        title="More than 15 minutes late? Judged on the last quarter",
        xlabel="on time, but called late",
        ylabel="late, and called so",
    )
    axes.legend(loc="lower right", frameon=False)
    return saved(figure, to)


def live_against_training(live: pa.Table, arrival: pa.Table, event_time: pa.Table, carrier: str, to: Path) -> Path:
    """A carrier's delay as served and as the training set has it, and what knowing late events early would change."""
    of_carrier = pc.equal(live["carrier"], carrier)
    served, known, happened = (
        table.filter(of_carrier).select(["served_at", FEATURE]).to_pandas().drop_duplicates("served_at")
        for table in (live, arrival, event_time)
    )
    plt = pyplot()
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, height_ratios=[3, 1])
    above.plot(known.served_at, known[FEATURE], color=BLUE, linewidth=1.2, label='training set, as_of="arrival"')
    above.plot(served.served_at, served[FEATURE], ".", color=ORANGE, markersize=3, label="served during the replay")
    above.set(title=f"{carrier}: mean arrival delay over seven days", ylabel="minutes")
    above.legend(frameon=False)
    below.plot(happened.served_at, happened[FEATURE] - served[FEATURE], color=GREY, linewidth=0.8)
    below.set(ylabel="minutes", title='what late events would add: as_of="event_time" less what was served')
    figure.autofmt_xdate()
    return saved(figure, to)


def pyplot():
    """Pyplot, drawing to files where there is no notebook to draw in."""
    import sys

    if "ipykernel" not in sys.modules:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def saved(figure, to: Path) -> Path:
    figure.tight_layout()
    figure.savefig(to, dpi=120)
    pyplot().close(figure)
    return to
