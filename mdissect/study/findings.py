"""The findings of the paper compared with dissections: one function for each of its questions, a `Claim` for each finding."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mdissect import analysis
from mdissect.concepts import OTHER, one_row_each
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.claims import STATED, Claim, claim, untestable
from mdissect.study.counting import Counting, Resampled
from mdissect.study.coverage import covered
from mdissect.study.learned import Learned, count_of, learned_of
from mdissect.study.neuron_findings import TOP_IMAGES as TOP_IMAGES
from mdissect.study.neuron_findings import natural_images_by_domain as natural_images_by_domain
from mdissect.study.neuron_findings import on_neurons as on_neurons
from mdissect.study.numbers import of_row, with_interval
from mdissect.study.pair_findings import on_mixed_images as on_mixed_images
from mdissect.study.pair_findings import on_natural_images as on_natural_images
from mdissect.study.pair_findings import on_training as on_training
from mdissect.study.pairs import COUNTS, Pair, compare_pair
from mdissect.study.scores import classifier_scores
from mdissect.study.study import Study
from mdissect.study.totals import ELSEWHERE, ahead
from mdissect.study.tuning_findings import REPORTED, TASKS
from mdissect.study.tuning_findings import on_fine_tuning as on_fine_tuning

FINE_TUNING = (
    "tuned tau", "tuned calcification", "tuned density", "tuned mass", "scores", "morphology", "suspicious", "only morphology",
)  # fmt: skip
PLAIN = Counting()


@dataclass(frozen=True)
class Results:
    """The claims of a study by question, each a list of `Claim`, and the setups they rest on. Made by `of_study`."""

    setups: list[str]
    training: list[Claim]
    fine_tuning: list[Claim]
    missed: list[Claim]
    neurons: list[Claim]
    appendix: list[Claim]

    def all(self) -> list[Claim]:
        """All claims in the order of the questions."""
        return [*self.training, *self.fine_tuning, *self.missed, *self.neurons, *self.appendix]


@validated(rule=analysis.RULES, count=COUNTS)
def of_study(
    study: Study,
    rule: str = "top",
    count: str = "concepts",
    n_boot: int = 0,
    classifiers: Sequence[str] = tuple(REPORTED),
) -> Results:
    """All findings of the paper compared with a study.

    Parameters
    ----------
    rule : {"top", "all"}
        Of the thresholds.
    count : {"concepts", "neurons", "fraction"}
        What is counted.
    n_boot : int
        Resamples of the patients for 95 % intervals, of rule "top"; 0: none.
    classifiers : sequence of str
        The fine-tuned networks that are available; without one of C1 to C4 the findings on fine-tuning are not testable.
    """
    mammo = study.dissect("M")
    missing = sorted({*REPORTED} - ({*classifiers} & {*study.profile.setups}))
    names = ["G", "G by M", "M", *(name for name in REPORTED if not missing), *"ABCD"]
    found = {name: study.dissect(name) for name in names}
    tau = {name: study.threshold(name, rule, n_boot) for name in names}
    counting = study.counting(n_boot)

    def pair(first: str, second: str) -> Pair:
        return compare_pair({first: found[first], second: found[second]}, rule, count, tau, counting)

    if missing:
        tuned = untestable([key for key in STATED if key in FINE_TUNING], f"the study is without {', '.join(missing)}")
    else:
        networks = {name: found[name] for name in REPORTED}
        scores = classifier_scores(study, {name: task for task, name in TASKS.items()})
        tuned = on_fine_tuning(mammo, networks, rule, tau, counting, scores)
    return Results(
        setups=[*names, "M on implants"],
        training=on_training(pair("G", "M")) + on_training(pair("G by M", "M"), added=" (one dissector)"),
        fine_tuning=tuned,
        missed=on_missed(mammo, rule, counting),
        neurons=on_neurons({"implant": study.dissect("M on implants"), "calcification": mammo}, counting),
        appendix=on_natural_images(pair("A", "B")) + on_mixed_images(pair("C", "D")),
    )


@validated(rule=analysis.RULES)
def on_missed(mammo: Dissection, rule: str = "top", counting: Counting = PLAIN) -> list[Claim]:
    """What the paper says of what M learns and misses (Figs. 10, 11), with intervals where `counting` has them."""
    shared = analysis.thresholds(mammo, rule=rule)
    resampled = counting.labels(mammo, shared)
    learned = learned_of(mammo, shared, resampled)
    table = mammo.concepts.table
    every, n_all = learned.among(mammo.concepts.names), len(mammo.concepts)
    n_missed = learned.count(every, learned=False)
    others = learned.count(learned.among(table.concept[table.domain == "other"]), learned=False)
    named = [name for name in mammo.concepts.names if "architectural" in name.lower() or "distortion" in name.lower()]
    n_named = learned.count(learned.among(named), learned=False)
    return [
        claim(
            "more missed", n_missed[0] > n_all / 2,
            f"{with_interval(*learned.count(every))} learned, {with_interval(*n_missed)} missed of {n_all}",
        ),
        claim("missed others", others[0] > n_missed[0] / 2, f"{with_interval(*others)} of {n_missed[0]}"),
        _each_category(mammo, shared, resampled),
        claim(
            "distortion", n_named[0] > len(named) / 2, f"{with_interval(*n_named)} of {len(named)} missed",
            why="" if named else "the concept set has none",
        ),
        _other_means(mammo, learned),
    ]  # fmt: skip


def _each_category(mammo: Dissection, shared: pd.DataFrame, resampled: Resampled) -> Claim:
    """Fig. 10: in how many categories of mammography more is learned than missed."""
    n, interval, of = ahead(mammo, shared, resampled)
    table = covered(mammo, shared, resampled=resampled)
    rows = table[table.broad_category != OTHER].to_dict("records")
    each = "; ".join(f"{row['broad_category']}: {of_row(row, 'learned')} of {row['total']} learned" for row in rows)
    return claim("each category", n == of, f"{with_interval(n, interval)} of {of} categories ({each})")


def _other_means(mammo: Dissection, learned: Learned) -> Claim:
    """Fig. 11: what of the missed shows on ultrasound or MRI only."""
    table = mammo.concepts.subset(domain="mammography").table
    of_mammography = learned.among(table.concept)
    rows = one_row_each(mammo.concepts.subset(domain="mammography"))
    elsewhere = learned.among(rows.concept[rows.evidence.isin(ELSEWHERE)])
    gaps = learned.distinct(mammo.concepts.table)
    n_missed, n_learned = count_of(*gaps, elsewhere), learned.count(elsewhere)
    missed, known = (int((own & of_mammography).sum()) for own in (gaps[0], learned.own))
    seen = missed > 0 and n_missed[0] / missed > n_learned[0] / max(known, 1)
    why = "" if (table.evidence != "").any() else "the concept set does not say what shows where"
    words = f"{with_interval(*n_missed)} of {missed} missed, {with_interval(*n_learned)} of {known} learned"
    return claim("other means", seen, words, why=why)
