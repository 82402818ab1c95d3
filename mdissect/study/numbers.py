"""Numbers of claims and tables in words, with their intervals where there are any."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect.trust import count_interval

Interval = tuple[float, float] | None


def short(count: float) -> str:
    """A count as it is, a fraction in three digits.

    >>> short(12.0), short(0.12345)
    ('12', '0.123')
    """
    return f"{count:.3g}" if count % 1 else f"{int(count)}"


def with_interval(count: float, interval: Interval = None) -> str:
    """A number, with its interval in brackets where there is one.

    >>> with_interval(12, (8, 15)), with_interval(12)
    ('12 (8 to 15)', '12')
    """
    return short(count) + (f" ({short(interval[0])} to {short(interval[1])})" if interval else "")


def interval_of(own: float, drawn: np.ndarray | None, most: float) -> Interval:
    """The 95 % interval of a count between 0 and `most`, from the same count on resamples; None without resamples."""
    if drawn is None:
        return None
    low, high = count_interval(float(own), drawn, float(most))
    return float(low), float(high)


def of_row(row: pd.Series | Mapping, count: str) -> str:
    """A column of a row with its interval, where the row has <column>_low and <column>_high."""
    return with_interval(row[count], (row[f"{count}_low"], row[f"{count}_high"]) if f"{count}_low" in row else None)


def threshold(row: Mapping | pd.Series) -> str:
    """A threshold with its interval, where there is one (low, high)."""
    interval = f" ({row['low']:.2f} to {row['high']:.2f})" if "low" in row else ""
    return f"{row['threshold']:.2f}{interval}"
