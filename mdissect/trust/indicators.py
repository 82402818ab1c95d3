"""Which number tells labels that are right from those that are not, where the truth is known?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, SHARE, has_columns, strings, table_with
from mdissect.signatures import validated

TRUTH = table_with("layer", "neuron", "concept", "auc", made_by="trust.agreement(...)")
VALUES = table_with("layer", "neuron", made_by="Dissection.labels(...)")
RIGHT = 0.8  # AUC of a neuron for its label from which on the label counts as right
LEVEL = 0.95
FEWEST = 3  # right and wrong labels of a layer without which it says nothing
AT_A_TIME = 500  # resamples
FALLING = ("p", "q", "p_label")  # the smaller, the better


@validated(truth=TRUTH, table=VALUES, right=SHARE, n_boot=AT_LEAST_ONE, columns=strings)
def indicators(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    columns: Sequence[str] = ("predicts", "q", "similarity"),
    right: float = RIGHT,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each column of a table tells right labels from wrong ones: its AUC, and how far the first column is ahead.

    >>> labels = found.calibrated().with_columns(trust.predicts(found.calibrated())).labels()          # doctest: +SKIP
    >>> indicators(labels, trust.agreement(found, labels), ["predicts", "q", "similarity"])            # doctest: +SKIP

    A label is right where the neuron's activation tells images with the concept from those without: AUC `right` or more.

    Parameters
    ----------
    table : DataFrame
        layer, neuron and `columns`: a number per neuron. Of p, q and p_label the smallest counts as the best, of others the
        largest.
    truth : DataFrame
        What `trust.agreement` returns for these labels: the labels whose presence is known.
    columns : sequence of str
        The first one is compared with each of the others.
    right : float
        AUC of a right label.
    n_boot, seed
        Bootstrap resamples of the neurons.

    Returns
    -------
    DataFrame
        A row per column: indicator, auc (mean over the layers), low, high, ahead (AUC of the first column minus its own),
        ahead_low, ahead_high, neurons (all numbers known), right (how many of these), layers. NaN where no layer has 3 right
        and 3 wrong labels.

    Raises
    ------
    ValueError
        A column that the table does not have, or none given; several rows for a neuron.

    Notes
    -----
    The intervals (95 %) are a bootstrap over the neurons within each layer, the same neurons for all columns. They say how sure
    the comparison is for more neurons like these; the neurons share the probe's patients, whom the intervals keep in place.
    """
    columns = list(dict.fromkeys(columns))
    if not columns:
        raise ValueError("columns=[] must be a list of str, at least one")
    has_columns("table", table, *columns)
    keys = ["layer", "neuron"]
    if table.duplicated(keys).any():
        raise ValueError("table has several rows for a neuron; give one label per neuron (labels(top=1))")
    rows = truth[[*keys, "auc"]].merge(table[[*keys, *columns]], on=keys).dropna()
    rows = rows.assign(right=rows.auc >= right)
    counts = rows.groupby("layer", sort=False).right.agg(["sum", "size"])
    usable = counts.index[(counts["sum"] >= FEWEST) & (counts["size"] - counts["sum"] >= FEWEST)]
    rows, rng = rows[rows.layer.isin(usable)], np.random.default_rng(seed)
    own, drawn = np.full(len(columns), np.nan), np.full((n_boot, len(columns)), np.nan)
    if len(usable):
        parts = [_areas(part, columns, n_boot, rng) for _, part in rows.groupby("layer", sort=False)]
        own, drawn = (np.mean([part[i] for part in parts], axis=0) for i in (0, 1))
    table = pd.DataFrame({"indicator": columns, "auc": own})
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    table["low"], table["high"] = np.nanquantile(drawn, ends, axis=0) if len(usable) else (np.nan, np.nan)
    table["ahead"], ahead = own[0] - own, drawn[:, :1] - drawn
    table["ahead_low"], table["ahead_high"] = np.nanquantile(ahead, ends, axis=0) if len(usable) else (np.nan, np.nan)
    return table.assign(neurons=len(rows), right=int(rows.right.sum()), layers=len(usable))


def _areas(rows: pd.DataFrame, columns: list[str], n_boot: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each column (n_columns,), and of resamples of the rows (n_boot, n_columns); NaN where one has a single kind."""
    signs = np.where(np.isin(columns, FALLING), -1.0, 1.0)
    values, right = rows[columns].to_numpy(dtype=float) * signs, rows.right.to_numpy()
    wins = [
        (one[right][:, None] > one[~right]) + 0.5 * (one[right][:, None] == one[~right]) for one in values.T
    ]  # (n_right, n_wrong) each
    own, parts = np.array([win.mean() for win in wins]), []
    for start in range(0, n_boot, AT_A_TIME):
        weights = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), min(AT_A_TIME, n_boot - start)).astype(float)
        good, bad = weights[:, right], weights[:, ~right]
        pairs = good.sum(axis=1) * bad.sum(axis=1)
        found = np.stack([((good @ win) * bad).sum(axis=1) for win in wins], axis=1)
        parts.append(np.divide(found, pairs[:, None], out=np.full(found.shape, np.nan), where=pairs[:, None] > 0))
    return own, np.concatenate(parts)
