"""Questions at, just before and just after the moments at which an answer can change."""

from zoneinfo import ZoneInfo

from .oracle import DAY, HOUR, MINUTE, bounds, duration
from .rows import BAD
from .values import micros

# Round changes of the clocks in the zones of cases, and round the epoch, where times turn negative.
STARTS = ("2024-03-28T00:00:00Z", "2024-11-01T00:00:00Z", "1969-12-29T00:00:00Z", "2013-01-01T00:00:00Z")
CLOCK_CHANGES = tuple(
    map(
        micros,
        (
            "2024-03-31T01:00:00Z",
            "2024-11-03T06:00:00Z",
            "2024-04-06T15:00:00Z",
            "2024-03-30T23:00:00Z",
            "2024-03-31T22:00:00Z",
            "2024-11-03T04:00:00Z",
            "2024-11-04T05:00:00Z",
        ),
    )
)


def manifest_window(text):
    """A window as the manifest has it."""
    kind, *lengths = text.split()
    if kind == "hop":
        return {"kind": "sliding", "over": lengths[0], "hop": lengths[1]}
    return {"kind": kind, **({"over": lengths[0]} if lengths else {})}


def edges(settings, features):
    """How long after a row something may happen to it: it leaves a window, it is stale, its entity is forgotten."""
    windows = [text for spec in features.values() for text in spec["over"] if text != "unbounded"]
    declared = [settings[name] for name in ("staleness", "retention") if settings.get(name)]
    return [*(duration(text.split()[1]) for text in windows), *map(duration, declared)]


def happens(chance, settings, rows, features):
    """A moment at which an answer can change, or one microsecond to its side."""
    row = chance.choice(rows)
    moment = chance.choice((row["at"], row["at"], row["known_at"]))
    moment += chance.choice((0, 0, *edges(settings, features)))
    moment -= chance.choice((0, 0, moment % (5 * MINUTE), moment % HOUR, moment % DAY))
    if settings.get("time_zone") and chance.random() < 0.3:
        zone = ZoneInfo(settings["time_zone"])
        near = [time for time in CLOCK_CHANGES if abs(time - moment) < 60 * DAY]
        midnight = bounds({"kind": "to_date", "over": "1d"}, moment, zone)[0]
        moment = chance.choice((*near, midnight, midnight))
    return moment + chance.choice((-1, 0, 1))


def between(chance, settings, batches, at, entities, features, count):
    """Questions that serving can be asked between two batches: not before its clock, not after the next arrival."""
    seen = [row for batch in batches[: at + 1] for row in batch if row.get("q") != BAD]
    if not seen:
        return []
    if not settings["arrival"]:
        # Only the engine knows when rows arrived: it is asked as of now, which is between the batches.
        return [(entity, None) for entity in entities]
    now = max(max(row["at"], row["known_at"]) for row in seen)
    until = min(
        (row["known_at"] for batch in batches[at + 1 :] for row in batch if row.get("q") != BAD),
        default=now + 30 * DAY,
    )
    moments = {now, now + 1, until - 1, until, now + 90 * MINUTE, now + DAY}
    moments.update(happens(chance, settings, seen, features) for _ in range(20))
    possible = sorted(time for time in moments if now <= time <= until)
    chosen = sorted(chance.sample(possible, min(count, len(possible))))
    return [(entity, time) for time in chosen for entity in entities]


def draw_times(chance, settings, rows, entities, features, count):
    """Questions about any time."""
    good = [row for row in rows if row.get("q") != BAD] or rows
    moments = {happens(chance, settings, good, features) for _ in range(count)}
    return [(entity, time) for time in sorted(moments) for entity in entities]
