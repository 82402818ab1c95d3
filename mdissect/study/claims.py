"""Findings of the paper as criteria that a dissection meets or not, and where its figures and tables are made here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mdissect import analysis
from mdissect.concepts import OTHER
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.coverage import task_counts, with_tasks

COUNTS = ("concepts", "neurons", "fraction")
LEADING = ("Findings and characterizations", "Interpretations")

PLACES = (
    ("Fig. 4a", "threshold by layer, G and M", "01", "01_fig4a_threshold"),
    ("Fig. 4b", "mammography and other concepts, G and M", "01", "01_fig4b_domains"),
    ("Fig. 4c", "top categories, G and M", "01", "01_fig4c_top_categories"),
    ("Fig. 5", "words of the last layer, G and M", "01", "01_fig5_words"),
    ("Fig. 6", "an implant neuron", "04", "04_fig6_implant_neuron"),
    ("Fig. 7", "a calcification neuron", "04", "04_fig7_calcification_neuron"),
    ("Fig. 8", "threshold by layer, M and C1-C4", "02", "02_fig8"),
    ("Fig. 9", "concepts of each task, M and C1-C4", "02", "02_fig9"),
    ("Table 2", "scores of the fine-tuned networks", "02", ""),
    ("Table 3", "calcification concepts of M alone and of C4 alone", "02", ""),
    ("Fig. 10", "learned and missed per category", "03", "03_fig10"),
    ("Fig. 11", "distinct missed concepts", "03", "03_fig11"),
    ("Table 4", "setups A to D", "05", ""),
    ("Fig. 12", "setups A and B", "05", "05_fig12"),
    ("Fig. 13", "setups C and D", "05", "05_fig13"),
)


@dataclass(frozen=True)
class Claim:
    """A finding of the paper, the criterion that stands for it here, and what came of it.

    Attributes
    ----------
    figure : str
        Where the paper shows it.
    finding, criterion : str
    seen : bool
    numbers : str
        What the criterion was judged by.
    """

    figure: str
    finding: str
    criterion: str
    seen: bool
    numbers: str


@validated()
def places(figures: Path) -> pd.DataFrame:
    """Where each figure and table of the paper is made, and the files that are there.

    Returns
    -------
    DataFrame
        in the paper, shows, notebook, files (names of PNG files, "" for a table).
    """
    rows = [
        (paper, shows, number, ", ".join(sorted(path.name for path in figures.glob(f"{stem}*.png"))) if stem else "")
        for paper, shows, number, stem in PLACES
    ]
    return pd.DataFrame(rows, columns=["in the paper", "shows", "notebook", "files"])


@validated()
def as_markdown(claims: Iterable[Claim]) -> str:
    """A table for a notebook, one row per claim."""
    rows = [
        (f"Fig. {claim.figure}", claim.finding, claim.criterion, "**seen**" if claim.seen else "not seen", claim.numbers)
        for claim in claims
    ]
    head = ("in the paper", "finding", "criterion", "here", "numbers")
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


@validated()
def summary(claims: Iterable[Claim]) -> str:
    """In words: how many are seen, and which are not."""
    claims = list(claims)
    others = "; ".join(f"{claim.finding} (Fig. {claim.figure}: {claim.numbers})" for claim in claims if not claim.seen)
    seen = f"**{sum(claim.seen for claim in claims)} of {len(claims)}** findings are seen here"
    return f"{seen}. Not seen: {others}." if others else f"{seen}."


@dataclass(frozen=True)
class Pair:
    """Two setups under one threshold per layer, the larger of theirs. Made by `compare_pair`.

    Attributes
    ----------
    names : (str, str)
        Of the setups; keys of the tables below.
    rule, count : str
        Of the thresholds, and what is counted: the column of the tables that figures and claims go by.
    tau : mapping of setup to table
        Each setup's own thresholds, see `mdissect.analysis.thresholds`.
    domains, broad : mapping of setup to table
        What passes the shared thresholds by domain and by broad category, see `mdissect.analysis.count_concepts`.
    top : mapping of setup to table
        The top three broad categories of each layer.
    """

    names: tuple[str, str]
    rule: str
    count: str
    tau: Mapping[str, pd.DataFrame]
    domains: Mapping[str, pd.DataFrame]
    broad: Mapping[str, pd.DataFrame]
    top: Mapping[str, pd.DataFrame]

    @property
    def layers(self) -> list[str]:
        return list(self.tau[self.names[0]].layer)

    def totals(self) -> pd.DataFrame:
        """Counts summed over the layers: domains x setups."""
        return pd.DataFrame(
            {name: table.groupby("domain", sort=False)[self.count].sum() for name, table in self.domains.items()}
        )

    def leading_layers(self, name: str) -> list[str]:
        """The layers of a setup whose top three categories contain both of `LEADING`."""
        top = {layer: set(rows.broad_category) for layer, rows in self.top[name].groupby("layer")}
        return [layer for layer in self.layers if set(LEADING) <= top.get(layer, set())]

    def last_top(self, name: str) -> list[str]:
        """The top categories of a setup's last layer, the largest first."""
        table = self.top[name]
        return list(table.broad_category[table.layer == self.layers[-1]])


@validated(rule=analysis.RULES, count=COUNTS)
def compare_pair(dissections: Mapping[str, Dissection], rule: str = "top", count: str = "concepts") -> Pair:
    """Set two setups beside each other.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
        Two of them, with the same layers.
    rule : {"top", "all"}
        Of the thresholds.
    count : {"concepts", "neurons", "fraction"}
        What is counted.

    Raises
    ------
    ValueError
        Not two setups, different layers, or an unknown rule or count.
    """
    if len(dissections) != 2:
        raise ValueError(f"a pair has two setups, found {len(dissections)}: {', '.join(dissections)}")
    shared = analysis.thresholds(*dissections.values(), rule=rule)
    broad = {name: analysis.count_concepts(found, shared) for name, found in dissections.items()}
    return Pair(
        names=tuple(dissections),
        rule=rule,
        count=count,
        tau={name: analysis.thresholds(found, rule=rule) for name, found in dissections.items()},
        domains={name: analysis.count_concepts(found, shared, by="domain") for name, found in dissections.items()},
        broad=broad,
        top={name: analysis.top_groups(table, count) for name, table in broad.items()},
    )


@validated()
def claims_on_training(pair: Pair) -> list[Claim]:
    """What the paper says of G and M (Fig. 4): `pair` holds G, then M."""
    g, m = pair.names
    leading, last = pair.leading_layers(m), pair.last_top(g)
    return [
        tau_above(pair, "4a", m, g),
        more_of_both(pair, "4b", m, g),
        Claim(
            "4c", f"{m}'s top categories are steadily {' and '.join(LEADING)}", "both are among the top three in every layer",
            len(leading) == len(pair.layers), _layers(leading, pair),
        ),
        Claim(
            "4c", f"{g}'s last layer drifts to {OTHER}", "it is among the top three categories of the last layer",
            OTHER in last, f"last layer: {', '.join(last) or 'no label passes the shared threshold'}",
        ),
    ]  # fmt: skip


@validated()
def claims_on_natural_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups A and B (Fig. 12): `pair` holds A, then B."""
    (a, b), totals = pair.names, pair.totals()
    other = {name: table[table.broad_category == OTHER][pair.count].iloc[-1] for name, table in pair.broad.items()}
    led = {name: list(table.drop_duplicates("layer").broad_category == OTHER) for name, table in pair.top.items()}
    return [
        tau_above(pair, "12a", a, b),
        more_of_both(pair, "12b", a, b),
        Claim(
            "12b", f"{a} learns more other concepts than mammography concepts", "summed over the layers",
            bool(totals.loc["other", a] > totals.loc["mammography", a]),
            f"{_number(totals.loc['other', a])} other, {_number(totals.loc['mammography', a])} mammography",
        ),
        Claim(
            "12c", f"{OTHER} comes first in both",
            "it has the highest count of the six categories in every layer in which a label passes, and one does in each setup",
            all(layers and all(layers) for layers in led.values()),
            "; ".join(f"{name}: {sum(layers)} of {len(layers)} layers" for name, layers in led.items()),
        ),
        Claim(
            "12c", f"{a} captures far more of {OTHER} than {b} in the last layer", "at least twice as much",
            bool(other[a] > 0 and other[a] >= 2 * other[b]), f"{a} {_number(other[a])}, {b} {_number(other[b])}",
        ),
    ]  # fmt: skip


@validated()
def claims_on_mixed_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups C and D (Fig. 13): `pair` holds C, then D."""
    c, d = pair.names
    leading, last = pair.leading_layers(d), pair.last_top(d)
    passing = pair.broad[c].groupby("broad_category", sort=False)[pair.count].sum()
    return [
        tau_above(pair, "13a", d, c),
        more_of_both(pair, "13b", d, c),
        Claim(
            "13c", f"{d} keeps to {' and '.join(LEADING)}", "both are among the top three categories in every layer",
            len(leading) == len(pair.layers), _layers(leading, pair),
        ),
        Claim(
            "13c", f"{d} still captures {OTHER} in the deeper layers",
            "it is among the top three categories of the last layer", OTHER in last,
            f"last layer: {', '.join(sorted(last)) or 'no label passes'}",
        ),
        Claim(
            "13c", f"{c} passes the shared threshold in no category",
            "no label of it reaches the shared threshold in any layer", bool((passing == 0).all()),
            "; ".join(f"{name}: {_number(n)}" for name, n in passing.items() if n) or "nothing passes",
        ),
    ]  # fmt: skip


@validated(rule=analysis.RULES)
def claims_on_fine_tuning(mammo: Dissection, tuned: Mapping[str, Dissection], rule: str = "top") -> list[Claim]:
    """What the paper says of M and C1-C4 (Figs. 8, 9): `tuned` maps "C1" (density) to "C4" (calcification)."""
    own = analysis.thresholds(mammo, rule=rule)
    higher = {name: int((analysis.thresholds(d, rule=rule).threshold > own.threshold).sum()) for name, d in tuned.items()}
    classifiers = {"density": "C1", "mass": "C3", "calcification": "C4"}
    known = {name: replace(d, concepts=with_tasks(d.concepts)) for name, d in {"M": mammo, **tuned}.items()}
    counts = task_counts(known, {task: ("M", name) for task, name in classifiers.items()}, rule=rule)
    total = counts.groupby(["task", "setup"]).concepts.sum()
    n = {task: (int(total[task, name]), int(total[task, "M"])) for task, name in classifiers.items()}
    numbers = {task: f"{name} {n[task][0]}, M {n[task][1]}" for task, name in classifiers.items()}
    (density, density_m), (mass, mass_m), (calcification, calcification_m) = n.values()
    return [
        Claim(
            "8", "every fine-tuned network has a higher threshold than M", "in every layer",
            all(layers == len(own) for layers in higher.values()),
            "; ".join(f"{name}: {layers} of {len(own)} layers" for name, layers in higher.items()),
        ),
        Claim(
            "9", "C4 captures more calcification concepts", "summed over layers", calcification > calcification_m,
            numbers["calcification"],
        ),
        Claim("9", "C1 captures fewer density concepts", "summed over layers", density < density_m, numbers["density"]),
        Claim(
            "9", "C3 captures about as many mass concepts", "within 10 %", abs(mass - mass_m) <= 0.1 * mass_m, numbers["mass"],
        ),
    ]  # fmt: skip


@validated(rule=analysis.RULES)
def claims_on_missed(mammo: Dissection, rule: str = "top") -> list[Claim]:
    """What the paper says of what M learns and misses (Figs. 10, 11)."""
    shared = analysis.thresholds(mammo, rule=rule)
    missed = analysis.missed(mammo, shared).drop_duplicates("concept")
    n_missed, n_all = len(missed), len(mammo.concepts)
    others = int((missed.domain == "other").sum())
    return [
        Claim(
            "10", "M misses more concepts than it learns", "over all layers", n_missed > n_all / 2,
            f"{n_all - n_missed} learned, {n_missed} missed of {n_all}",
        ),
        Claim(
            "10", "most of what M misses has nothing to do with mammography", "more than half", others > n_missed / 2,
            f"{others} of {n_missed}",
        ),
    ]  # fmt: skip


@validated()
def tau_above(pair: Pair, figure: str, high: str, low: str) -> Claim:
    """Whether the own threshold of one setup of a pair lies above the other's in every layer."""
    first, second = (pair.tau[name].threshold.to_numpy() for name in (high, low))
    values = ", ".join(f"{layer}: {x:.2f} against {y:.2f}" for layer, x, y in zip(pair.layers, first, second, strict=True))
    above = int((first > second).sum())
    finding = f"the threshold of {high} lies above that of {low}"
    return Claim(figure, finding, "in every layer", above == len(first), f"{above} of {len(first)} layers ({values})")


@validated()
def more_of_both(pair: Pair, figure: str, more: str, less: str) -> Claim:
    """Whether one setup of a pair captures more of either domain."""
    totals = pair.totals()
    numbers = "; ".join(f"{domain}: {_number(row[more])} against {_number(row[less])}" for domain, row in totals.iterrows())
    finding = f"{more} captures more mammography and more other concepts than {less}"
    return Claim(figure, finding, "each summed over the layers", bool((totals[more] > totals[less]).all()), numbers)


def _layers(found: list[str], pair: Pair) -> str:
    """How many of a pair's layers, and which."""
    return f"{len(found)} of {len(pair.layers)} layers" + (f" ({', '.join(found)})" if found else "")


def _number(count: float) -> str:
    """A count or a fraction, shortly."""
    return f"{count:.3g}" if count % 1 else f"{int(count)}"
