"""Concepts that the training texts of demo/mammo never mention, and whether a dissection finds them missing."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.arguments import AT_LEAST_ONE
from mdissect.concepts import variant_key
from mdissect.dissection import Dissection
from mdissect.metrics import auc
from mdissect.phantom.mammograms.phrases import NEVER_SAID
from mdissect.phantom.mammograms.reports import NOT_TRAINED, concept_truth, speaks_of, statements_without
from mdissect.signatures import validated
from mdissect.study.counting import Resampled
from mdissect.study.coverage import NOT_KNOWN, ONE_MAMMOGRAM, SHOWN_BY, best_margin
from mdissect.study.learned import Learned, learned_of
from mdissect.study.numbers import interval_of
from mdissect.trust import label_precision, recentred_interval

GAPS = {"architectural distortion": NOT_TRAINED, "filling of an implant": NEVER_SAID}
"""The gaps that were planted: name -> the facts on which images and texts, or texts alone, keep silent."""
AS_SUCH, WITHIN, NEVER = "as such", "within other words", "never"


@validated()
def said_in_texts(concepts: Iterable[str], exclude: Collection[str] = NOT_TRAINED) -> pd.DataFrame:
    """Whether a concept can occur in the reports that demo/mammo was trained on.

    Each concept is searched, word by word and in any number and spelling, in all phrases that reports are made of.

    Parameters
    ----------
    concepts : iterable of str
    exclude : collection of str
        What the texts kept silent about, as `sample_text` takes it.

    Returns
    -------
    DataFrame
        concept; said: "as such" (it is one of the wordings), "within other words" ("small mass" in "may obscure small
        masses") or "never"; gap: the planted gap that it falls into, or "".
    """
    concepts = list(concepts)
    wordings, sentences = _sayable(frozenset(exclude))
    said = [AS_SUCH if _plain(c) in wordings else WITHIN if _plain(c) in sentences else NEVER for c in concepts]
    truth = concept_truth(concepts)
    return pd.DataFrame({"concept": concepts, "said": said, "gap": [_gap(truth.get(c, ())) for c in concepts]})


@validated(thresholds=analysis.THRESHOLDS)
def missed_against_texts(
    dissection: Dissection,
    thresholds: pd.DataFrame,
    resampled: Resampled = None,
    margins: np.ndarray | None = None,
) -> pd.DataFrame:
    """Agreement of the missed concepts with those that the training texts never mention.

    Parameters
    ----------
    resampled : mapping, optional
        `mdissect.trust.resampled_labels` of the same dissection and thresholds: for 95 % intervals of missed, precision and
        recall in columns <name>_low and <name>_high.
    margins : array (n_boot, n_concepts), optional
        `mdissect.trust.resampled_margins`: for an interval of the auc.

    Returns
    -------
    DataFrame
        Rows: all concepts of mammography and those that one mammogram can show, each counting as missed all that are, or
        only those missed in every form. Columns: among, counted, concepts, missed, never_said, both, precision (both /
        missed), recall (both / never_said), precision_by_chance and recall_by_chance (of as many missed at random), p (that
        chance does as well or better: hypergeometric); auc (how often a concept that was said has a larger margin at its
        best neuron, see `coverage.best_margin`, than one that was not; 0.5 by chance).
    """
    table, learned = against_texts(dissection, thresholds), learned_of(dissection, thresholds, resampled)
    counted = {"missed": learned.missed, "missed in every form": learned.distinct(dissection.concepts.table)}
    among = {"all of mammography": table, ONE_MAMMOGRAM: table[table.shown_by == ONE_MAMMOGRAM]}
    rows = []
    for which, concepts in among.items():
        member = learned.among(concepts.concept)
        silent = learned.among(concepts.concept[concepts.said == NEVER])
        area = {"auc": _auc(concepts)} | _auc_interval(concepts, learned, margins)
        for how, (own, drawn) in counted.items():
            row = {"among": which, "counted": how} | _overlap(own & member, silent, int(member.sum()))
            rows.append(row | _overlap_intervals(row, drawn, member, silent) | area)
    return pd.DataFrame(rows)


@validated(thresholds=analysis.THRESHOLDS)
def reached_by_group(dissection: Dissection, thresholds: pd.DataFrame, margins: np.ndarray | None = None) -> pd.DataFrame:
    """For how many concepts some neuron reaches tau, whatever its label, by what the texts say of them.

    Parameters
    ----------
    margins : array (n_boot, n_concepts), optional
        `mdissect.trust.resampled_margins` of the same dissection and thresholds, for 95 % intervals.

    Returns
    -------
    DataFrame
        share and, with `margins`, share_low and share_high; indexed by the group of `against_texts`.
    """
    close, names = against_texts(dissection, thresholds), list(dissection.concepts.names)
    rows = {}
    for group, table in close.groupby("group", sort=False):
        share = float((table.margin >= 0).mean())
        rows[group] = {"share": share}
        if margins is not None:
            drawn = (margins[:, [names.index(name) for name in table.concept]] >= 0).mean(axis=1)
            rows[group] |= _share_interval("share", share, drawn)
    return pd.DataFrame.from_dict(rows, orient="index")


@validated(thresholds=analysis.THRESHOLDS)
def against_texts(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """Mammography concepts, whether the training texts mention them, and how close they are to being learned.

    Returns
    -------
    DataFrame
        concept, said, gap (see `said_in_texts`), group ("said", "never said" or "planted gap"), shown_by (what is needed to
        see it), layer, neuron, margin (see `coverage.best_margin`).
    """
    table = dissection.concepts.subset(domain="mammography").table.drop_duplicates("concept")
    said = said_in_texts(table.concept)
    group = said.said.map({NEVER: "never said"}).fillna("said").mask(said.gap != "", "planted gap")
    shown_by = table.evidence.map(SHOWN_BY).fillna(NOT_KNOWN).to_numpy()
    return said.assign(group=group, shown_by=shown_by).merge(best_margin(dissection, thresholds), on="concept")


@validated(thresholds=analysis.THRESHOLDS, top=AT_LEAST_ONE)
def gap_check(dissection: Dissection, thresholds: pd.DataFrame, top: int = 20, resampled: Resampled = None) -> pd.DataFrame:
    """Whether the concepts of the planted gaps are among the missed, and what the neurons named after them respond to.

    Parameters
    ----------
    dissection : Dissection
        With activations, of a phantom probe.
    top : int
        Images that are looked at for each neuron.
    resampled : mapping, optional
        `mdissect.trust.resampled_labels` of the same dissection and thresholds: for missed_again (the share of resamples in
        which the concept is missed), missed_low and missed_high (95 % interval of how many of the gap's concepts are).

    Returns
    -------
    DataFrame
        gap, concept, verdict ("missed" or "learned"), named (neurons whose label it is), passing (those past the
        threshold), shown (share of the named neurons' `top` strongest images that show it; NaN without such a neuron),
        prevalence (share of all images that do; NaN likewise).
    """
    names = dissection.concepts.names
    gaps = said_in_texts(names).query("gap != ''")[["gap", "concept"]]
    judged = (
        analysis.with_verdict(dissection, thresholds)
        .groupby("concept")
        .agg(named=("neuron", "size"), passing=("passes", "sum"))
    )
    shown = (
        label_precision(dissection, top).groupby("concept").agg(shown=("precision", "mean"), prevalence=("prevalence", "mean"))
    )
    table = gaps.merge(judged, on="concept", how="left").merge(shown, on="concept", how="left")
    table = table.fillna({"named": 0, "passing": 0}).astype({"named": int, "passing": int})
    table.insert(2, "verdict", (table.passing > 0).map({True: "learned", False: "missed"}))
    if resampled is not None:
        learned = learned_of(dissection, thresholds, resampled)
        again = dict(zip(learned.names, (~learned.drawn).mean(axis=0), strict=True))
        bounds = {
            gap: learned.count(learned.among(rows.concept), learned=False)[1] for gap, rows in table.groupby("gap", sort=False)
        }
        ends = {f"missed_{end}": [int(bounds[gap][i]) for gap in table.gap] for i, end in enumerate(("low", "high"))}
        table = table.assign(missed_again=table.concept.map(again), **ends)
    return table.reset_index(drop=True)


def _overlap(chosen: np.ndarray, silent: np.ndarray, n: int) -> dict[str, float]:
    """Precision and recall of a choice, (n_concepts,) bool, among n concepts, beside those of as many chosen at random."""
    from scipy.stats import hypergeom

    n_chosen, n_silent, both = (int(one.sum()) for one in (chosen, silent, chosen & silent))
    return {
        "concepts": n,
        "missed": n_chosen,
        "never_said": n_silent,
        "both": both,
        "precision": both / n_chosen if n_chosen else float("nan"),
        "recall": both / n_silent if n_silent else float("nan"),
        "precision_by_chance": n_silent / n if n else float("nan"),
        "recall_by_chance": n_chosen / n if n else float("nan"),
        "p": float(hypergeom.sf(both - 1, n, n_silent, n_chosen)),
    }


def _overlap_intervals(row: dict, drawn: np.ndarray | None, member: np.ndarray, silent: np.ndarray) -> dict[str, float]:
    """The 95 % intervals of missed, precision and recall, from the choices of resamples (n_boot, n_concepts)."""
    if drawn is None:
        return {}
    chosen, both = (drawn & member).sum(axis=1), (drawn & silent).sum(axis=1)
    low, high = interval_of(row["missed"], chosen, int(member.sum()))
    return (
        {"missed_low": int(low), "missed_high": int(high)}
        | _share_interval("precision", row["precision"], both / np.maximum(chosen, 1))
        | _share_interval("recall", row["recall"], both / max(silent.sum(), 1))
    )


def _auc_interval(table: pd.DataFrame, learned: Learned, margins: np.ndarray | None) -> dict[str, float]:
    """The 95 % interval of `_auc`, from the margins of resamples."""
    if margins is None:
        return {}
    places = [learned.names.index(name) for name in table.concept]
    return _share_interval("auc", _auc(table), np.array([_auc(table.assign(margin=drawn[places])) for drawn in margins]))


def _share_interval(name: str, own: float, drawn: np.ndarray) -> dict[str, float]:
    """A share's interval as columns."""
    low, high = recentred_interval(own, drawn).clip(0, 1)
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _auc(table: pd.DataFrame) -> float:
    """How often a mentioned concept has the larger margin."""
    known = table[table.margin.notna()]
    return auc((known.said != NEVER).to_numpy(), known.margin.to_numpy())


def _gap(keys: Iterable[str]) -> str:
    return next((name for name, silent in GAPS.items() if any(speaks_of(key, silent) for key in keys)), "")


@lru_cache(maxsize=4)
def _sayable(exclude: frozenset[str]) -> tuple[frozenset[str], str]:
    """The wordings that reports may use, and all the sentences made of them in one text, both as `_plain` words."""
    statements = statements_without(exclude)
    wordings = frozenset(_plain(phrase) for statement in statements for phrase in statement.phrases)
    sentences = {_plain(text) for statement in statements for text in (*statement.plain, *statement.sentences)}
    return wordings, "|".join(sorted(sentences))


def _plain(text: str) -> str:
    """The words of a text without regard to case, number and spelling, each between spaces: a part is found word by word."""
    words = re.findall(r"[^\W_]+", re.sub("['’]", "", text.casefold()))
    return f" {' '.join(map(_word, words))} "


_word = lru_cache(maxsize=None)(variant_key)
