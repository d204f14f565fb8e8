"""A year of New York's flights, live and in training, in under two minutes: `python examples/flights/demo.py`.

Starts a server, applies `features.py`, replays 2013 as if it were happening while looking up flights about to leave,
builds the training set, trains a model, and holds every value against a computation that knows nothing of the platform.
Each line marked `ok` is asserted; one that does not hold is marked `FAILED`, and the demo ends with exit code 1.
"""

import argparse
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import data
import features
import model
import numpy as np
import oracle
import plots
import pyarrow as pa
import pyarrow.compute as pc
from claims import Claims
from model import Outcome
from replay import KEYS, ProgressLine, Replayed, flights_per_lookup, replay
from server import Server
from stopwatch import Stopwatch

import thalweg as tw

HERE = Path(__file__).resolve().parent
SERVICE = features.arrival_delay.name
COLUMNS = [name.replace(".", "__") for name in features.arrival_delay.features]
STEP = "12h"
SERVED_VALUES = 1_000_000
# A little more than is claimed: towards the end of the replay no flights are left to ask about.
WANTED_VALUES = 1_100_000
ARRIVAL_SAMPLE = 2_000
LEAST_GAIN = 0.03


def main() -> int:
    given = arguments()
    year = data.build(given.work / "events", given.months)
    spine = training_spine(year.flights, given.rows)
    print(
        f"{year.events:,} events of {given.months} month(s), {spine.num_rows:,} flights to learn from, "
        f"{len(COLUMNS)} features of {len(KEYS)} keys"
    )
    shutil.rmtree(given.work / "platform", ignore_errors=True)
    with Server(given.work / "platform", given.port) as server, closing(tw.Client(server.url, timeout=600)) as client:
        demo = Demo(client, year, spine, given.work)
        demo.apply()
        replayed = demo.live()
        table, outcomes = demo.train()
        paths, agreement = demo.both_paths_agree(replayed.served)
        demo.picture(paths, agreement, outcomes)
        checked = demo.check()
        seconds = demo.watch.seconds
        print(f"       seconds: {demo.watch}")
        what_next(server, given.work)
        if given.stay:
            server.wait()
    print(
        f"demo: events={year.events} training_rows={table.num_rows} compared={checked.compared} "
        f"mismatches={checked.mismatches} seconds={seconds:.1f}"
    )
    return demo.claims.exit_code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--months", type=int, default=12, choices=range(1, 13), metavar="N", help="of the year (12)")
    parser.add_argument("--work", type=Path, default=Path(".thalweg/flights"), help="where all files go")
    parser.add_argument("--rows", type=int, help="no more than so many rows in the training set, spread over the year")
    parser.add_argument("--port", type=int, default=0, help="of the server; left out, a free one")
    parser.add_argument("--stay", action="store_true", help="keep the server running until Ctrl-C")
    return parser.parse_args()


def training_spine(flights: pa.Table, rows: int | None) -> pa.Table:
    """The flights of which it is known whether they were late; all of them, or some at even distances."""
    known = flights.filter(pc.is_valid(flights["late"]))
    if rows is None or rows >= known.num_rows:
        return known
    return known.take(np.linspace(0, known.num_rows - 1, rows).astype(np.int64))


@dataclass
class Demo:
    """The acts of the demo, in order: each says what it found, and asserts it."""

    client: tw.Client
    year: data.Year
    spine: pa.Table
    work: Path
    claims: Claims = field(default_factory=Claims)
    watch: Stopwatch = field(default_factory=Stopwatch)

    def apply(self) -> None:
        """The definitions become what is served; applying them again changes nothing."""
        project = tw.load_project(HERE)
        plan = self.client.apply(project)
        self.claims.that(f"applied {len(project.objects)} definitions as version {plan.version}", bool(plan.changes))
        again = self.client.plan(project)
        self.claims.that("planned again, there is nothing to change", not again.changes, again.text)

    def live(self) -> Replayed:
        """The replay with its lookups; afterwards every row is accounted for."""
        steps = data.replay_steps(self.year, STEP)
        at_once = flights_per_lookup(len(steps), len(COLUMNS), WANTED_VALUES)
        with self.watch.time("replay"):
            result = replay(self.client, steps, self.year.flights, SERVICE, at_once, ProgressLine("replay"))
        values = result.served.num_rows * len(COLUMNS)
        print(
            f"       {result.lookups:,} lookups of up to {at_once} flights between the pushes took "
            f"{result.lookup_seconds:.1f} s in all, the slowest {1000 * result.slowest_lookup:.0f} ms"
        )
        self.claims.that(
            f"served {values:,} feature values live, in {result.seconds:.0f} s with {self.year.events:,} events",
            values >= SERVED_VALUES,
        )
        for name in data.SOURCES:
            self.accounted_for(name)
        return result

    def accounted_for(self, name: str) -> None:
        """Every row that was sent was read, and is applied, deduplicated, filtered or in quarantine."""
        ledger, sent = self.client.ledger(name), self.year.source(name)
        identity = ["origin", "observed_at"] if name == "weather" else ["flight_id"]
        twice = sent.num_rows - sent.group_by(identity).aggregate([]).num_rows
        fates = {fate: ledger[fate] for fate in ("applied", "deduplicated", "filtered", "quarantined")}
        wanted = {"applied": sent.num_rows - twice, "deduplicated": twice, "filtered": 0, "quarantined": 0}
        self.claims.that(
            f"{name}: {sent.num_rows:,} rows read, {fates['applied']:,} applied, {twice:,} sent twice and dropped",
            ledger["read"] == sent.num_rows and fates == wanted,
            ledger,
        )

    def train(self) -> tuple[pa.Table, tuple[Outcome, Outcome]]:
        """The training set, held against the oracle in full, and what its windowed features are worth."""
        built = self.training_set(self.spine, "ask_at", "event_time")
        table, spine = built.table, self.spine
        rows = table.num_rows
        print(f"       training set: {rows:,} rows of {len(COLUMNS)} features in {built.report['seconds']:.1f} s")
        same_rows = table.select(spine.column_names).cast(spine.schema).equals(spine)
        self.claims.that("its rows are the spine's, in order", same_rows)
        in_order = table.column_names[spine.num_columns :] == COLUMNS
        self.claims.that("its features are the service's, in order", in_order)
        with self.watch.time("oracle"):
            by_hand = oracle.Oracle(self.year)
            wanted = by_hand.by_running_sums(spine).select(COLUMNS)
            self.claims.same("the oracle finds the same training set", table, wanted)
        self.as_of_arrival(built, by_hand)
        return table, self.outcomes(table)

    def as_of_arrival(self, built: tw.TrainingSetResult, by_hand: oracle.Oracle) -> None:
        """The training set as of arrival, for a sample: what was not known yet is left out, and that shows."""
        rows = self.spine.num_rows
        sample = np.linspace(0, rows - 1, min(ARRIVAL_SAMPLE, rows)).astype(np.int64)
        arrival = self.training_set(self.spine.take(sample), "ask_at", "arrival")
        with self.watch.time("oracle"):
            wanted = by_hand.by_joins(self.spine.take(sample), as_of="arrival").select(COLUMNS)
            claim = f'as_of="arrival": the oracle finds the same for {len(sample):,} flights'
            self.claims.same(claim, arrival.table, wanted)
        late = oracle.compare(arrival.table, built.table.take(sample).select(COLUMNS))
        self.claims.that(
            f"late data changes {late.mismatches:,} of these values, as the report says",
            0 < late.mismatches == late_changes(arrival),
            late_changes(arrival),
        )
        print(f"       and {late_changes(built):,} of all {rows * len(COLUMNS):,}: as_of keeps them apart")

    def outcomes(self, table: pa.Table) -> tuple[Outcome, Outcome]:
        with self.watch.time("model"):
            rich, poor = model.with_and_without(table, COLUMNS)
        self.claims.that(
            f"AUC {rich.auc:.4f} with windowed features, {poor.auc:.4f} with the schedule only, "
            f"on {len(rich.late):,} later flights",
            rich.auc > poor.auc + LEAST_GAIN,
        )
        print(f"       what mattered most: {', '.join(rich.leading[:4])}")
        return rich, poor

    def both_paths_agree(self, served: pa.Table) -> tuple[plots.Paths, oracle.Comparison]:
        """What was served during the replay, asked of history as a training set: the same, value by value."""
        spine = served.select([*KEYS, "distance", "served_at"])
        arrival, event_time = (
            self.training_set(spine, "served_at", as_of).table for as_of in ("arrival", "event_time")
        )
        claim = "what was served live is what the training set says"
        agreement = self.claims.same(claim, served, arrival.select(COLUMNS))
        return plots.Paths(served, arrival, event_time), agreement

    def picture(self, paths: plots.Paths, agreement: oracle.Comparison, outcomes: tuple[Outcome, Outcome]) -> None:
        with self.watch.time("picture"):
            title = (
                f"{self.year.events:,} events replayed, {agreement.compared:,} values served live, "
                f"{agreement.mismatches:,} differ from the training set"
            )
            plots.summary(paths, outcomes, title, self.work / "demo.png")

    def check(self) -> tw.CheckResult:
        """The platform's own check: recorded answers against a recomputation from history."""
        with self.watch.time("check"):
            result = self.client.check()
        self.claims.that(
            f"the check compared {result.compared:,} served values and found {result.mismatches:,} that differ",
            result.compared >= SERVED_VALUES and result.mismatches == 0,
            result.samples[:3],
        )
        return result

    def training_set(self, spine: pa.Table, timestamp: str, as_of: str) -> tw.TrainingSetResult:
        with self.watch.time("training sets"):
            return self.client.training_set(SERVICE, spine, timestamp=timestamp, as_of=as_of, progress=False)


def late_changes(training_set: tw.TrainingSetResult) -> int:
    """How many values depend on whether events count that had not arrived yet, as the report has it."""
    return sum(feature["late_changed"] for feature in training_set.report["features"])


def what_next(server: Server, work: Path) -> None:
    print(f"""
picture    {work / "demo.png"}
events     {work / "events"}, as Parquet
again      {server.command}
   type    thalweg get {SERVICE} carrier=UA origin=EWR dest=SFO tailnum=N14228 distance=2565 --url {server.url}
   type    thalweg describe --url {server.url}
   change  a window in {HERE / "features.py"}, then
   type    thalweg plan {HERE} --url {server.url}
""")


if __name__ == "__main__":
    sys.exit(main())
