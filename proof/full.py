"""On a full disk what is refused never happened and reads go on; with room again everything goes on by itself."""

from main_path.crashing.filling import Disks
from main_path.crashing.volume import NoVolume, kinds

from proof.budget import Budget
from proof.outcome import Outcome

UNIT = "disks filled"
SECONDS, LONG_SECONDS = 120, 1800


def run(budget: Budget) -> Outcome:
    """Small disks in memory and on ext4, filled at random moments until the time is up."""
    try:
        found = kinds(budget.work)
    except NoVolume as error:
        return Outcome(0, UNIT, skipped=f"no small file system can be had here: {error}")
    disks = Disks(budget.seed, budget.work, found)
    tally = disks.tally

    def go_on() -> bool:
        budget.say(f"{tally.found['disks filled']} disks filled, {disks.refusals} refusals")
        return not budget.over()

    disks.run(go_on)
    notes: dict[str, object] = {
        "file systems": found,
        "requests refused": disks.refusals,
        "rows acknowledged": tally.acknowledged_rows,
        "values compared": tally.values_compared,
        "found": {what: count for what, count in sorted(tally.found.items()) if count},
    }
    return Outcome(tally.found["disks filled"], UNIT, disks.broken, notes)
