"""Makes a failing case smaller while it fails in the same way: delta debugging over all that a case is made of.

Steps, features, windows, options and settings, questions, rows and the columns of rows are taken out, the largest
parts first, until nothing more can go or the time is up. Every candidate is run for real.
"""

import tempfile
import time
from dataclasses import dataclass

from .cases import Case
from .lives import Disagreement, run
from .oracle import Oracle

# Without these the questions of a case would mean something else, or nothing.
KEPT_SETTINGS = ("keys", "sources", "clock", "arrival", "retention")
ROWS, QUESTIONS = ("push", "push twice"), ("ask", "training")


@dataclass(frozen=True)
class Failure:
    """How a case fails; of smaller ones, `kind` has to be the same."""

    kind: str
    text: str
    feature: str | None = None
    question: tuple | None = None


def failure(case, work=None, oracle=Oracle, tally=None):
    """How a case fails, if it does; `tally` is added to. Panics of the engine are failures too."""
    with tempfile.TemporaryDirectory(dir=work) as path:
        try:
            run(case, path, oracle, tally)
        except Disagreement as wrong:
            return Failure(wrong.kind, str(wrong), wrong.feature, wrong.question)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return Failure(type(error).__name__, f"{type(error).__name__}: {error}")
    return None


def shrink(case, found, seconds, work=None, oracle=Oracle):
    """The smallest case that was found to fail as `found`, and how it fails."""
    return _Shrinking(case, found, time.monotonic() + seconds, work, oracle).smallest()


class _Shrinking:
    def __init__(self, case, found, until, work, oracle):
        self.case, self.found, self.until, self.work, self.oracle = case, found, until, work, oracle

    def smallest(self):
        self.begin_at_what_failed()
        while time.monotonic() < self.until:
            before = str(self.case)
            self.fewer_steps()
            self.fewer_features()
            self.fewer_questions()
            self.fewer_rows()
            self.fewer_settings()
            self.simpler_features()
            self.fewer_columns()
            if str(self.case) == before:
                break
        return self.case, self.found

    def try_(self, features=None, settings=None, steps=None):
        """Takes the candidate for the case if it fails alike; whether it did."""
        case = Case(
            self.case.features if features is None else features,
            self.case.settings if settings is None else settings,
            self.case.steps if steps is None else steps,
        )
        if time.monotonic() >= self.until or not case.features:
            return False
        found = failure(case, self.work, self.oracle)
        if found is None or found.kind != self.found.kind:
            return False
        self.case, self.found = case, found
        return True

    def begin_at_what_failed(self):
        """The feature and the question that the failure names are most often all that it takes."""
        if self.found.feature in self.case.features:
            self.try_(features={self.found.feature: self.case.features[self.found.feature]})
        if self.found.question is not None:
            # NaN in a key equals nothing, itself included.
            wanted, now = repr(self.found.question), repr((self.found.question[0], None))
            self.try_(steps=with_items(self.case.steps, QUESTIONS, lambda one: repr(one) in (wanted, now)))

    def fewer_steps(self):
        # What comes after the failure goes at once.
        self.reduce(self.case.steps, lambda steps: self.try_(steps=steps))

    def fewer_features(self):
        self.reduce(list(self.case.features.items()), lambda kept: self.try_(features=dict(kept)))

    def fewer_questions(self):
        self.fewer_items(QUESTIONS)

    def fewer_rows(self):
        self.fewer_items(ROWS)

    def fewer_items(self, names):
        """Fewer rows or questions, over all steps together."""
        steps = self.case.steps
        places = [(at, of) for at, step in enumerate(steps) if step[0] in names for of in range(len(step[-1]))]

        def attempt(kept):
            kept = set(kept)
            return self.try_(
                steps=[
                    (*step[:-1], [item for of, item in enumerate(step[-1]) if (at, of) in kept])
                    if step[0] in names
                    else step
                    for at, step in enumerate(steps)
                ]
            )

        self.reduce(places, attempt)

    def fewer_settings(self):
        settings = self.case.settings
        optional = [name for name in settings if name not in KEPT_SETTINGS]
        must = {name: settings[name] for name in settings if name in KEPT_SETTINGS}
        self.reduce(
            optional, lambda kept: self.try_(settings={**must, **{name: settings[name] for name in kept}}), least=0
        )

    def simpler_features(self):
        for name in list(self.case.features):
            for option in ("by", "where"):
                spec = {key: value for key, value in self.case.features[name].items() if key != option}
                if spec != self.case.features[name]:
                    self.try_(features={**self.case.features, name: spec})
            for window in self.case.features[name]["over"]:
                spec = {**self.case.features[name], "over": [window]}
                if spec != self.case.features[name] and self.try_(features={**self.case.features, name: spec}):
                    break

    def fewer_columns(self):
        """Values that do not matter are left out: they are null."""
        kept = {*self.case.settings["keys"], "at", "known_at", "id", "op", "source"}
        names = sorted({name for step in self.case.steps if step[0] in ROWS for row in step[-1] for name in row} - kept)

        def attempt(left):
            left = kept.union(left)
            return self.try_(
                steps=[
                    (*step[:-1], [{name: row[name] for name in row if name in left} for row in step[-1]])
                    if step[0] in ROWS
                    else step
                    for step in self.case.steps
                ]
            )

        self.reduce(names, attempt, least=0)

    def reduce(self, items, attempt, least=1):
        """Leaves out as many items as can go: halves of them first, then smaller and smaller pieces."""
        piece = max(1, len(items) // 2)
        while items and time.monotonic() < self.until:
            at, gone = 0, False
            while at < len(items):
                kept = items[:at] + items[at + piece :]
                if len(kept) >= least and attempt(kept):
                    items, gone = kept, True
                else:
                    at += piece
            if piece == 1 and not gone:
                return
            piece = max(1, piece // 2)


def with_items(steps, names, wanted):
    """The steps with those of their items that are wanted."""
    return [(*step[:-1], [item for item in step[-1] if wanted(item)]) if step[0] in names else step for step in steps]
