"""What speaks for the labels of a dissection, as columns to attach: for explorers, atlas and tables."""

import warnings
from collections.abc import Sequence

import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, texts
from mdissect.columns import KEYS
from mdissect.dissection import Dissection
from mdissect.hardware import memory_bytes
from mdissect.signatures import validated
from mdissect.trust.clarity import clarity
from mdissect.trust.predicts import predicts

OF_LABEL = ("predicts", "predicts_low", "predicts_high", "corrected")
OF_NEURON = ("clarity", "clarity_low", "clarity_high")


@validated(layers=texts, n_splits=AT_LEAST_ONE, n_boot=AT_LEAST_ONE, memory=memory_bytes)
def evidence(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    *,
    n_splits: int = 8,
    n_boot: int = 200,
    seed: int = 0,
    memory: int | str | None = None,
) -> pd.DataFrame:
    """Whether labels predict unseen patients, and how alike the neurons' top images are.

    >>> shown = found.with_columns(trust.evidence(found))                                       # doctest: +SKIP
    >>> mdissect.write_atlas(shown, probe)                                                      # doctest: +SKIP

    Explorers and the atlas show these columns beside every label. What cannot be measured, as of a result that was read from a
    CSV, is left out with a warning that says why.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_splits, seed, memory
        As in `mdissect.trust.predicts`.
    n_boot : int
        Resamples of `mdissect.trust.clarity`.

    Returns
    -------
    DataFrame
        For `Dissection.with_columns`: layer, neuron, concept; predicts, predicts_low, predicts_high and corrected in the rows
        of the neurons' labels (`mdissect.trust.predicts`), and clarity, clarity_low and clarity_high in rows of the neurons
        themselves, whose concept is "" (`mdissect.trust.clarity`).

    Raises
    ------
    ValueError
        Nothing can be measured; an unknown layer.
    """
    if unknown := [layer for layer in layers or () if layer not in dissection.similarity]:
        raise ValueError(f"no layer {', '.join(unknown)}; there are {', '.join(dissection.similarity)}")
    found, missing = [], []
    try:
        table = predicts(dissection, layers, n_splits=n_splits, seed=seed, memory=memory)
        found.append(table.loc[table.concept != "", [*KEYS, *OF_LABEL]])
    except ValueError as error:
        missing.append(f"predicts: {error}")
    try:
        table = clarity(dissection, layers, top=_top(dissection), n_boot=n_boot, seed=seed)
        found.append(table[["layer", "neuron", *OF_NEURON]].assign(concept=""))
    except ValueError as error:
        missing.append(f"clarity: {error}")
    if not found:
        raise ValueError(f"no evidence can be measured. {'; '.join(missing)}")
    for one in missing:
        warnings.warn(f"{dissection.settings.get('target', 'this result')} is shown without {one}", stacklevel=2)
    table = pd.concat(found, ignore_index=True)
    return table[[*KEYS, *(name for name in table if name not in KEYS)]]


def _top(dissection: Dissection) -> int:
    """How many top images a neuron has: as many as in the method, where that is a number that clarity takes."""
    top = dissection.settings.get("top_k")
    return max(top, 3) if isinstance(top, int) and not isinstance(top, bool) else 20
