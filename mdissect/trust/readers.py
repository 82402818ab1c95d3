"""Readers' verdicts on labels, compared: raw agreement, Cohen's and Fleiss' kappa, and the share of labels found right."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mdissect.arguments import AT_LEAST_ONE, RATE, table_with
from mdissect.concepts.forms import form
from mdissect.signatures import validated
from mdissect.wording import VERDICTS

ALL_LAYERS, MAJORITY = "all layers", "majority"
LEAST_NEURONS = 10  # for an interval by resampling
KEYS = ["layer", "neuron"]


@dataclass(frozen=True)
class Agreement:
    """How far readers agree; made by `reader_agreement`, which describes the tables."""

    readers: tuple[str, ...]
    layers: pd.DataFrame
    pairs: pd.DataFrame
    right: pd.DataFrame
    disagreements: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def neurons(self) -> int:
        """Those on which all readers gave a verdict."""
        return int(self.layers.neurons.iloc[-1])

    @property
    def share(self) -> float:
        """Of pairs of verdicts on a neuron that are the same, over all layers; NaN where no two can be compared."""
        return float(self.layers.share.iloc[-1])

    @property
    def kappa(self) -> float:
        """Agreement beyond chance over all layers; NaN where it is not defined, and `layers.note` says why."""
        return float(self.layers.kappa.iloc[-1])

    @property
    def method(self) -> str:
        """Whose kappa: "Cohen" (two readers), "Fleiss" (more) or "" (fewer)."""
        return str(self.layers.method.iloc[-1])


@validated(table=table_with(*KEYS, "reader", "verdict", made_by="Notes.table"), n_boot=AT_LEAST_ONE, level=RATE)
def reader_agreement(table: pd.DataFrame, n_boot: int = 2000, seed: int = 0, level: float = 0.95) -> Agreement:
    """The agreement of readers who judged the labels of one result.

    >>> found = reader_agreement(notes.table)                                                   # doctest: +SKIP
    >>> found.layers[["layer", "neurons", "share", "kappa", "kappa_low", "kappa_high"]]         # doctest: +SKIP

    Verdicts are names without an order; "cannot tell" is one of them. Kappa is Cohen's of two readers (Cohen 1960), Fleiss' of
    more (Fleiss 1971), over the neurons on which all of them gave a verdict on the same label. It is not defined for fewer than
    two readers, without such a neuron, or where all verdicts are the same: agreement by chance is then complete.

    **Intervals.** Neurons are drawn with replacement and the quantiles of kappa taken; resamples in which kappa is not
    defined are left out. There is none (NaN) for fewer than 10 neurons, or where no resample differs. Measured on made-up
    readers (two and three, kappa 0.38 and 0.70), a 95 % interval held kappa in 91 to 92 of 100 studies of 20 neurons, and in 93
    to 95 of 48 or 120. Those of shares are Wilson's, but of the share of equal pairs of three or more readers, which is
    resampled. They hold for neurons drawn at random, such as those of `Notes(neurons=32)`, and for these readers alone.

    Parameters
    ----------
    table : DataFrame
        Columns layer, neuron, reader, verdict; optional label (what was judged) and words (the reader's own, written before
        the label was seen). Rows without a verdict are left out.
    n_boot, seed
        Resamples of the neurons.
    level : float
        Of the intervals.

    Returns
    -------
    Agreement
        readers; and tables. `layers`, a row per layer and one for all: layer, neurons, method, share (of equal pairs of
        verdicts) and kappa with _low and _high, note (why kappa or its interval is not known). `pairs`, the same for every two
        readers, in the columns reader and other, over all layers. `right`, a row per layer and reader, and for "majority" (more
        than half of at least two readers): the number of each verdict, judged, share (right of judged) with low and high, words
        (verdicts with own words) and named (those whose words contain the label's words, whatever their form and order).
        `disagreements`: layer, neuron, label, a column per reader. `notes`: what was left out.

    Raises
    ------
    ValueError
        An unknown verdict; a reader with two verdicts on a neuron.
    """
    given = _checked(table)
    readers = tuple(sorted(given.reader.unique()))
    same, mixed = _of_one_label(given)
    wide = same.pivot(index=KEYS, columns="reader", values="verdict").reindex(columns=list(readers)).sort_index()
    options = (n_boot, seed, level)
    notes = [f"{mixed} neurons are left out: their readers judged different labels"] if mixed else []
    complete = wide.dropna()
    if len(readers) > 1 and len(complete) < len(wide):
        notes.append(f"{len(wide) - len(complete)} of {len(wide)} neurons have no verdict of all {len(readers)} readers")
    tables = (_by_layer(complete, options), _by_pair(wide, options), _right(given, level), _differing(wide, same))
    return Agreement(readers, *tables, tuple(notes))


@validated()
def names_label(words: str, label: str) -> bool:
    """Whether a reader's words contain a label's words, in any order, plural or spelling.

    >>> names_label("two masses, spiculated margins", "spiculated mass"), names_label("a mass", "spiculated mass")
    (True, False)

    Synonyms do not count, and a denied word counts ("no mass"): a lower bound that needs no model, not a judgement.
    """
    return bool(label.strip() and words.strip()) and form(label)[1] <= form(words)[1]


@validated(level=RATE)
def share_interval(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share; NaN of none.

    >>> [round(bound, 3) for bound in share_interval(8, 10)]
    [0.49, 0.943]
    """
    if not of:
        return float("nan"), float("nan")
    return tuple(map(float, stats.binomtest(count, of).proportion_ci(level, method="wilson")))


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with a verdict, with the columns label and words."""
    given = table[table.verdict.fillna("") != ""]
    if len(unknown := given[~given.verdict.isin(VERDICTS)]):
        raise ValueError(f"verdict {unknown.verdict.iloc[0]!r} is not one of {', '.join(VERDICTS)}")
    if (twice := given.duplicated([*KEYS, "reader"])).any():
        row = given[twice].iloc[0]
        raise ValueError(f"{row.reader} has two verdicts on neuron {row.neuron} of {row.layer}; keep one")
    return given.assign(**{name: given[name].fillna("") if name in given else "" for name in ("label", "words")})


def _of_one_label(given: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of neurons whose readers judged the same label, and how many neurons are left out."""
    labels = given.groupby(KEYS, sort=False).label.transform("nunique")
    return given[labels == 1], len(given[labels > 1].drop_duplicates(KEYS))


def _by_layer(complete: pd.DataFrame, options: tuple) -> pd.DataFrame:
    names = complete.index.get_level_values("layer")
    parts = [(layer, complete[names == layer]) for layer in dict.fromkeys(names)] + [(ALL_LAYERS, complete)]
    return pd.DataFrame([{"layer": layer, **_compared(part, *options)} for layer, part in parts])


def _by_pair(wide: pd.DataFrame, options: tuple) -> pd.DataFrame:
    """Every two readers over the neurons that both judged."""
    names = list(wide.columns)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    rows = [{"reader": a, "other": b, **_compared(wide[[a, b]].dropna(), *options)} for a, b in pairs]
    return pd.DataFrame(rows, columns=["reader", "other", *_compared(wide.iloc[:0], 1, 0, 0.95)])


def _compared(wide: pd.DataFrame, n_boot: int, seed: int, level: float) -> dict:
    """Agreement over neurons (rows) that all readers (columns) judged."""
    n, n_readers = wide.shape
    method = {0: "", 1: "", 2: "Cohen"}.get(n_readers, "Fleiss")
    row = {"neurons": n, "method": method} | dict.fromkeys(
        ("share", "share_low", "share_high", "kappa", "kappa_low", "kappa_high"), float("nan")
    )
    if n_readers < 2:
        return row | {"note": f"{('no reader', 'one reader')[n_readers]}: agreement needs two"}
    if not n:
        return row | {"note": "no neuron has verdicts of all readers"}
    codes = np.stack([wide[name].map(VERDICTS.index) for name in wide], axis=1)
    codes, times = np.unique(codes, axis=0, return_counts=True)  # neurons with the same verdicts count together
    (row["share"],), (row["kappa"],) = _kappas(codes, times[None])
    shares, kappas = _kappas(codes, np.random.default_rng(seed).multinomial(n, times / n, size=n_boot))
    if n_readers == 2:
        row["share_low"], row["share_high"] = share_interval(round(row["share"] * n), n, level)
    else:
        row["share_low"], row["share_high"] = _quantiles(shares, n, level)
    row["kappa_low"], row["kappa_high"] = _quantiles(kappas, n, level)
    return row | {"note": _why_unknown(row)}


def _kappas(codes: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of equal pairs and kappa (n_boot,) of verdicts (n_rows, n_readers), each drawn (n_boot, n_rows) times."""
    n_readers, weights = codes.shape[1], drawn / drawn.sum(axis=1, keepdims=True)
    given = codes[:, :, None] == np.arange(len(VERDICTS))  # (n_rows, n_readers, n_verdicts)
    counts = given.sum(axis=1)
    share = weights @ ((counts * (counts - 1)).sum(axis=1) / (n_readers * (n_readers - 1)))
    margins = np.einsum("bn,nrv->brv", weights, given)
    chance = (margins.prod(axis=1) if n_readers == 2 else margins.mean(axis=1) ** 2).sum(axis=1)
    defined = chance < 1 - 1e-9
    kappa = np.divide(share - chance, 1 - chance, out=np.full(len(share), np.nan), where=defined)
    return share, kappa


def _quantiles(drawn: np.ndarray, n_neurons: int, level: float) -> tuple[float, float]:
    """An interval of what was drawn, NaN where the draws cannot give one."""
    known = drawn[~np.isnan(drawn)]
    if n_neurons < LEAST_NEURONS or 2 * len(known) < len(drawn) or np.ptp(known) < 1e-9:
        return float("nan"), float("nan")
    return tuple(map(float, np.quantile(known, [(1 - level) / 2, (1 + level) / 2])))


def _why_unknown(row: dict) -> str:
    if np.isnan(row["kappa"]):
        return "all verdicts are the same: kappa is not defined"
    if row["neurons"] < LEAST_NEURONS:
        return f"fewer than {LEAST_NEURONS} neurons: no interval of kappa"
    return "no resample differs: no interval of kappa" if np.isnan(row["kappa_low"]) else ""


def _right(given: pd.DataFrame, level: float) -> pd.DataFrame:
    """How many labels each reader, and most readers, found right."""
    rows, readers = [], sorted(given.reader.unique())
    named = [names_label(*pair) for pair in zip(given.words.astype(str), given.label.astype(str), strict=True)]
    given = given.assign(named=named, worded=given.words.astype(str).str.strip() != "")
    for layer in [*dict.fromkeys(given.sort_values("layer").layer), ALL_LAYERS]:
        here = given if layer == ALL_LAYERS else given[given.layer == layer]
        for reader in readers:
            own = here[here.reader == reader]
            words = {"words": int(own.worded.sum()), "named": int(own.named.sum())}
            rows.append({"layer": layer, "reader": reader, **_counted(own.verdict, len(own), level), **words})
        if len(readers) > 1:
            rows.append({"layer": layer, "reader": MAJORITY, **_counted(*_majority(here), level), "words": 0, "named": 0})
    columns = ["layer", "reader", *_counted(pd.Series(dtype=object), 0, level), "words", "named"]
    return pd.DataFrame(rows, columns=columns)


def _counted(verdicts: pd.Series, judged: int, level: float) -> dict:
    counts = {verdict: int((verdicts == verdict).sum()) for verdict in VERDICTS}
    low, high = share_interval(counts["right"], judged, level)
    return {**counts, "judged": judged, "share": counts["right"] / judged if judged else float("nan"), "low": low, "high": high}


def _majority(given: pd.DataFrame) -> tuple[pd.Series, int]:
    """The verdict of more than half of a neuron's readers, where there is one; the neurons with two readers or more."""
    same, _ = _of_one_label(given)
    counts = pd.crosstab([same.layer, same.neuron], same.verdict)
    counts = counts[counts.sum(axis=1) > 1]
    most = counts[2 * counts.max(axis=1) > counts.sum(axis=1)] if len(counts) else counts
    return (most.idxmax(axis=1) if len(most) else pd.Series(dtype=object)), len(counts)


def _differing(wide: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """The neurons with two different verdicts, with what each reader said ("": nothing)."""
    differ = wide[wide.nunique(axis=1) > 1]
    labels = given.drop_duplicates(KEYS).set_index(KEYS).label.reindex(differ.index)
    return differ.fillna("").assign(label=labels)[["label", *wide.columns]].rename_axis(columns=None).reset_index()
