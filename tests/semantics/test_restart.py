"""What was answered before a restart is not contradicted by what arrives after it.

By the events' clock a read as of now is one microsecond past the latest event. A restart forgot that it had been
asked, and gave a late row of the next push the arrival time of that event: before a query time that was answered
without it. The same read, and the training set by arrival, then saw the row.
"""

import pytest

from .cases import Case
from .lives import run

TIME = 1_357_066_800_000_001
HOUR = 3_600_000_000


@pytest.mark.parametrize("saved", [(), (("flush",),)], ids=["from the log", "from a checkpoint"])
def test_a_late_row_after_a_restart_arrives_after_what_was_asked_before(tmp_path, saved):
    """Every event has an *event time* (from the data), an *arrival time* and a *sequence*."""
    first = {"k": 1, "at": TIME, "id": 1, "source": "events", "i": 1}
    late = {"k": 1, "at": TIME - 12 * HOUR, "id": 2, "source": "events", "i": 100}
    now = ("ask", [((1,), None)])
    case = Case(
        features={"x": {"aggregation": "sum", "input": "i", "over": ["sliding 7d"]}},
        settings={"keys": {"k": "int64"}, "sources": ["events"], "clock": "events", "retention": "400d"},
        steps=[
            ("push", "events", [first]),
            now,
            *saved,
            ("reopen",),
            ("push", "events", [late]),
            now,
            ("again",),
            ("history",),
        ],
    )
    run(case, tmp_path)
