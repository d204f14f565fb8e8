"""The rows that a view sees, in their total order, made in SQL from what was sent; and the questions put to them.

`Sent` holds every row that was pushed, with its place in the log, and decides what became of it: quarantined, filtered,
a duplicate, or accepted. A `Line` is one view over the accepted rows: numbered from 1 by entity, event time and place
in the log, so that an entity's rows stand together and a stretch of its time is a stretch of numbers.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from .declared import CONTRACT_MAX, DERIVED, Definitions, Source, View, Window, micros
from .edges import edges


@dataclass(frozen=True)
class Push:
    """Rows that were pushed together; the column `seq` is their place in the log, and is not pushed."""

    source: str
    rows: pa.Table

    @property
    def sent(self) -> pa.Table:
        return self.rows.drop_columns(["seq"])


class Sent:
    """Everything that was pushed, in a DuckDB of its own."""

    def __init__(self, definitions: Definitions, pushes: list[Push], threads: int = 1):
        self.definitions = definitions
        self.total = sum(push.rows.num_rows for push in pushes)
        self.db = duckdb.connect(config={"threads": threads})
        self.db.execute("set timezone = 'UTC'")
        for source in definitions.sources:
            rows = pa.concat_tables([push.rows for push in pushes if push.source == source.name])
            self.db.register("pushed", rows)
            self.db.execute(f"create table sent_{source.name} as from pushed")
            self.db.execute(f"create table judged_{source.name} as {judged(source)}")

    def ledger(self, source: str) -> dict[str, int]:
        """What became of the source's rows."""
        counts = dict(self.db.execute(f"select fate, count(*) from judged_{source} group by fate").fetchall())
        fates = {fate: counts.get(fate, 0) for fate in ("applied", "deduplicated", "filtered", "quarantined")}
        return {"read": sum(fates.values()), **fates}

    def newest(self) -> int:
        """The latest moment that an accepted row knows of: what the events' clock shows."""
        accepted = " union all ".join(
            f"select greatest(t, arr) as m from judged_{source.name} where fate = 'applied'"
            for source in self.definitions.sources
        )
        return int(self.db.execute(f"select max(m) from ({accepted})").fetchall()[0][0])

    def line(self, view: View, before: int | None = None) -> "Line":
        """The rows of a view; of those that came before a place in the log, if one is given."""
        return Line(self.db, view, before)


def judged(source: Source) -> str:
    """Each row with its fate. An id has at most two rows, so that only the one before it can make a row a duplicate."""
    sound = f"(j is null or j <= {CONTRACT_MAX})" if source.contract else "true"
    passes = f"coalesce(({source.filter}), false)" if source.filter else "true"
    repeated = f"id is not null and abs(t - earlier) <= {micros(source.within)}" if source.within else "false"
    arrival = "epoch_us(known_at)" if source.arrives else "epoch_us(happened_at)"
    return f"""
        with given as (select *, epoch_us(happened_at) as t, {arrival} as arr, {sound} as sound, {passes} as passes
                      from sent_{source.name}),
        after as (select *, case when sound and passes then
                      lag(t) over (partition by id, sound and passes order by seq) end as earlier from given)
        select * exclude (sound, passes, earlier),
            case when not sound then 'quarantined' when not passes then 'filtered'
                 when {repeated} then 'deduplicated' else 'applied' end as fate
        from after"""


class Line:
    """The rows of one view, as the table `line`; a new line takes the place of the one before it."""

    def __init__(self, db: duckdb.DuckDBPyConnection, view: View, before: int | None):
        self.db, self.view = db, view
        keys = ", ".join(view.keys)
        derived = ", ".join(f"{sql} as {name}" for name, sql in DERIVED.items())
        until = "" if before is None else f" and seq < {before}"
        rows = " union all by name ".join(
            f"select * from judged_{name} where fate = 'applied'{until}" for name in view.sources
        )
        present = " and ".join(f"{key} is not null" for key in view.keys)
        db.execute(f"create or replace temp view seen as select *, {derived} from ({rows}) where {present}")
        db.execute(f"""
            create or replace temp table entity as select *, row_number() over (order by {keys}) as e
            from (select distinct {keys} from seen)""")
        db.execute(f"""
            create or replace temp table line as select *, row_number() over (order by e, t, seq) as nth
            from (from seen join entity using ({keys}) where {view.filter or "true"}) order by nth""")
        db.execute("create or replace temp table ends as select e, t, max(nth) as nth from line group by e, t")
        sizes = db.execute("""
            select count(line.e) as rows from entity left join line using (e) group by entity.e order by entity.e
            """).fetchnumpy()["rows"]
        # By entity, from 1; strangers are 0 and have no rows.
        self.sizes = np.concatenate([[0], sizes]).astype(np.int64)
        self.before = np.concatenate([[0, 0], np.cumsum(sizes)])[: len(self.sizes)].astype(np.int64)
        self.count = int(sizes.sum())
        self.columns: dict[str, pa.ChunkedArray] = {}
        self.oldest = int(db.execute("select coalesce(min(t), 0) from line").fetchall()[0][0])

    def column(self, name: str) -> pa.ChunkedArray:
        """A column over all rows of the line, in their order."""
        if name not in self.columns:
            self.columns[name] = self.db.sql(f"select {name} from line order by nth").to_arrow_table().column(0)
        return self.columns[name]

    def entities(self) -> pa.Table:
        """The keys of all entities that were sent, whether or not they pass the filter."""
        return self.db.sql(f"select {', '.join(self.view.keys)} from entity order by e").to_arrow_table()

    def ask(self, keys: pa.Table, q: np.ndarray) -> "Asked":
        """Puts a question for each row of keys, at the time `q` of that row."""
        names = list(self.view.keys)
        spine = keys.select(names).append_column("row", pa.array(np.arange(len(q))))
        self.db.register("spine", spine)
        found = self.db.execute(f"""
            select coalesce(e, 0) as e from spine left join entity using ({", ".join(names)}) order by row""")
        return Asked(self, found.fetchnumpy()["e"].astype(np.int64), q.astype(np.int64))


class Asked:
    """Questions to a line: an entity and a query time each, and the edges of the windows that they need."""

    def __init__(self, line: Line, e: np.ndarray, q: np.ndarray):
        self.line, self.e, self.q = line, e, q
        self.times: dict[str, np.ndarray] = {"q": q}
        self.names: dict[Window, tuple[str, str]] = {}
        self.beginning = np.minimum(q, line.oldest)

    def __len__(self) -> int:
        return len(self.q)

    def part(self, rows: np.ndarray) -> "Asked":
        return Asked(self.line, self.e[rows], self.q[rows])

    def edges(self, window: Window) -> tuple[str, str]:
        """The names of the columns with the window's two edges."""
        if window not in self.names:
            number = len(self.names)
            low, high = edges(window, self.q, self.line.view.time_zone, self.beginning)
            self.times[f"low_{number}"] = low
            if high is not self.q:
                self.times[f"high_{number}"] = high
            self.names[window] = (f"low_{number}", "q" if high is self.q else f"high_{number}")
        return self.names[window]

    def put(self, windows: set[Window] | list[Window]) -> None:
        """Hands the questions to the database, as the table `asked`, with the edges of these windows."""
        for window in sorted(windows, key=str):
            self.edges(window)
        columns = {"row": np.arange(len(self)), "e": self.e, **self.times}
        self.line.db.register("asked_rows", pa.table(columns))
        self.line.db.execute("create or replace temp table asked as from asked_rows order by row")
