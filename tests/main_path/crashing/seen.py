"""What a server says is there, and the comparison of that with what was acknowledged."""

import json
from dataclasses import dataclass

from .definitions import BASE_VIEWS, BY_REGION, BY_USER, DIRECT, EVENT_SOURCES, REGIONS, SOURCES, USERS
from .doors import Http
from .expected import COUNTS, Bad, Expected

PAGE = 1_000


class Broken(AssertionError):
    """A promise that was not kept."""


@dataclass
class Seen:
    """One look at everything that can be read."""

    counts: dict[str, dict[str, int]]
    of_users: dict
    of_regions: dict
    quarantine: dict[str, list[dict]]
    compared: int = 0

    @classmethod
    def read(cls, http: Http, known: dict[str, int]) -> "Seen":
        """`known` says how many rows of each quarantine need not be looked at again."""
        ledgers = {source: http.get(f"/v1/sources/{source}") for source in SOURCES}
        counts = {source: {name: ledger[name] for name in COUNTS} for source, ledger in ledgers.items()}
        quarantine = {
            source: _quarantine(http, source, known.get(source, 0)) if counts[source]["quarantined"] else []
            for source in (*EVENT_SOURCES, "accounts")
        }
        of_users = http.post("/v1/features", {"service": BY_USER, "entities": {"user": list(USERS)}})
        of_regions = http.post("/v1/features", {"service": BY_REGION, "entities": {"region": list(REGIONS)}})
        return cls(counts, of_users, of_regions, quarantine)

    def value(self, feature: str, user: str) -> object:
        """The value of a direct feature."""
        return values(self.of_users)[f"{feature}.value"][USERS.index(user)]

    def compare(self, expected: Expected, extra: dict[str, str], known: dict[str, int], when: str) -> None:
        """Raises `Broken` where anything is not as it was acknowledged."""
        for source in SOURCES:
            self._same(self.counts[source], expected.counts[source], f"{when}: ledger of {source}")
        for answer in (self.of_users, self.of_regions):
            for result in answer["results"]:
                if "ERROR" in result["statuses"]:
                    raise Broken(f"{when}: {result['name']} is ERROR: {result.get('errors')}")
        of_users, of_regions = values(self.of_users), values(self.of_regions)
        for source in EVENT_SOURCES:
            self._compare_users(of_users, expected, source, when)
        for feature in DIRECT:
            wanted = [expected.direct[feature].get(user) for user in USERS]
            self._same(of_users[f"{feature}.value"], wanted, f"{when}: {feature}")
        regions = expected.regions()
        for output in ("rows", "total", "ids", "largest"):
            wanted = [regions[region][output] for region in REGIONS]
            self._same(of_regions[f"holdings.{output}"], wanted, f"{when}: holdings.{output}")
        for name, source in extra.items():
            self._compare_views(of_regions if source == "accounts" else of_users, BASE_VIEWS[source], name, when)
        for source, rows in self.quarantine.items():
            wanted = sorted(expected.quarantine[source], key=lambda one: (one[0], one[1].row))
            self._compare_quarantine(source, rows, wanted[known.get(source, 0) :], when)

    def _compare_users(self, of_users: dict[str, list], expected: Expected, source: str, when: str) -> None:
        view = BASE_VIEWS[source]
        wanted = [expected.of_user(source, user) for user in USERS]
        for output in ("rows", "total", "ids"):
            self._same(of_users[f"{view}.{output}"], [one[output] for one in wanted], f"{when}: {view}.{output}")
        for user, one, newest in zip(USERS, wanted, of_users[f"{view}.newest"], strict=True):
            self.compared += 1
            if newest not in one["newest"]:
                raise Broken(f"{when}: {view}.newest of {user} is {newest} and not of {one['newest']}")

    def _compare_views(self, found: dict[str, list], base: str, name: str, when: str) -> None:
        outputs = [feature.partition(".")[2] for feature in found if feature.startswith(f"{base}.")]
        for output in outputs:
            what = f"{when}: {name}.{output}, which was filled from history, against {base}.{output}"
            self._same(found[f"{name}.{output}"], found[f"{base}.{output}"], what)

    def _compare_quarantine(self, source: str, rows: list[dict], wanted: list[tuple[int, Bad]], when: str) -> None:
        places = [(row["position"], row["row"]) for row in rows]
        self._same(places, [(position, bad.row) for position, bad in wanted], f"{when}: quarantine of {source}")
        for row, (_, bad) in zip(rows, wanted, strict=True):
            raw = row["raw"].encode()
            same = raw == bad.raw if bad.raw is not None else json.loads(raw)["mark"] == bad.mark
            if not same:
                raise Broken(f"{when}: quarantine of {source}: row {bad.row} has the bytes {raw!r} and not {bad.raw!r}")

    def _same(self, found: object, wanted: object, what: str) -> None:
        self.compared += len(found) if isinstance(found, (list, dict)) else 1
        if found != wanted:
            raise Broken(f"{what} is\n    {found} and not\n    {wanted}")


def values(answer: dict) -> dict[str, list]:
    return {result["name"]: result["values"] for result in answer["results"]}


def _quarantine(http: Http, source: str, offset: int) -> list[dict]:
    rows: list[dict] = []
    at: int | None = offset
    while at is not None:
        page = http.get(f"/v1/sources/{source}/quarantine", {"limit": str(PAGE), "offset": str(at)})
        rows += page["rows"]
        at = page["next_offset"]
    return rows
