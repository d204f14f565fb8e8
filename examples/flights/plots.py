"""The example's pictures: that live and training values are one, and what the windowed features are worth.

The notebook shows them one by one, `roc` and `live_against_training`; the demo draws both into one, `summary`.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from model import Outcome
from sklearn.metrics import roc_curve

FEATURE = "carrier_arrivals__arr_delay_mean_7d"
BLUE, ORANGE, GREY, INK = "#17658a", "#e07a2f", "#a3abb2", "#2b3238"
HEIGHTS = [3, 1.2]
STYLE = {
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e8ebed",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


@dataclass
class Paths:
    """The same questions answered in three ways: live, and in training sets as of arrival and as of event time."""

    live: pa.Table
    arrival: pa.Table
    event_time: pa.Table

    @property
    def busiest(self) -> str:
        """The carrier that was asked about most."""
        return max(self.live["carrier"].value_counts().to_pylist(), key=lambda each: each["counts"])["values"]

    def of_carrier(self, carrier: str) -> pd.DataFrame:
        """The carrier's values by the moment of the question: a column for each way."""
        rows = {"at": self.live["served_at"]}
        rows |= {name: getattr(self, name)[FEATURE] for name in ("live", "arrival", "event_time")}
        mine = pa.table(rows).filter(pc.equal(self.live["carrier"], carrier))
        return mine.to_pandas().drop_duplicates("at").set_index("at")


def roc(outcomes: tuple[Outcome, Outcome], to: Path) -> Path:
    with styled() as plt:
        figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
        draw_roc(axes, outcomes)
        return saved(figure, to)


def live_against_training(paths: Paths, carrier: str, to: Path) -> Path:
    with styled() as plt:
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(9, 6), sharex=True, height_ratios=[3, 1.2], layout="constrained"
        )
        draw_live(above, below, paths, carrier)
        return saved(figure, to)


def summary(paths: Paths, outcomes: tuple[Outcome, Outcome], title: str, to: Path) -> Path:
    """Both pictures in one, for the whole story at a glance."""
    with styled() as plt:
        figure = plt.figure(figsize=(13, 5.6), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[2.1, 1], height_ratios=HEIGHTS)
        above = figure.add_subplot(grid[0, 0])
        below = figure.add_subplot(grid[1, 0], sharex=above)
        above.tick_params(labelbottom=False)
        draw_live(above, below, paths, paths.busiest)
        draw_roc(figure.add_subplot(grid[:, 1]), outcomes)
        figure.get_layout_engine().set(rect=(0, 0, 1, 0.925))
        figure.text(0.009, 0.975, title, va="top", fontsize=14, fontweight="bold", in_layout=False)
        figure.align_ylabels([above, below])
        return saved(figure, to)


def draw_live(above, below, paths: Paths, carrier: str) -> None:
    """A carrier's delay as served and as the training set has it, and what knowing late events early would change."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    values = paths.of_carrier(carrier)
    every = max(1, len(values) // 120)
    above.axhline(0, color=GREY, linewidth=0.8)
    above.plot(values.arrival, color=BLUE, linewidth=1.6, label='training set, as_of="arrival"')
    # Dots for some of the answers: all of them would hide the line that they lie on.
    above.plot(values.live.iloc[::every], "o", color=ORANGE, markersize=3.6, label="served live during the replay")
    above.set(title=f"Live is training: {carrier}'s mean arrival delay over the last 7 days", ylabel="minutes")
    low, high = above.get_ylim()
    # Room for the legend, wherever the line goes.
    above.set_ylim(low, high + 0.12 * (high - low))
    above.legend(loc="upper left", ncols=2, borderaxespad=0.2)
    leak = values.event_time - values.live
    below.axhline(0, color=GREY, linewidth=0.8)
    below.fill_between(leak.index, leak, color=GREY, alpha=0.55, linewidth=0)
    below.plot(leak, color=INK, linewidth=0.7)
    below.set(title='What as_of="event_time" would leak: events that were not known yet', ylabel="minutes")
    locator = AutoDateLocator(minticks=5, maxticks=12)
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    below.margins(x=0.01)


def draw_roc(axes, outcomes: tuple[Outcome, Outcome]) -> None:
    for outcome, colour in zip(outcomes, (BLUE, ORANGE), strict=True):
        false, true, _ = roc_curve(outcome.late, outcome.scores)
        axes.plot(false, true, color=colour, linewidth=2, label=f"{outcome.name}: AUC {outcome.auc:.3f}")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
    axes.set(
        title="More than 15 minutes late?",
        xlabel="on time, but called late",
        ylabel="late, and called late",
        xlim=(0, 1),
        ylim=(0, 1.005),
    )
    axes.legend(loc="lower right")


@contextmanager
def styled():
    """Pyplot in the example's style, drawing to files where there is no notebook to draw in."""
    import sys

    if "ipykernel" not in sys.modules:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        yield plt


def saved(figure, to: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(to, dpi=110)
    plt.close(figure)
    return to
