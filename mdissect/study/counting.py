"""Counts of labels, with intervals over resampled patients where these are wanted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect.analysis import count_concepts
from mdissect.dissection import Dissection

Resampled = Mapping[str, np.ndarray] | None
"""`mdissect.trust.resampled_labels` of a dissection under some thresholds; None: no intervals are wanted."""


def _none(*_, **__) -> None:
    """There are no resamples."""


@dataclass(frozen=True)
class Counting:
    """How labels are counted. Made by `Study.counting`; without arguments: no intervals.

    Attributes
    ----------
    count : callable
        From a dissection, thresholds and by= to a table, as `mdissect.analysis.count_concepts`.
    labels : callable
        From a dissection and thresholds to `mdissect.trust.resampled_labels`, or None.
    margins : callable
        From a dissection and thresholds to `mdissect.trust.resampled_margins`, or None.
    neuron : callable
        From a dissection, layer, neuron and top= to `mdissect.trust.resampled_neuron`, or None.
    """

    count: Callable[..., pd.DataFrame] = field(default=count_concepts)
    labels: Callable[[Dissection, pd.DataFrame], Resampled] = field(default=_none)
    margins: Callable[[Dissection, pd.DataFrame], np.ndarray | None] = field(default=_none)
    neuron: Callable[..., tuple[np.ndarray, np.ndarray] | None] = field(default=_none)

    def __call__(self, dissection: Dissection, thresholds: pd.DataFrame, by: str) -> pd.DataFrame:
        """`count`."""
        return self.count(dissection, thresholds, by=by)
