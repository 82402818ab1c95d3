"""What of its concepts a network covers: per task, per category, alone or not, and what it misses in every form.

Tables in, tables out, on top of `analysis`: the questions that the paper asks of fine-tuned networks (RQ2; with `redundancy`,
why their thresholds move) and of what is not learned (RQ3).
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.concepts import EVIDENCE, TASKS, ConceptSet, one_row_each, same_as
from mdissect.dissection import Dissection
from mdissect.labels import check_in_memory
from mdissect.signatures import validated
from mdissect.study.counting import Counting, Resampled
from mdissect.study.learned import learned_of
from mdissect.study.shown_by import MORE_MAMMOGRAMS as MORE_MAMMOGRAMS
from mdissect.study.shown_by import NO_MAMMOGRAM as NO_MAMMOGRAM
from mdissect.study.shown_by import NOT_KNOWN as NOT_KNOWN
from mdissect.study.shown_by import ONE_MAMMOGRAM as ONE_MAMMOGRAM
from mdissect.study.shown_by import SHOWN_BY as SHOWN_BY
from mdissect.study.totals import distinct_counts as distinct_counts
from mdissect.study.totals import missed_summary as missed_summary
from mdissect.study.totals import totals as totals

TASK_OF = {
    "Mass": "mass",
    "Calcifications morphology": "calcification",
    "Calcifications distribution": "calcification",
    "Benign calcifications": "calcification",
    "Suspicious calcifications": "calcification",
    "Breast density": "density",
    "Mammographic tissue": "density",
}
PLAIN = Counting()
NAMED_IN_CONCEPTS = ("mass", "calcification")  # "density" is also that of a mass


@validated(rule=analysis.RULES)
def task_counts(
    dissections: Mapping[str, Dissection],
    pairs: Mapping[str, tuple[str, str]],
    rule: str = "top",
    count: Counting = PLAIN,
) -> pd.DataFrame:
    """The number of a task's concepts that two networks have above their shared threshold.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
    pairs : mapping of task to two setups
        Such as {"mass": ("M", "C3")}.
    rule : {"top", "all"}
        Of the thresholds; per pair and layer the larger of the two counts.
    count : Counting
        `mdissect.study.Study.counting`, for counts with intervals.

    Returns
    -------
    DataFrame
        task, setup, layer, threshold, concepts, neurons, fraction (see `analysis.count_concepts`), of (the task's concepts),
        then the other columns of `count`.

    Raises
    ------
    ValueError
        The concept set has no such task.
    """
    if not pairs:
        raise ValueError('pairs={} must hold one pair at least, such as {"mass": ("M", "C3")}')
    parts = []
    for task, pair in pairs.items():
        shared = analysis.thresholds(*(dissections[setup] for setup in pair), rule=rule)
        for setup in pair:
            groups = analysis.group_of(dissections[setup].concepts, "task").task
            if task not in set(groups):
                raise ValueError(f"the concept set has no task {task!r}; it has {', '.join(groups.unique())}")
            counts = count(dissections[setup], shared, by="task").query("task == @task")
            own = {"task": task, "setup": setup, "of": int((groups == task).sum())}
            parts.append(counts.drop(columns="task").merge(shared, on="layer").assign(**own))
    table = pd.concat(parts, ignore_index=True)
    first = ["task", "setup", "layer", "threshold", "concepts", "neurons", "fraction", "of"]
    return table[[*first, *(name for name in table if name not in first)]]


@validated()
def redundancy(dissection: Dissection) -> pd.DataFrame:
    """Redundancy of each layer: the mean absolute correlation of two neurons' activations.

    SoftWPMI subtracts what all neurons of a layer share, so tau falls where neurons become alike; it is 0 where all rank the
    images in the same order.

    Returns
    -------
    DataFrame
        layer, redundancy (0 to 1; NaN for fewer than two neurons that vary).

    Raises
    ------
    ValueError
        Activations that do not fit into memory.
    """
    check_in_memory(dissection, "redundancy")
    values = []
    for layer in dissection.layers:
        activations = dissection.activations[layer].astype(np.float64)
        varying = activations[:, (activations != activations[0]).any(axis=0)]
        n = varying.shape[1]
        total = np.abs(np.corrcoef(varying, rowvar=False)).sum() if n > 1 else np.nan
        values.append((total - n) / (n * (n - 1)) if n > 1 else np.nan)
    return pd.DataFrame({"layer": dissection.layers, "redundancy": values})


@validated(thresholds=analysis.THRESHOLDS)
def unique_concepts(
    dissections: Mapping[str, Dissection], thresholds: pd.DataFrame, layer: str | None = None, task: str | None = None
) -> pd.DataFrame:
    """The concepts that only one of two networks has above the thresholds, layer by layer.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
        Two of them.
    thresholds : DataFrame
        Those that the two share: `analysis.thresholds(first, second)`.
    layer : str, optional
        This layer alone.
    task : str, optional
        Concepts of this task alone, such as "calcification".

    Returns
    -------
    DataFrame
        layer, category (all of a concept's, joined by "; "), concept, only (the setup), neurons; by layer, category in the
        order of the concept set, setup and concept.

    Raises
    ------
    ValueError
        Not two dissections, an unknown layer, or a task that the concept set does not have.
    """
    if len(dissections) != 2:
        raise ValueError(f"unique_concepts compares two dissections; found {len(dissections)}: {', '.join(dissections)}")
    (first, second), concepts = dissections, next(iter(dissections.values())).concepts
    if layer is not None and layer not in dissections[first].layers:
        raise ValueError(f"no layer {layer!r}; there are {', '.join(dissections[first].layers)}")
    found = analysis.compare(*dissections.values(), thresholds).query("`in` != 'both'")
    if layer is not None:
        found = found[found.layer == layer]
    if task is not None:
        found = found[found.concept.isin(concepts.subset(task=task).names)]
    found = found.assign(
        only=found["in"].map({"first": first, "second": second}),
        neurons=found.neurons_first + found.neurons_second,
    ).merge(one_row_each(concepts), on="concept")
    order = {
        "layer": _places(dissections[first].layers),
        "category": _places(concepts.table.category),
        "only": _places(dissections),
    }
    found = found.sort_values(["layer", "category", "only", "concept"], key=lambda c: _rank(c, order), ignore_index=True)
    return found[["layer", "category", "concept", "only", "neurons"]]


@validated(thresholds=analysis.THRESHOLDS, by=analysis.GROUPINGS)
def covered(
    dissection: Dissection, thresholds: pd.DataFrame, by: str = "broad_category", resampled: Resampled = None
) -> pd.DataFrame:
    """How many concepts of each group some layer learned, and how many none did.

    Parameters
    ----------
    by : {"category", "broad_category", "domain", "task"}
        A concept that stands in several groups counts in each of them.
    resampled : mapping, optional
        `mdissect.trust.resampled_labels` of the same dissection and thresholds, for intervals.

    Returns
    -------
    DataFrame
        The group, learned, missed, total (unique concepts); groups in the order of the concept set. With `resampled` also
        learned_low and learned_high, missed_low and missed_high: 95 % intervals over resampled patients.
    """
    groups, learned, rows = analysis.group_of(dissection.concepts, by), learned_of(dissection, thresholds, resampled), []
    for group, table in groups.groupby(by, sort=False):
        member = learned.among(table.concept)
        n, bounds = learned.count(member)
        total = int(member.sum())
        row = {by: group, "learned": n, "missed": total - n, "total": total}
        if bounds:
            row |= {"learned_low": bounds[0], "learned_high": bounds[1]}
            row |= {"missed_low": total - bounds[1], "missed_high": total - bounds[0]}
        rows.append(row)
    return pd.DataFrame(rows)


@validated(thresholds=analysis.THRESHOLDS)
def best_margin(dissection: Dissection, thresholds: pd.DataFrame) -> pd.DataFrame:
    """How close each concept comes to being learned: concept, and the layer, neuron and margin of its best neuron.

    A neuron has one label, so a network with few neurons misses concepts that it responds to. The margin shows these: the
    highest similarity of any neuron to the concept, less its layer's threshold, whatever that neuron's own label is (NaN where
    it is unknown, as in a dissection read from a CSV).
    """
    tau = thresholds.set_index("layer").threshold
    if missing := [layer for layer in dissection.layers if layer not in tau]:
        raise ValueError(f"no threshold for layer {', '.join(missing)}; there are {', '.join(tau.index)}")
    parts = []
    for layer, scores in dissection.similarity.items():
        margins = np.where(np.isnan(scores), -np.inf, scores) - tau[layer]
        best = margins.argmax(axis=0)
        row = {"concept": dissection.concepts.names, "layer": layer, "neuron": best, "margin": margins.max(axis=0)}
        parts.append(pd.DataFrame(row))
    table = pd.concat(parts).sort_values("margin", ascending=False, kind="stable").drop_duplicates("concept")
    table = table.set_index("concept").loc[dissection.concepts.names].reset_index()
    return table.assign(margin=table.margin.where(np.isfinite(table.margin)))


@validated()
def concept_counts(concepts: ConceptSet) -> pd.DataFrame:
    """How many concepts a set has per category.

    Returns
    -------
    DataFrame
        broad_category and category in the set's order, concepts, needs_more (those that one mammogram cannot show).
    """
    table = concepts.table.drop_duplicates(["broad_category", "category", "concept"])
    more = table.evidence.isin([what for what, shown in SHOWN_BY.items() if shown != ONE_MAMMOGRAM])
    groups = more.groupby([table.broad_category, table.category], sort=False)
    return groups.agg(concepts="size", needs_more="sum").reset_index()


@validated(thresholds=analysis.THRESHOLDS)
def missed_concepts(dissection: Dissection, thresholds: pd.DataFrame, domain: str | None = "mammography") -> pd.DataFrame:
    """The missed concepts, above the threshold in no neuron, and whether they were learned in another form.

    Parameters
    ----------
    domain : str or None
        Of the concepts; None: of both.

    Returns
    -------
    DataFrame
        A row per missed concept in the order of the concept set: concept, category, broad_category (all of a concept's,
        joined by "; "), evidence ("" where the set does not say), shown_by (see `SHOWN_BY`), learned_as (a learned
        concept that is the same in another form by the rule of `mdissect.concepts.forms`, or "").

    Raises
    ------
    ValueError
        The concept set has no concept of that domain.
    """
    concepts = dissection.concepts if domain is None else dissection.concepts.subset(domain=domain)
    learned = analysis.learned(dissection, thresholds).concept.unique()
    table = one_row_each(concepts)
    table = table[~table.concept.isin(learned)]
    names = table.concept.tolist()
    return table.assign(
        shown_by=table.evidence.map(SHOWN_BY).fillna(NOT_KNOWN),
        learned_as=same_as(dissection.concepts.table, names, learned).to_numpy(),
    ).reset_index(drop=True)


@validated(thresholds=analysis.THRESHOLDS)
def distinct_missed(dissection: Dissection, thresholds: pd.DataFrame, domain: str | None = "mammography") -> pd.DataFrame:
    """The missed concepts that were not learned in another form either, by what is needed to see them.

    Returns
    -------
    DataFrame
        As `missed_concepts` without learned_as; what one mammogram can show first, then by evidence and category.
    """
    missed = missed_concepts(dissection, thresholds, domain).query("learned_as == ''").drop(columns="learned_as")
    order = {"evidence": _places((*EVIDENCE, ""))}
    return missed.sort_values("evidence", key=lambda c: _rank(c, order), kind="stable", ignore_index=True)


@validated()
def with_evidence(concepts: ConceptSet, known: ConceptSet) -> ConceptSet:
    """The set with the evidence that another one has for the same concepts in any form, where it has none itself.

    >>> with_evidence(load_concepts("published"), load_concepts("mammography")).table.evidence
    """
    table, other = concepts.table, known.table.query("evidence != ''")
    pairs = ["concept", "category"]
    lent = same_as(pd.concat([table[pairs], other[pairs]]), concepts.names, other.concept.unique())
    evidence = table.concept.map(lent).map(other.drop_duplicates("concept").set_index("concept").evidence).fillna("")
    return ConceptSet(
        table.assign(evidence=table.evidence.where(table.evidence != "", evidence)), concepts.notes, concepts.prompts
    )


@validated()
def with_tasks(concepts: ConceptSet) -> ConceptSet:
    """The set with tasks by category and by word, where it has none at all (as the published one).

    A concept belongs to a task when one of its categories does (`TASK_OF`), or when it names a mass or calcification.
    """
    table = concepts.table
    if (table.tasks != "").any():
        return concepts
    by_category = table.category.map(TASK_OF)
    parts = []
    for task in TASKS:
        named = table.concept.str.contains(rf"\b{task}(?:e?s)?\b", case=False) & (task in NAMED_IN_CONCEPTS)
        member = table.concept.isin(table.concept[(by_category == task) | named])
        parts.append(member.map({True: task, False: ""}))
    joined = pd.concat(parts, axis=1).agg(lambda row: ";".join(filter(None, row)), axis=1)
    return ConceptSet(table.assign(tasks=joined), concepts.notes, concepts.prompts)


def _places(values: Iterable[str]) -> dict[str, int]:
    return {value: i for i, value in enumerate(dict.fromkeys(values))}


def _rank(column: pd.Series, order: Mapping[str, Mapping[str, int]]) -> pd.Series:
    """A column as its places in an order; of several categories the first counts."""
    return column.str.split("; ").str[0].map(order[column.name]) if column.name in order else column
