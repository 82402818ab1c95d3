"""Readers that are made up from what is known of the images, to try a reader study before there are readers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, kind_of, number, table_with
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.trust import known_presence, label_precision
from mdissect.trust.readers import VERDICTS

RIGHT, PARTLY = 2 / 3, 1 / 3  # of the top images: from these shares on they show the label, or show it in part


def _errors(name: str, value: Mapping[str, float]) -> dict[str, float]:
    kind_of(name, value, Mapping)
    return {reader: number(f"{name}[{reader!r}]", share, least=0, most=1) for reader, share in value.items()}


@validated(top=AT_LEAST_ONE)
def true_verdicts(dissection: Dissection, places: Sequence[tuple[str, int]], top: int = 20) -> pd.DataFrame:
    """The verdict on some neurons' labels that the images' known content gives.

    >>> true_verdicts(found, notes.places(found)).verdict.value_counts()                        # doctest: +SKIP

    Parameters
    ----------
    places : list of (layer, neuron)
    top : int
        Strongest images of a neuron that count.

    Returns
    -------
    DataFrame
        layer, neuron, label, verdict: "right" where two thirds of the top images or more show the label, "partly" where one
        third, "wrong" where fewer, "cannot tell" where it is not known of them or there is no label.

    Raises
    ------
    ValueError
        The dissection has no activations.
    """
    precision = label_precision(dissection, top, known_presence(dissection)).set_index(["layer", "neuron"]).precision
    labels = dissection.labels().set_index(["layer", "neuron"]).concept
    shares = precision.reindex(pd.MultiIndex.from_tuples(places, names=["layer", "neuron"]))
    table = shares.reset_index().assign(label=labels.reindex(shares.index).to_numpy())
    steps = [table.precision >= RIGHT, table.precision >= PARTLY, table.precision < PARTLY]
    return table.assign(verdict=np.select(steps, VERDICTS[:3], VERDICTS[3]))[["layer", "neuron", "label", "verdict"]]


@validated(truth=table_with("layer", "neuron", "label", "verdict", made_by="true_verdicts(...)"), errors=_errors)
def made_up_readers(truth: pd.DataFrame, errors: Mapping[str, float], seed: int = 0) -> pd.DataFrame:
    """Verdicts of readers who are not people: the true one, or with a stated probability another, drawn at random.

    >>> made_up_readers(truth, {"made-up A": 0.1, "made-up B": 0.25})                           # doctest: +SKIP

    Parameters
    ----------
    truth : DataFrame
        As `true_verdicts` returns it.
    errors : mapping of reader to float
        The probability of another verdict than the true one, each of the others alike.

    Returns
    -------
    DataFrame
        layer, neuron, reader, label, verdict: a table for `mdissect.trust.reader_agreement`.
    """
    rng, parts = np.random.default_rng(seed), []
    codes = truth.verdict.map(VERDICTS.index).to_numpy(dtype=int)
    for reader, share in errors.items():
        wrong, other = rng.random(len(truth)) < share, rng.integers(1, len(VERDICTS), len(truth))
        given = np.where(wrong, (codes + other) % len(VERDICTS), codes)
        parts.append(truth.assign(reader=reader, verdict=[VERDICTS[code] for code in given]))
    columns = ["layer", "neuron", "reader", "label", "verdict"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
