"""The aggregations: one function each, to be named in the `features=` of a view.

All of them take

- `input`: a SQL expression over the columns of the view's rows; nulls are skipped, and so are NaN and infinity unless
  the view says `nan="keep"`;
- `over`: a duration such as `"7d"` (a sliding window), a window, None for all time before the query, or a list of
  these. Each window gives an output of its own, named by the feature and the window;
- `where`: a SQL expression; only rows for which it is true are seen;
- `by`: a SQL expression; the value becomes a map from its values to the aggregate of their rows. Keys without a row
  that counts are absent, and rows where it is null are skipped;
- `description`: free text.

A value is a function of the rows in the window and nothing else: neither the order of arrival nor retractions show.
Sums of floats are exact and rounded once. Without input, a count is 0, a list or map is empty, and the rest is null.
Wrong argument types raise `TypeError`; an input that the aggregation cannot take is a problem of the compilation.
"""

# `min`, `max` and `sum` are named as in SQL, and shadow nothing that this file uses.

from __future__ import annotations

from . import arguments
from .features import Feature
from .windows import Over

DEFAULT_LG_K = 12
DEFAULT_RELATIVE_ERROR = 0.01


def count(
    input: str | None = None,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The number of rows, or with an `input` of its non-null values, as int64. Never null."""
    return Feature("count", input, over=over, where=where, by=by, description=description)


def sum(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The sum: int64 for integers, float64 for floats, decimal(38,s) for decimals.

    Past the range of int64 or of the decimal the value is an `ERROR` status, never a wrapped number.
    """
    return Feature("sum", input, over=over, where=where, by=by, description=description)


def mean(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The mean, as float64: the exact sum, rounded once, divided by the number of values."""
    return Feature("mean", input, over=over, where=where, by=by, description=description)


def min(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The smallest value, of the input's type. Text and bytes are ordered by bytes, false before true."""
    return Feature("min", input, over=over, where=where, by=by, description=description)


def max(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The largest value, of the input's type. Text and bytes are ordered by bytes, false before true."""
    return Feature("max", input, over=over, where=where, by=by, description=description)


def var(
    input: str,
    *,
    ddof: int = 1,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The variance, as float64, from exact sums and rounded once; null where there are no more than `ddof` values.

    `ddof` is 1 for the sample variance, 0 for that of the population.
    """
    parameters = {"ddof": arguments.natural(ddof, "ddof")}
    return Feature("var", input, over=over, where=where, by=by, description=description, parameters=parameters)


def std(
    input: str,
    *,
    ddof: int = 1,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The standard deviation, as float64: the root of `var`; null where there are no more than `ddof` values.

    `ddof` is 1 for that of the sample, 0 for that of the population.
    """
    parameters = {"ddof": arguments.natural(ddof, "ddof")}
    return Feature("std", input, over=over, where=where, by=by, description=description, parameters=parameters)


def skew(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The skewness of the population (not the sample), as float64; null where all values are equal."""
    return Feature("skew", input, over=over, where=where, by=by, description=description)


def kurtosis(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The excess kurtosis of the population, as float64: 0 for a normal one; null where all values are equal."""
    return Feature("kurtosis", input, over=over, where=where, by=by, description=description)


def first(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The value with the earliest event time; of equal times the one that was accepted first."""
    return Feature("first", input, over=over, where=where, by=by, description=description)


def last(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The value with the latest event time; of equal times the one that was accepted last. Nulls are skipped."""
    return Feature("last", input, over=over, where=where, by=by, description=description)


def first_k(
    input: str,
    *,
    k: int,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """A list of the `k` (at most 10,000) first values by event time, the earliest first."""
    parameters = {"k": arguments.natural(k, "k", least=1)}
    return Feature("first_k", input, over=over, where=where, by=by, description=description, parameters=parameters)


def last_k(
    input: str,
    *,
    k: int,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """A list of the `k` (at most 10,000) last values by event time, the latest at the end."""
    parameters = {"k": arguments.natural(k, "k", least=1)}
    return Feature("last_k", input, over=over, where=where, by=by, description=description, parameters=parameters)


def top_k(
    input: str,
    *,
    k: int,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """A list of the `k` (at most 10,000) largest values, the largest first; of equal values the earliest first."""
    parameters = {"k": arguments.natural(k, "k", least=1)}
    return Feature("top_k", input, over=over, where=where, by=by, description=description, parameters=parameters)


def bottom_k(
    input: str,
    *,
    k: int,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """A list of the `k` (at most 10,000) smallest values, the smallest first; of equal values the earliest first."""
    parameters = {"k": arguments.natural(k, "k", least=1)}
    return Feature("bottom_k", input, over=over, where=where, by=by, description=description, parameters=parameters)


def distinct_count(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The exact number of different values, as int64. Never null; -0.0 and 0.0 are one value, as are all NaN."""
    return Feature("distinct_count", input, over=over, where=where, by=by, description=description)


def value_counts(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """A map from each value to how often it occurs (int64), sorted by value."""
    return Feature("value_counts", input, over=over, where=where, by=by, description=description)


def approx_distinct(
    input: str,
    *,
    lg_k: int = DEFAULT_LG_K,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """About how many different values there are, as int64, by HyperLogLog.

    Args:
        lg_k: the base-2 logarithm of the number of registers, 4 to 18. The relative standard error is about
            `1.04 / sqrt(2 ** lg_k)`: 1.6 % for the default of 12, in 4 kB of state for each entity and tile.

    Rows of a change source cannot be taken back from it: use `distinct_count` there.
    """
    parameters = {"lg_k": arguments.natural(lg_k, "lg_k", least=1)}
    return Feature(
        "approx_distinct", input, over=over, where=where, by=by, description=description, parameters=parameters
    )


def approx_quantile(
    input: str,
    *,
    quantile: float,
    relative_error: float = DEFAULT_RELATIVE_ERROR,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """About the value below which a share `quantile` of the values lies, as float64, by DDSketch.

    Args:
        quantile: from 0 to 1; 0.5 is the median.
        relative_error: the answer is within this share of the true value, for the default of 0.01 within 1 %.
    """
    parameters = {
        "quantile": arguments.number(quantile, "quantile", 0.0, 1.0),
        "relative_error": arguments.number(relative_error, "relative_error", 0.0, 1.0),
    }
    return Feature(
        "approx_quantile", input, over=over, where=where, by=by, description=description, parameters=parameters
    )


def latest(
    input: str,
    *,
    over: Over = None,
    where: str | None = None,
    by: str | None = None,
    description: str = "",
) -> Feature:
    """The value in the newest row, null and NaN included: the row is read, and nothing is aggregated.

    Unlike `last`, which skips nulls.
    """
    return Feature("latest", input, over=over, where=where, by=by, description=description)
