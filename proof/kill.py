"""Whatever was acknowledged is there once, whole and the same after `kill -9` at random moments of a random mixture."""

from main_path.crashing.campaign import Campaign

from proof.budget import Budget
from proof.outcome import Outcome

UNIT = "rounds"
SECONDS, LONG_SECONDS = 300, 3600


def run(budget: Budget) -> Outcome:
    """Rounds until the time is up: work, a kill, a start or several, and a look at everything there is."""
    campaign = Campaign(budget.seed, budget.work)
    tally = campaign.tally

    def go_on() -> bool:
        budget.say(f"{tally.rounds} rounds, {tally.kills} kills, {tally.acknowledged_rows} rows acknowledged")
        return not budget.over()

    campaign.run(go_on)
    notes: dict[str, object] = {
        "kills": tally.kills,
        "kills while starting": tally.kills_while_starting,
        "rows acknowledged": tally.acknowledged_rows,
        "values compared": tally.values_compared,
        "in flight at the kill": {kind: count for kind, count in sorted(tally.in_flight.items()) if count},
        "found afterwards": {what: count for what, count in sorted(tally.found.items()) if count},
    }
    return Outcome(tally.rounds, UNIT, campaign.broken, notes)
