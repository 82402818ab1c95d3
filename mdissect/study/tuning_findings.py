"""What the paper says of M and the networks fine-tuned from it, C1 to C4."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study import numbers
from mdissect.study.claims import Claim, claim
from mdissect.study.counting import Counting, Resampled
from mdissect.study.coverage import task_counts, with_tasks
from mdissect.study.learned import learned_of

TASKS = {"density": "C1", "birads": "C2", "mass": "C3", "calcification": "C4"}
CLASSIFIERS = {task: TASKS[task] for task in ("density", "mass", "calcification")}  # the concept set has no task for C2
MORPHOLOGY, SUSPICIOUS = "Calcifications morphology", "Suspicious calcifications"
REPORTED = {"C1": "accuracy", "C2": "accuracy", "C3": "auc", "C4": "auc"}  # what the paper reports of each
LEAST_AUC = 0.8
PLAIN = Counting()


@validated(rule=analysis.RULES)
def on_fine_tuning(
    mammo: Dissection,
    tuned: Mapping[str, Dissection],
    rule: str = "top",
    tau: Mapping[str, pd.DataFrame] | None = None,
    counting: Counting = PLAIN,
    scores: pd.DataFrame | None = None,
) -> list[Claim]:
    """What the paper says of M and C1-C4 (Figs. 8, 9, Tables 2, 3).

    Parameters
    ----------
    tuned : mapping of setup to Dissection
        "C1" (density) to "C4" (calcification).
    tau, counting
        With intervals, see `compare_pair`.
    scores : DataFrame, optional
        As `study.scores.classifier_scores` gives it; its finding is not testable without.
    """
    tau = {name: analysis.thresholds(d, rule=rule) for name, d in {"M": mammo, **tuned}.items()} if tau is None else tau
    own = tau["M"]
    higher = {name: int((tau[name].threshold.to_numpy() > own.threshold.to_numpy()).sum()) for name in tuned}
    deepest = ", ".join(f"{name} {numbers.threshold(tau[name].iloc[-1])}" for name in ("M", *tuned))
    layers = "; ".join(f"{name}: {n} of {len(own)} layers" for name, n in higher.items())
    known = {name: replace(d, concepts=with_tasks(d.concepts)) for name, d in {"M": mammo, **tuned}.items()}
    counts = task_counts(known, {task: ("M", name) for task, name in CLASSIFIERS.items()}, rule, counting)
    by_task = {task: counts[counts.task == task].set_index("setup") for task in CLASSIFIERS}
    more, calcification = _deeper(by_task["calcification"], "C4", lambda tuned, base: tuned > base)
    fewer, density = _deeper(by_task["density"], "C1", lambda tuned, base: tuned < base)
    mass = by_task["mass"].filter(like="concepts").groupby("setup").sum()
    near = bool(abs(mass.concepts["C3"] - mass.concepts["M"]) <= 0.1 * mass.concepts["M"])
    return [
        claim("tuned tau", all(n == len(own) for n in higher.values()), f"{layers}; last layer: {deepest}"),
        claim("tuned calcification", more, calcification),
        claim("tuned density", fewer, density),
        claim("tuned mass", near, ", ".join(f"{name} {numbers.of_row(mass.loc[name], 'concepts')}" for name in ("C3", "M"))),
        _solved(scores),
        *_on_calcifications({name: known[name] for name in ("M", "C4")}, rule, counting),
    ]


def _on_calcifications(pair: Mapping[str, Dissection], rule: str, counting: Counting) -> list[Claim]:
    """Table 3: the calcification concepts of the last layer by category."""
    shared, found = analysis.thresholds(*pair.values(), rule=rule), {}
    for name, dissection in pair.items():
        learned = analysis.learned(dissection, shared).query("layer == @dissection.layers[-1]").concept
        table = dissection.concepts.table
        of_task = table[table.tasks.str.split(";").map(lambda tasks: "calcification" in [task.strip() for task in tasks])]
        found[name] = of_task[of_task.concept.isin(learned)]
    by = {kind: {name: _of(table, [kind]) for name, table in found.items()} for kind in (MORPHOLOGY, SUSPICIOUS)}
    counts = {name: counting(found, shared, by="category").query("layer == @found.layers[-1]") for name, found in pair.items()}
    words = {
        kind: ", ".join(f"{n} {_of_category(counts[n], kind, len(own[n]))}" for n in ("C4", "M")) for kind, own in by.items()
    }
    all_of = {name: set(table.concept) for name, table in found.items()}
    others = {name: concepts - _of(found[name], by) for name, concepts in all_of.items()}
    bounds = {name: _beyond(d, shared, counting.labels(d, shared), by) for name, d in pair.items()}
    beyond = "; ".join(
        f"{name}: {numbers.with_interval(len(others[name]), bounds[name])} of {len(all_of[name])} of other categories"
        for name in found
    )
    nothing = "" if any(all_of.values()) else "no calcification concept passes in either"
    return [
        claim("morphology", len(by[MORPHOLOGY]["C4"]) > len(by[MORPHOLOGY]["M"]), words[MORPHOLOGY]),
        claim("suspicious", len(by[SUSPICIOUS]["C4"]) == len(by[SUSPICIOUS]["M"]), words[SUSPICIOUS], why=nothing),
        claim("only morphology", not any(others.values()), beyond, why=nothing),
    ]


def _beyond(dissection: Dissection, shared: pd.DataFrame, resampled: Resampled, categories: Iterable[str]) -> numbers.Interval:
    """The interval of how many calcification concepts of the last layer are of other categories than these."""
    of_task = dissection.concepts.subset(task="calcification").table
    learned = learned_of(dissection, shared, resampled, dissection.layers[-1])
    return learned.count(learned.among(set(of_task.concept) - _of(of_task, categories)))[1]


def _of_category(counts: pd.DataFrame, category: str, n: int) -> str:
    """How many concepts of a category there are, with the interval of its count where there is one."""
    rows = counts[counts.category == category]
    return numbers.of_row(rows.assign(concepts=n).iloc[0], "concepts") if len(rows) else f"{n}"


def _of(table: pd.DataFrame, categories: Iterable[str]) -> set[str]:
    """The concepts of a table that are of these categories."""
    return set(table.concept[table.category.isin(list(categories))])


def _solved(scores: pd.DataFrame | None) -> Claim:
    """Table 2: the scores of the classifiers."""
    scores = pd.DataFrame(columns=["setup"]) if scores is None else scores.dropna(subset=["accuracy"])
    rows = {row["setup"]: row for row in scores.to_dict("records") if row["setup"] in REPORTED}
    if missing := sorted(set(REPORTED) - set(rows)):
        return claim("scores", False, "", why=f"no scores of {', '.join(missing)}")
    words = ", ".join(f"{name} {_score(rows[name], measure)}" for name, measure in REPORTED.items())
    least = min(rows, key=lambda name: rows[name]["auc"])
    return claim("scores", rows[least]["auc"] >= LEAST_AUC, f"{words}; lowest AUC: {least} {rows[least]['auc']:.3f}")


def _score(row: Mapping, measure: str) -> str:
    """A score with its interval."""
    name = {"auc": "AUC"}.get(measure, measure)
    return f"{name} {row[measure]:.3f} ({row[f'{measure}_low']:.3f} to {row[f'{measure}_high']:.3f})"


def _deeper(counts: pd.DataFrame, name: str, holds) -> tuple[bool, str]:
    """Whether a comparison of concepts with M holds in the middle and in the last layer, and the numbers."""
    layers = list(dict.fromkeys(counts.layer))
    deeper = dict.fromkeys((layers[len(layers) // 2], layers[-1]))
    tuned, base = (counts.loc[[setup]].set_index("layer") for setup in (name, "M"))
    words = (
        f"{layer}: {name} {numbers.of_row(tuned.loc[layer], 'concepts')}, M {numbers.of_row(base.loc[layer], 'concepts')}"
        for layer in deeper
    )
    return all(holds(tuned.concepts[layer], base.concepts[layer]) for layer in deeper), "; ".join(words)
