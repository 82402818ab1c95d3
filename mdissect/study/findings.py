"""The findings of the paper compared with dissections: one function for each of its questions, a `Claim` for each finding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from mdissect import analysis
from mdissect.concepts import OTHER
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.claims import STATED, Claim, claim, untestable
from mdissect.study.coverage import covered, distinct_missed, task_counts, with_tasks
from mdissect.study.pairs import COUNTS, Count, Pair, compare_pair
from mdissect.study.scores import classifier_scores
from mdissect.study.study import Study

TASKS = {"density": "C1", "birads": "C2", "mass": "C3", "calcification": "C4"}
CLASSIFIERS = {task: TASKS[task] for task in ("density", "mass", "calcification")}  # the concept set has no task for C2
FINE_TUNING = (
    "tuned tau", "tuned calcification", "tuned density", "tuned mass", "scores", "morphology", "suspicious", "only morphology",
)  # fmt: skip
MORPHOLOGY, SUSPICIOUS = "Calcifications morphology", "Suspicious calcifications"
ELSEWHERE = ("ultrasound", "MRI")
TOP, ENOUGH = 5, 4  # of a neuron's concepts and images, as in the paper's figures 6 and 7
TOP_IMAGES = 20
REPORTED = {"C1": "accuracy", "C2": "accuracy", "C3": "auc", "C4": "auc"}  # what the paper reports of each
LEAST_AUC = 0.8


@dataclass(frozen=True)
class Results:
    """The claims of a study by question, each a list of `Claim`. Made by `of_study`."""

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
        training=on_training(pair("G", "M")) + on_training(pair("G by M", "M"), added=" (one dissector)"),
        fine_tuning=tuned,
        missed=on_missed(mammo, rule),
        neurons=on_neurons({"implant": study.dissect("M on implants"), "calcification": mammo}),
        appendix=on_natural_images(pair("A", "B")) + on_mixed_images(pair("C", "D")),
    )


@validated()
def on_training(pair: Pair, added: str = "") -> list[Claim]:
    """What the paper says of G and M (Figs. 4, 5): `pair` holds G, then M.

    `added` marks a comparison that the paper does not make, such as G by M's dissector.
    """
    (g, m), why, blind = pair.names, _why_not(pair), _why_blind(pair, 0)
    names = {"first": g, "second": m, "added": added}
    leading, tops = pair.leading_layers(m), pair.tops(g)
    last, trios = tops[pair.layers[-1]], [frozenset(top) for top in tops.values()]
    shares = {name: pair.last_share(name) for name in (g, m)}
    more = [claim("tau", *_above(pair, m, g), **names, why=why), claim("both domains", *_more(pair, m, g), **names, why=why)]
    about_g = [
        claim("drift", OTHER in last, f"last layer: {', '.join(last) or 'no label passes'}", **names, why=blind),
        claim(
            "unsteady", len(set(trios)) == len(trios), "; ".join(", ".join(top) or "none" for top in tops.values()),
            **names, why=blind,
        ),
        claim("words", shares[g] > shares[m], ", ".join(f"{n} {_share(pair, n)}" for n in shares), **names, why=why),
    ]  # fmt: skip
    if added:  # what concerns M alone is the same whatever stands beside it
        return [*more, *about_g]
    mammography, other = (pair.total(m, domain, own=True) for domain in ("mammography", "other"))
    dominant = f"{_number(mammography, pair.count)} of mammography, {_number(other, pair.count)} others"
    about_m = [
        claim("mostly mammography", mammography[pair.count] > other[pair.count], dominant, **names),
        claim("steady", len(leading) == len(pair.layers), _layers(leading, pair), **names),
    ]
    return [*more, *about_m, *about_g]


@validated()
def on_natural_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups A and B (Fig. 12): `pair` holds A, then B."""
    (a, b), why = pair.names, _why_not(pair)
    names = {"first": a, "second": b}
    last = {name: pair.last_row(name) for name in (a, b)}
    led = {name: list(table.drop_duplicates("layer").broad_category == OTHER) for name, table in pair.top.items()}
    other, mammography = (pair.total(a, domain) for domain in ("other", "mammography"))
    return [
        claim("natural tau", *_above(pair, a, b), **names, why=why),
        claim("natural both", *_more(pair, a, b), **names, why=why),
        claim(
            "natural other", other[pair.count] > mammography[pair.count],
            f"{_number(other, pair.count)} other, {_number(mammography, pair.count)} of mammography", **names,
        ),
        claim(
            "natural first", all(layers and all(layers) for layers in led.values()),
            "; ".join(f"{name}: {sum(layers)} of {len(layers)} layers" for name, layers in led.items()), **names,
        ),
        claim(
            "natural last", last[a][pair.count] > 0 and last[a][pair.count] >= 2 * last[b][pair.count],
            ", ".join(f"{name} {_number(row, pair.count)}" for name, row in last.items()), **names, why=why,
        ),
    ]  # fmt: skip


@validated()
def on_mixed_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups C and D (Fig. 13): `pair` holds C, then D."""
    (c, d), why = pair.names, _why_not(pair)
    names = {"first": c, "second": d}
    leading, last = pair.leading_layers(d), pair.tops(d)[pair.layers[-1]]
    passing = pair.broad[c].groupby("broad_category", sort=False)[pair.count].sum()
    nothing = "; ".join(f"{name}: {_short(n)}" for name, n in passing.items() if n) or "nothing passes"
    return [
        claim("mixed tau", *_above(pair, d, c), **names, why=why),
        claim("mixed both", *_more(pair, d, c), **names, why=why),
        claim("mixed steady", len(leading) == len(pair.layers), _layers(leading, pair), **names),
        claim("mixed other", OTHER in last, f"last layer: {', '.join(last) or 'no label passes'}", **names),
        claim("mixed none", bool((passing == 0).all()), nothing, **names, why=why),
    ]


@validated(rule=analysis.RULES)
def on_fine_tuning(
    mammo: Dissection,
    tuned: Mapping[str, Dissection],
    rule: str = "top",
    tau: Mapping[str, pd.DataFrame] | None = None,
    counting: Count = analysis.count_concepts,
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
    deepest = ", ".join(f"{name} {_tau(tau[name].iloc[-1])}" for name in ("M", *tuned))
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
        claim("tuned mass", near, ", ".join(f"{name} {_number(mass.loc[name], 'concepts')}" for name in ("C3", "M"))),
        _solved(scores),
        *_on_calcifications({name: known[name] for name in ("M", "C4")}, rule, counting),
    ]


@validated(rule=analysis.RULES)
def on_missed(mammo: Dissection, rule: str = "top") -> list[Claim]:
    """What the paper says of what M learns and misses (Figs. 10, 11)."""
    shared = analysis.thresholds(mammo, rule=rule)
    missed = analysis.missed(mammo, shared).drop_duplicates("concept")
    n_missed, n_all = len(missed), len(mammo.concepts)
    others = int((missed.domain == "other").sum())
    categories = covered(mammo, shared).query("broad_category != @OTHER")
    ahead = categories[categories.learned > categories.missed]
    each = "; ".join(f"{row.broad_category}: {row.learned} of {row.total} learned" for row in categories.itertuples())
    named = [name for name in mammo.concepts.names if "architectural" in name.lower() or "distortion" in name.lower()]
    n_named = sum(name in set(missed.concept) for name in named)
    return [
        claim("more missed", n_missed > n_all / 2, f"{n_all - n_missed} learned, {n_missed} missed of {n_all}"),
        claim("missed others", others > n_missed / 2, f"{others} of {n_missed}"),
        claim("each category", len(ahead) == len(categories), f"{len(ahead)} of {len(categories)} categories ({each})"),
        claim(
            "distortion", n_named > len(named) / 2, f"{n_named} of {len(named)} missed",
            why="" if named else "the concept set has none",
        ),
        _other_means(mammo, shared),
    ]  # fmt: skip


@validated()
def on_neurons(cases: Mapping[str, Dissection]) -> list[Claim]:
    """What the paper says of single neurons (Figs. 6, 7): `cases` maps "implant" and "calcification" to a dissection."""
    return [claim(f"{word} neuron", *_best_neuron(found, word), why=_unknown(found, word)) for word, found in cases.items()]


@validated()
def natural_images_by_domain(dissections: Mapping[str, Dissection], is_natural: pd.Series) -> dict[str, pd.DataFrame]:
    """Per setup a table by the domain of the label: neurons, natural (mean share of natural images among their top images)."""
    tables = {}
    for name, found in dissections.items():
        domain = found.concepts.table.drop_duplicates("concept").set_index("concept").domain
        labels = found.labels().merge(analysis.share_among_strongest(found, is_natural, TOP_IMAGES))
        tables[name] = labels.groupby(labels.concept.map(domain)).share.agg(neurons="size", natural="mean")
    return tables


def _best_neuron(dissection: Dissection, word: str) -> tuple[bool, str]:
    """Whether a neuron of the last layer is about a word, and the best one: top concepts and top images that are."""
    if _unknown(dissection, word):
        return False, ""
    layer = dissection.layers[-1]
    shown = analysis.images_showing(dissection.probe_table, word)
    shares = analysis.share_among_strongest(dissection, shown.fillna(False).astype(bool), TOP)
    found = analysis.find_neurons(dissection, word, TOP).merge(shares, on=["layer", "neuron"]).query("layer == @layer")
    if found.empty:
        return False, f"no neuron of {layer} has the word among its top {TOP} concepts"
    found = found.assign(images=(found.share * TOP).round().astype(int))
    found = found.assign(both=found[["matches", "images"]].min(axis=1))
    best = found.sort_values(["both", "matches", "similarity"], ascending=False, kind="stable").iloc[0]
    seen = best.matches >= ENOUGH and best.images >= ENOUGH
    return bool(seen), f"neuron {best.neuron} of {layer}: {best.matches} of {TOP} and {best.images} of {TOP}"


def _unknown(dissection: Dissection, word: str) -> str:
    """Why a word cannot be looked for, or ""."""
    if not any(analysis.has_word(name, word) for name in dissection.concepts.names):
        return f"no concept has the word {word}"
    if analysis.images_showing(dissection.probe_table, word).isna().all():
        return f"the probe does not say which images show {word}"
    return ""


def _on_calcifications(pair: Mapping[str, Dissection], rule: str, counting: Count) -> list[Claim]:
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
    beyond = "; ".join(f"{name}: {len(others[name])} of {len(all_of[name])} of other categories" for name in found)
    nothing = "" if any(all_of.values()) else "no calcification concept passes in either"
    return [
        claim("morphology", len(by[MORPHOLOGY]["C4"]) > len(by[MORPHOLOGY]["M"]), words[MORPHOLOGY]),
        claim("suspicious", len(by[SUSPICIOUS]["C4"]) == len(by[SUSPICIOUS]["M"]), words[SUSPICIOUS], why=nothing),
        claim("only morphology", not any(others.values()), beyond, why=nothing),
    ]


def _of_category(counts: pd.DataFrame, category: str, n: int) -> str:
    """How many concepts of a category there are, with the interval of its count where there is one."""
    rows = counts[counts.category == category]
    return _number(rows.assign(concepts=n).iloc[0], "concepts") if len(rows) else f"{n}"


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


def _other_means(mammo: Dissection, shared: pd.DataFrame) -> Claim:
    """Fig. 11: what of the missed shows on ultrasound or MRI only."""
    missed = distinct_missed(mammo, shared).drop_duplicates("concept")
    table = mammo.concepts.subset(domain="mammography").table.drop_duplicates("concept")
    learned = table[table.concept.isin(set(analysis.learned(mammo, shared).concept))]
    n_missed, n_learned = (int(rows.evidence.isin(ELSEWHERE).sum()) for rows in (missed, learned))
    seen = len(missed) > 0 and n_missed / len(missed) > n_learned / max(len(learned), 1)
    why = "" if (table.evidence != "").any() else "the concept set does not say what shows where"
    return claim("other means", seen, f"{n_missed} of {len(missed)} missed, {n_learned} of {len(learned)} learned", why=why)


def _above(pair: Pair, high: str, low: str) -> tuple[bool, str]:
    """Whether the own threshold of one setup of a pair lies above the other's in every layer, and the numbers."""
    rows = list(zip(pair.layers, pair.tau[high].to_dict("records"), pair.tau[low].to_dict("records"), strict=True))
    values = ", ".join(f"{layer}: {_tau(x)} against {_tau(y)}" for layer, x, y in rows)
    above = sum(x["threshold"] > y["threshold"] for _, x, y in rows)
    return above == len(rows), f"{above} of {len(rows)} layers ({values})"


def _more(pair: Pair, more: str, less: str) -> tuple[bool, str]:
    """Whether one setup of a pair captures more of either domain, and the numbers."""
    domains = list(dict.fromkeys(pair.domains[more].domain))
    totals = {domain: (pair.total(more, domain), pair.total(less, domain)) for domain in domains}
    numbers = (f"{domain}: {_number(a, pair.count)} against {_number(b, pair.count)}" for domain, (a, b) in totals.items())
    return all(a[pair.count] > b[pair.count] for a, b in totals.values()), "; ".join(numbers)


def _deeper(counts: pd.DataFrame, name: str, holds) -> tuple[bool, str]:
    """Whether a comparison of concepts with M holds in the middle and in the last layer, and the numbers."""
    layers = list(dict.fromkeys(counts.layer))
    deeper = dict.fromkeys((layers[len(layers) // 2], layers[-1]))
    tuned, base = (counts.loc[[setup]].set_index("layer") for setup in (name, "M"))
    numbers = (
        f"{layer}: {name} {_number(tuned.loc[layer], 'concepts')}, M {_number(base.loc[layer], 'concepts')}" for layer in deeper
    )
    return all(holds(tuned.concepts[layer], base.concepts[layer]) for layer in deeper), "; ".join(numbers)


def _share(pair: Pair, name: str) -> str:
    """The share of other concepts among a setup's concepts of the last layer, and the counts that it comes from."""
    share, row = pair.last_share(name), pair.last_row(name)
    return (
        "none"
        if share != share
        else f"{share:.0%} ({_number(row, pair.count)} of {_short(pair.last_total(name))})".replace("%", " %")
    )


def _why_not(pair: Pair) -> str:
    """Why a pair cannot be compared under one threshold, or ""."""
    if pair.comparable:
        return ""
    return f"the similarities of {pair.names[0]} and {pair.names[1]} come from different dissectors"


def _why_blind(pair: Pair, which: int) -> str:
    """Why a setup's labels mean nothing, or ""."""
    return "" if pair.aligned[which] else f"the dissector of {pair.names[which]} was never trained to match images with texts"


def _layers(found: list[str], pair: Pair) -> str:
    """How many of a pair's layers, and which."""
    return f"{len(found)} of {len(pair.layers)} layers" + (f" ({', '.join(found)})" if found else "")


def _tau(row: Mapping | pd.Series) -> str:
    """A threshold with its interval, where there is one."""
    interval = f" ({row['low']:.2f} to {row['high']:.2f})" if "low" in row else ""
    return f"{row['threshold']:.2f}{interval}"


def _number(row: pd.Series, count: str) -> str:
    """A count or a fraction with its interval, where there is one."""
    interval = f" ({_short(row[f'{count}_low'])} to {_short(row[f'{count}_high'])})" if f"{count}_low" in row else ""
    return f"{_short(row[count])}{interval}"


def _short(count: float) -> str:
    return f"{count:.3g}" if count % 1 else f"{int(count)}"
