"""What a neuron's top images have in common, by the probe's own table: a check of its label, and of confounds."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api import types

from mdissect.arguments import number, whole_number
from mdissect.dissection import Dissection
from mdissect.metrics import strongest
from mdissect.wording import percent

TOP_IMAGES = 20
FEWEST_IMAGES = 3  # that must have a fact for it to be looked at
MOST_VALUES = 12  # of a column of numbers before it is cut into bands of equal size
BANDS = 4
SIDES = {"L": "left breast", "R": "right breast"}
_BIRADS = re.compile(r"\bbi-?rads\b", re.IGNORECASE)
LEFT_OUT = ("patient", "study", "index", "image_id")


@dataclass(frozen=True)
class Facts:
    """Yes-or-no facts of images. `held` and `known` are (n_images, n_facts) bool; `names` and `columns` (n_facts,) str."""

    names: list[str]
    columns: list[str]
    held: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class TableFacts:
    """All facts of a dissection, the patient of each image (n_images,) int, and how frequent each fact is (n_facts,)."""

    facts: Facts
    patients: np.ndarray
    expected: np.ndarray  # the chance that a random image of a random patient has it
    share_all: np.ndarray  # of the images of which it is known

    @classmethod
    def of(cls, dissection: Dissection) -> "TableFacts":
        """Those of a dissection's table."""
        facts = facts_of(dissection.probe_table)
        patients = pd.factorize(np.asarray(dissection.patients or range(len(dissection.probe_table)), dtype=object))[0]
        share_all = facts.held.sum(axis=0) / np.maximum(facts.known.sum(axis=0), 1)
        return cls(facts, patients, _patient_shares(facts, patients), share_all)


def shared_facts(
    dissection: Dissection,
    layer: str,
    neuron: int | None = None,
    top: int | None = None,
    q: float | None = 0.05,
    known: TableFacts | None = None,
) -> pd.DataFrame:
    """Facts of the probe's table that are more frequent among a neuron's top images than among all images.

    >>> shared_facts(found, "bn2", 224).head(1)[["fact", "in_top", "of_top", "share_all"]]    # doctest: +SKIP
                  fact  in_top  of_top  share_all
    0  skin thickening      20      20       0.11

    All columns of the table are tested: findings, density, view, side, machine, site, age (in four bands of equal size), ...
    They reveal a wrong label (the images share something else) and a confound (they share a machine).

    Parameters
    ----------
    neuron : int, optional
        All neurons of the layer when None.
    top : int, optional
        How many top images; None: as many as in the dissection (top_k), else 20.
    q : float, optional
        Only facts at this false discovery rate; all facts when None.
    known : TableFacts, optional
        ``TableFacts.of(dissection)``, to look at one neuron after another; computed when None.

    Returns
    -------
    DataFrame
        neuron, fact, column (of the table), in_top (top images with the fact), of_top (top images of which it is known),
        share_all (share of all images), patients (different ones among the top images), p, q; lowest p first. p: each
        patient counts once, with its strongest image, against a random image of a random patient (upper tail of the binomial
        distribution). q: Benjamini and Hochberg over the facts of one neuron.

    Raises
    ------
    ValueError, KeyError, IndexError
        An option out of range; a layer or neuron that is not there, or a dissection without activations.
    """
    n_images = len(dissection.probe_table)
    top = whole_number("top", min(dissection.settings.get("top_k", TOP_IMAGES), n_images) if top is None else top, 1, n_images)
    q = 1.0 if q is None else number("q", q, above=0, most=1)
    best_images = _strongest_of(dissection, layer, neuron, top)
    neurons = range(len(best_images)) if neuron is None else [neuron]
    known = known or TableFacts.of(dissection)
    facts, share_all = known.facts, known.share_all
    parts: list[tuple] = []
    for number_, best in zip(neurons, best_images, strict=True):
        _, first = np.unique(known.patients[best], return_index=True)
        held, there = facts.held[best], facts.known[best]
        p = _at_least(held[first].sum(axis=0), there[first].sum(axis=0), known.expected)
        in_top, of_top = held.sum(axis=0), there.sum(axis=0)
        adjusted = _false_discovery(p)
        at = np.flatnonzero((in_top > of_top * share_all) & (adjusted <= q))
        at = at[np.lexsort((share_all[at], p[at]))]
        parts += [(number_, i, in_top[i], of_top[i], len(first), p[i], adjusted[i]) for i in at]
    kinds = (int, int, int, int, int, float, float)
    cells = zip(*parts, strict=True) if parts else [()] * len(kinds)
    rows = [np.array(one, dtype=kind) for one, kind in zip(cells, kinds, strict=True)]
    neurons, which, in_top, of_top, n_patients, p, adjusted = rows
    names, columns = (np.array(one, dtype=object)[which] for one in (facts.names, facts.columns))
    return pd.DataFrame(
        {
            "neuron": neurons,
            "fact": names,
            "column": columns,
            "in_top": in_top,
            "of_top": of_top,
            "share_all": share_all[which],
            "patients": n_patients,
            "p": p,
            "q": adjusted,
        }
    )


def in_words(shared: pd.DataFrame, most: int = 2) -> str:
    """The first facts of `shared_facts` in a line, "" for none.

    >>> in_words(pd.DataFrame({"fact": ["implant"], "in_top": [20], "of_top": [20], "share_all": [0.105]}))
    'implant: 20 of 20 top images, 10 % of all'
    """
    rows = shared.head(most).itertuples()
    return "; ".join(f"{row.fact}: {row.in_top} of {row.of_top} top images, {_share(row.share_all)} of all" for row in rows)


def _strongest_of(dissection: Dissection, layer: str, neuron: int | None, top: int) -> np.ndarray:
    """The positions of the strongest images of a neuron, or of all (n_neurons, top)."""
    if layer not in dissection.activations and layer in dissection.top_activations:
        images = dissection.top_activations[layer].images
        if top > images.shape[1]:
            raise ValueError(f"top={top} images of a result that keeps the {images.shape[1]} strongest; lower top")
        return images[:, :top] if neuron is None else images[neuron : neuron + 1, :top]
    activations = dissection.activations_of(layer) if neuron is None else dissection.activations_of(layer, neuron)[:, None]
    return strongest(activations, top).T


def _at_least(hits: np.ndarray, n: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The upper tail of the binomial distribution, P(X >= hits) (n_facts,); scipy.stats takes half a second to import."""
    from scipy.special import betainc

    p = betainc(np.maximum(hits, 1), np.maximum(n - hits + 1, 1), share)
    return np.where(hits > 0, np.where(hits > n, 0.0, p), 1.0)


def _false_discovery(p: np.ndarray) -> np.ndarray:
    """q-values of Benjamini and Hochberg (n_facts,)."""
    order = np.argsort(p, kind="stable")
    q = np.empty(len(p))
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return q


def _share(share: float) -> str:
    return "under 1 %" if 0 < share < 0.005 else percent(share)


def facts_of(table: pd.DataFrame) -> Facts:
    """The facts of a probe's table, one row per image.

    A column of true and false is a fact; any other column one for each of its values (several in a cell are joined by "; "),
    numbers of many values in bands. An empty text says that the image has none of them, a missing value that nothing is known.
    Facts of the same images are one; those of fewer than three images, or of all, are left out.
    """
    names, columns, held, known = [], [], [], []
    seen = set()
    for column in table.columns.difference(LEFT_OUT, sort=False):
        there = table[column].notna().to_numpy()
        for value, has in _values(table[column]):
            pattern = (has.tobytes(), there.tobytes())
            if has.sum() >= FEWEST_IMAGES and has.sum() < there.sum() and pattern not in seen:
                seen.add(pattern)
                names.append(_fact_name(str(column), value))
                columns.append(str(column))
                held.append(has)
                known.append(there)
    empty = np.zeros((len(table), 0), dtype=bool)
    return Facts(names, columns, *(np.stack(one, axis=1) if one else empty for one in (held, known)))


def _values(column: pd.Series) -> list[tuple[str, np.ndarray]]:
    """The values of a column, each with the images (n_images,) bool that have it."""
    present = column.dropna()
    if types.is_bool_dtype(column) or (len(present) and all(isinstance(value, (bool, np.bool_)) for value in present)):
        return [("", column.map(lambda value: value is not None and value == value and bool(value)).to_numpy(dtype=bool))]
    if types.is_numeric_dtype(column):
        if present.nunique() > MOST_VALUES:
            column = _bands(column)
        else:
            column = column.map(lambda value: "" if value != value else f"{value:g}")
    cells = [_parts(cell) for cell in column]
    values = sorted({value for cell in cells for value in cell})
    return [(value, np.array([value in cell for cell in cells])) for value in values]


def _bands(numbers: pd.Series) -> pd.Series:
    """Numbers as the names of their bands: "40 to 52"."""
    bands = pd.qcut(numbers.astype(float), BANDS, duplicates="drop")
    ranges = numbers.groupby(bands, observed=True).agg(["min", "max"])
    words = {band: f"{row['min']:g} to {row['max']:g}" for band, row in ranges.iterrows()}
    return bands.astype(object).map(words).fillna("")


def _parts(cell) -> frozenset[str]:
    """The values of a cell; none where it is empty or missing."""
    if isinstance(cell, (list, tuple, set, frozenset)):
        return frozenset(str(value).strip() for value in cell)
    if cell is None or cell != cell:
        return frozenset()
    return frozenset(part.strip() for part in str(cell).split(";")) - {""}


def _fact_name(column: str, value: str) -> str:
    """A fact in words: "density C", "skin thickening", "BI-RADS 4", "left breast"."""
    words = _BIRADS.sub("BI-RADS", column.replace("_", " "))
    if column == "findings" or value.casefold() == words.casefold():
        return value
    if column == "laterality" and value in SIDES:
        return SIDES[value]
    return f"{words} {value}".strip()


def _patient_shares(facts: Facts, patients: np.ndarray) -> np.ndarray:
    """(n_facts,) the chance that a random image of a random patient has each fact, of those of which it is known."""
    n_patients = patients.max(initial=-1) + 1
    held, known = np.zeros((n_patients, len(facts.names))), np.zeros((n_patients, len(facts.names)))
    np.add.at(held, patients, facts.held)
    np.add.at(known, patients, facts.known)
    return (held / np.maximum(known, 1)).sum(axis=0) / np.maximum((known > 0).sum(axis=0), 1)
