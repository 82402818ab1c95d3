"""A dissection's labels with what is known of their worth: q-values, stability, and whether the dissector knows the concept."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection


def passing_share(dissections: Mapping[str, Dissection], q: float = 0.05, **calibration) -> pd.DataFrame:
    """How many neurons pass the published rule and how many the calibrated one.

    Returns
    -------
    DataFrame
        setup, layer, neurons, published (share whose top similarity reaches the layer's tau), calibrated (share with a q-value
        of at most q), agree (share of the calibrated whose two labels are the same).
    """
    from mdissect.analysis import judge, thresholds

    rows = []
    for setup, dissection in dissections.items():
        published = judge(dissection.published, thresholds(dissection))
        found = dissection.labels(q=q, **calibration)
        both = published.merge(found, on=["layer", "neuron"], suffixes=("", "_calibrated"))
        for layer, table in both.groupby("layer", sort=False):
            named = table[table.concept_calibrated != ""]
            same = (named.concept == named.concept_calibrated).mean() if len(named) else np.nan
            shares = {"published": table.passes.mean(), "calibrated": len(named) / len(table), "agree": same}
            rows.append({"setup": setup, "layer": layer, "neurons": len(table), **shares})
    return pd.DataFrame(rows)
