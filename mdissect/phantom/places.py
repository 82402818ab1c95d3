"""Where the findings of a phantom lie, pixel by pixel."""

import re

import numpy as np

from mdissect.phantom.mammograms import masks, truth_of_row
from mdissect.probes import Probe


def finding_mask(probe: Probe, position: int, finding: str) -> np.ndarray:
    """The pixels that a finding takes in a phantom of a probe; tighter than its boxes.

    Parameters
    ----------
    probe : Probe
        Of `load_probe("phantom")`, or a part of one.
    position : int
    finding : str
        As boxes call it: "calcification", "lymph node".

    Returns
    -------
    bool array (height, width)
        False everywhere when the phantom does not show it.

    Raises
    ------
    ValueError
        The image is no phantom.
    """
    name = re.fullmatch(r"phantom-(\d+)-\d+", probe.ids[position])
    if not name:
        raise ValueError(f"image {probe.ids[position]!r} is no phantom, whose ids are phantom-<seed>-<index>")
    shape = probe[position].shape
    row = probe.table.iloc[position].to_dict()
    truth = truth_of_row(row | {"index": int(row["index"]), "birads": int(row["birads"])})
    return masks(truth, int(name[1]), *shape).get(finding, np.zeros(shape, dtype=bool))
