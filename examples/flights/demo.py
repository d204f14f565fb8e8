"""A year of New York's flights, live and in training, in under two minutes: `python examples/flights/demo.py`.

Starts a server, applies `features.py`, replays 2013 as if it were happening while looking up flights about to leave,
builds the training set, trains a model, and holds every value against a computation that knows nothing of the platform.
Each line marked `ok` is asserted; one that does not hold is marked `FAILED`, and the demo ends with exit code 1.
"""

import argparse
import shutil
import sys
import time
from contextlib import closing
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
from replay import KEYS, ProgressLine, Replayed, flights_per_lookup, replay
from server import Server

import thalweg as tw

HERE = Path(__file__).resolve().parent
SERVICE = features.arrival_delay.name
COLUMNS = [name.replace(".", "__") for name in features.arrival_delay.features]
STEP = "12h"
SERVED_VALUES = 1_000_000
# A little more than is claimed: towards the end of the replay no flights are left to ask about.
WANTED_VALUES = 1_100_000
ARRIVAL_SAMPLE = 1_000
LEAST_GAIN = 0.03


def main() -> int:
    given = arguments()
    claims = Claims()
    year = data.build(given.work / "events", given.months)
    spine = training_spine(year.flights, given.rows)
    print(
        f"{year.events:,} events of {given.months} month(s), {spine.num_rows:,} flights to learn from, "
        f"{len(COLUMNS)} features of {len(KEYS)} keys"
    )
    shutil.rmtree(given.work / "platform", ignore_errors=True)
    with Server(given.work / "platform", given.port) as server, closing(tw.Client(server.url, timeout=600)) as client:
        begun = time.perf_counter()
        apply(client, claims)
        replayed = live(client, year, claims)
        training_set = train(client, year, spine, given.work, claims)
        both_paths_agree(client, replayed.served, given.work, claims)
        checked = check(client, claims)
        seconds = time.perf_counter() - begun
        what_next(server, given.work)
        if given.stay:
            server.wait()
    print(
        f"demo: events={year.events} training_rows={training_set.num_rows} compared={checked.compared} "
        f"mismatches={checked.mismatches} seconds={seconds:.1f}"
    )
    return claims.exit_code


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


def apply(client: tw.Client, claims: Claims) -> None:
    """The definitions become what is served; applying them again changes nothing."""
    project = tw.load_project(HERE)
    plan = client.apply(project)
    claims.that(f"applied {len(project.objects)} definitions as version {plan.version}", bool(plan.changes))
    again = client.plan(project)
    claims.that("planned again, there is nothing to change", not again.changes, again.text)


def live(client: tw.Client, year: data.Year, claims: Claims) -> Replayed:
    """The replay with its lookups; afterwards every row is accounted for."""
    steps = data.replay_steps(year, STEP)
    at_once = flights_per_lookup(len(steps), len(COLUMNS), WANTED_VALUES)
    result = replay(client, steps, year.flights, SERVICE, at_once, ProgressLine("replay"))
    values = result.served.num_rows * len(COLUMNS)
    print(
        f"       {result.lookups:,} lookups of up to {at_once} flights between the pushes, "
        f"the slowest in {1000 * result.slowest_lookup:.0f} ms"
    )
    claims.that(
        f"served {values:,} feature values live, in {result.seconds:.0f} s with {year.events:,} events",
        values >= SERVED_VALUES,
    )
    for name in data.SOURCES:
        accounted_for(client.ledger(name), name, year, claims)
    return result


def accounted_for(ledger: dict, name: str, year: data.Year, claims: Claims) -> None:
    """Every row that was sent was read, and is applied, deduplicated, filtered or in quarantine."""
    sent = year.source(name)
    identity = ["origin", "observed_at"] if name == "weather" else ["flight_id"]
    twice = sent.num_rows - sent.group_by(identity).aggregate([]).num_rows
    fates = {fate: ledger[fate] for fate in ("applied", "deduplicated", "filtered", "quarantined")}
    wanted = {"applied": sent.num_rows - twice, "deduplicated": twice, "filtered": 0, "quarantined": 0}
    claims.that(
        f"{name}: {sent.num_rows:,} rows read, {fates['applied']:,} applied, {twice:,} sent twice and dropped",
        ledger["read"] == sent.num_rows and fates == wanted,
        ledger,
    )


def train(client: tw.Client, year: data.Year, spine: pa.Table, work: Path, claims: Claims) -> pa.Table:
    """The training set, held against the oracle in full, and what its windowed features are worth."""
    built = client.training_set(SERVICE, spine, timestamp="ask_at", progress=False)
    table = built.table
    print(f"       training set: {table.num_rows:,} rows of {len(COLUMNS)} features in {built.report['seconds']:.1f} s")
    claims.that("its rows are the spine's, in order", table.select(spine.column_names).cast(spine.schema).equals(spine))
    claims.that("its features are the service's, in order", table.column_names[spine.num_columns :] == COLUMNS)
    by_hand = oracle.Oracle(year)
    claims.same("the oracle finds the same training set", table, by_hand.by_running_sums(spine).select(COLUMNS))
    with_arrival(client, spine, table, by_hand, claims)
    outcomes = model.with_and_without(table, COLUMNS)
    rich, poor = outcomes
    claims.that(
        f"AUC {rich.auc:.4f} with windowed features, {poor.auc:.4f} with the schedule only, "
        f"on {len(rich.late):,} later flights",
        rich.auc > poor.auc + LEAST_GAIN,
    )
    print(f"       what mattered most: {', '.join(rich.leading[:4])}")
    plots.roc(outcomes, work / "roc.png")
    return table


def with_arrival(client: tw.Client, spine: pa.Table, table: pa.Table, by_hand: oracle.Oracle, claims: Claims) -> None:
    """The training set as of arrival: what was not known yet is left out, and that shows."""
    arrival = client.training_set(SERVICE, spine, timestamp="ask_at", as_of="arrival", progress=False).table
    sample = np.linspace(0, spine.num_rows - 1, min(ARRIVAL_SAMPLE, spine.num_rows)).astype(np.int64)
    wanted = by_hand.by_joins(spine.take(sample), as_of="arrival").select(COLUMNS)
    claims.same(f'as_of="arrival": the oracle finds the same for {len(sample):,} flights', arrival.take(sample), wanted)
    leaked = oracle.compare(arrival, table.select(COLUMNS))
    claims.that(
        f"late data changes {leaked.mismatches:,} of {leaked.compared:,} values: as_of keeps them apart",
        leaked.mismatches > 0,
    )


def both_paths_agree(client: tw.Client, served: pa.Table, work: Path, claims: Claims) -> None:
    """What was served during the replay, asked of history as a training set: the same, value by value."""
    spine = served.select([*KEYS, "distance", "served_at"])
    arrival, event_time = (
        client.training_set(SERVICE, spine, timestamp="served_at", as_of=as_of, progress=False).table
        for as_of in ("arrival", "event_time")
    )
    claims.same("what was served live is what the training set says", served, arrival.select(COLUMNS))
    busiest = max(served["carrier"].value_counts().to_pylist(), key=lambda each: each["counts"])["values"]
    plots.live_against_training(served, arrival, event_time, busiest, work / "live.png")


def check(client: tw.Client, claims: Claims) -> tw.CheckResult:
    """The platform's own check: recorded answers against a recomputation from history."""
    result = client.check()
    claims.that(
        f"the check compared {result.compared:,} served values and found {result.mismatches:,} that differ",
        result.compared >= SERVED_VALUES and result.mismatches == 0,
        result.samples[:3],
    )
    return result


def what_next(server: Server, work: Path) -> None:
    print(f"""
pictures   {work / "roc.png"} and {work / "live.png"}
events     {work / "events"}, as Parquet
again      {server.command}
   open    {server.url}
   type    thalweg get {SERVICE} carrier=UA origin=EWR dest=SFO tailnum=N14228 distance=2565 --url {server.url}
   type    thalweg describe --url {server.url}
   change  a window in {HERE / "features.py"}, then
   type    thalweg plan {HERE} --url {server.url}
""")


if __name__ == "__main__":
    sys.exit(main())
