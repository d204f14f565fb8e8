"""The oracle's arithmetic: the twenty aggregations over a plain list of rows, computed the slow and exact way.

Every number is an exact fraction until it is rounded once. Nothing here knows of windows, tiles or
retractions, and nothing is taken from the product: what agrees with this file agrees with the rule book.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

INT64 = range(-(2**63), 2**63)
LARGEST_DECIMAL = 10**38


class AggregationError(Exception):
    """The value cannot be told: the read has the status ERROR."""


@dataclass(frozen=True)
class Between:
    """What a sketch may answer: any value from `low` to `high`."""

    low: float
    high: float

    def allows(self, value):
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Input:
    """One row as an aggregation sees it: its place in the total order, and its value."""

    event_time: int
    sequence: int
    value: object


def aggregate(feature, rows, keep_nan):
    """The value of `feature` (as in the manifest) over `rows` in any order, and the rows that made it."""
    rows = sorted(rows, key=lambda row: (row.event_time, row.sequence))
    name = feature["aggregation"]
    if name == "latest":
        return (rows[-1].value if rows else None), rows[-1:]
    if name == "count" and not feature.get("input"):
        return len(rows), rows
    rows = [row for row in rows if counts(row.value, keep_nan)]
    return AGGREGATIONS[name](rows, feature), rows


def no_input(feature):
    """The value where there is nothing to aggregate."""
    if feature.get("by") or feature["aggregation"] == "value_counts":
        return {}
    if feature["aggregation"] in ("first_k", "last_k", "top_k", "bottom_k"):
        return []
    return 0 if feature["aggregation"] in ("count", "distinct_count") else None


def counts(value, keep_nan):
    return value is not None and (keep_nan or not isinstance(value, float) or math.isfinite(value))


def order(value):
    """A key by which values of one type are in their total order: -0.0 before 0.0, NaN last, text by its bytes."""
    if isinstance(value, float):
        return math.isnan(value), 0.0 if math.isnan(value) else value, math.copysign(1.0, value)
    return value.encode() if isinstance(value, str) else value


def identity(value):
    """What two values share exactly when they are one key: -0.0 is 0.0, and all NaN are one."""
    if isinstance(value, float):
        # The one object math.nan: as a key of dicts and sets it equals itself.
        return math.nan if math.isnan(value) else value + 0.0
    return value


def exact(value):
    return Fraction(value)


def whole(numbers):
    """Numbers as integers over one common denominator: exact, and without a fraction for each."""
    ratios = [number.as_integer_ratio() for number in numbers]
    denominator = math.lcm(*{below for _, below in ratios})
    return [above * (denominator // below) for above, below in ratios], denominator


def rounded(above, below=1):
    """The float nearest to a quotient of integers; past the largest one, infinity."""
    try:
        return above / below
    except OverflowError:
        return math.inf if above > 0 else -math.inf


def divided(above, below):
    """IEEE division, where Python raises."""
    if below != 0 or math.isnan(above):
        return above / below
    return math.nan if above == 0 else math.copysign(math.inf, above) * math.copysign(1.0, below)


def values(rows):
    return [row.value for row in rows]


def non_finite(numbers):
    return [number for number in numbers if isinstance(number, float) and not math.isfinite(number)]


def count(rows, _feature):
    return len(rows)


def total(numbers):
    """The sum of numbers of one type, in the type of a sum."""
    if isinstance(numbers[0], int):
        return sum(numbers)
    if isinstance(numbers[0], float) and (odd := non_finite(numbers)):
        return sum(odd)
    integers, denominator = whole(numbers)
    if isinstance(numbers[0], float):
        return rounded(sum(integers), denominator)
    return decimal(Fraction(sum(integers), denominator), scale(numbers))


def sum_(rows, _feature):
    if not rows:
        return None
    result = total(values(rows))
    if isinstance(result, int) and result not in INT64:
        raise AggregationError("the sum is past the range of int64")
    if isinstance(result, Decimal) and abs(unscaled(result)) >= LARGEST_DECIMAL:
        raise AggregationError("the sum is past 38 digits")
    return result


def mean(rows, _feature):
    if not rows:
        return None
    result = total(values(rows))
    if isinstance(result, Decimal):
        return float(unscaled(result)) / 10.0 ** -result.as_tuple().exponent / len(rows)
    return float(result) / len(rows)


def scale(numbers):
    return max(-number.as_tuple().exponent for number in numbers)


def unscaled(number):
    above, below = number.as_integer_ratio()
    return above * (10 ** -number.as_tuple().exponent // below)


def decimal(fraction, digits_after_point):
    whole = fraction * 10**digits_after_point
    assert whole.denominator == 1
    return Decimal((int(whole < 0), tuple(map(int, str(abs(whole.numerator)))), -digits_after_point))


def minimum(rows, _feature):
    return min(values(rows), key=order, default=None)


def maximum(rows, _feature):
    return max(values(rows), key=order, default=None)


def var(rows, feature):
    degrees_lost = feature.get("ddof", 0)
    if len(rows) <= degrees_lost:
        return None
    if non_finite(values(rows)):
        return math.nan
    above, below = deviations(values(rows), 2)
    return rounded(above, below * (len(rows) - degrees_lost))


def std(rows, feature):
    variance = var(rows, feature)
    return None if variance is None else math.sqrt(variance)


def deviations(numbers, power):
    """The sum of the powers of what each number is away from the mean, as a quotient."""
    integers, denominator = whole(numbers)
    centre, n = sum(integers), len(integers)
    return sum((n * x - centre) ** power for x in integers), (n * denominator) ** power


def central_moment(numbers, power):
    above, below = deviations(numbers, power)
    return rounded(above, below * len(numbers))


def skew(rows, _feature):
    if non_finite(values(rows)):
        return math.nan
    if not rows or (spread := central_moment(values(rows), 2)) == 0:
        return None
    return divided(central_moment(values(rows), 3), spread * math.sqrt(spread))


def kurtosis(rows, _feature):
    if non_finite(values(rows)):
        return math.nan
    if not rows or (spread := central_moment(values(rows), 2)) == 0:
        return None
    return divided(central_moment(values(rows), 4), spread * spread) - 3.0


def first(rows, _feature):
    return rows[0].value if rows else None


def last(rows, _feature):
    return rows[-1].value if rows else None


def first_k(rows, feature):
    return values(rows[: feature["k"]])


def last_k(rows, feature):
    return values(rows[-feature["k"] :])


def top_k(rows, feature):
    # Sorting is stable in reverse too: of equal values the one that is first in the total order stays first.
    return values(sorted(rows, key=lambda row: order(row.value), reverse=True)[: feature["k"]])


def bottom_k(rows, feature):
    return values(sorted(rows, key=lambda row: order(row.value))[: feature["k"]])


def distinct_count(rows, _feature):
    return len({identity(value) for value in values(rows)})


def value_counts(rows, _feature):
    result = {}
    for value in values(rows):
        key = identity(value)
        result[key] = result.get(key, 0) + 1
    return result


def approx_distinct(rows, feature):
    """Five standard errors of a HyperLogLog, and never less than one either way."""
    if not rows:
        return None
    true = distinct_count(rows, feature)
    slack = max(1.0, 5 * 1.04 / math.sqrt(2 ** feature["lg_k"]) * true)
    return Between(true - slack, true + slack)


def approx_quantile(rows, feature):
    """The stated relative error round the value at the quantile's rank."""
    if not rows:
        return None
    if non_finite(values(rows)):
        return Between(-math.inf, math.inf)
    ascending = sorted(map(float, values(rows)), key=order)
    true = ascending[math.floor(feature.get("quantile", 0.0) * (len(ascending) - 1))]
    slack = feature["relative_error"] * abs(true) * (1 + 1e-9) + 5e-324
    return Between(true - slack, true + slack)


AGGREGATIONS = {
    "count": count,
    "sum": sum_,
    "mean": mean,
    "min": minimum,
    "max": maximum,
    "var": var,
    "std": std,
    "skew": skew,
    "kurtosis": kurtosis,
    "first": first,
    "last": last,
    "first_k": first_k,
    "last_k": last_k,
    "top_k": top_k,
    "bottom_k": bottom_k,
    "distinct_count": distinct_count,
    "value_counts": value_counts,
    "approx_distinct": approx_distinct,
    "approx_quantile": approx_quantile,
}
