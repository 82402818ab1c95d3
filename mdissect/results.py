"""The paper's findings on training and fine-tuning as criteria, and where each of its figures and tables is made here."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mdissect import analysis
from mdissect.claims import FOREMOST, Claim, Pair, more_of_both, tau_above
from mdissect.concepts import OTHER
from mdissect.coverage import task_counts, with_tasks
from mdissect.dissection import Dissection

PLACES = (
    ("Fig. 4a", "threshold by layer, G and M", "01", "01_fig4a_threshold"),
    ("Fig. 4b", "mammography and other concepts, G and M", "01", "01_fig4b_domains"),
    ("Fig. 4c", "foremost categories, G and M", "01", "01_fig4c_top_categories"),
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
"""The paper's figures and tables: what they show, the number of the notebook, and how its figure's name begins."""


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


def claims_on_training(pair: Pair) -> list[Claim]:
    """What the paper says of G and M (Fig. 4): `pair` holds G, then M."""
    (g, m), layers = pair.names, pair.layers
    top = {name: {layer: list(t.broad_category) for layer, t in pair.top[name].groupby("layer")} for name in pair.names}
    steady = [layer for layer in layers if set(FOREMOST) <= set(top[m].get(layer, []))]
    last = top[g].get(layers[-1], [])
    return [
        tau_above(pair, "4a", m, g),
        more_of_both(pair.totals(), "4b", m, g),
        Claim(
            "4c",
            f"{m}'s foremost categories are steadily {' and '.join(FOREMOST)}",
            "both are among the three foremost in every layer",
            len(steady) == len(layers),
            f"{len(steady)} of {len(layers)} layers" + (f" ({', '.join(steady)})" if steady else ""),
        ),
        Claim(
            "4c",
            f"{g}'s last layer drifts to {OTHER}",
            "it is among the three foremost categories of the last layer",
            OTHER in last,
            f"last layer: {', '.join(last) or 'no label passes the shared threshold'}",
        ),
    ]


def claims_on_fine_tuning(mammo: Dissection, tuned: Mapping[str, Dissection], rule: str = "top") -> list[Claim]:
    """What the paper says of M and C1-C4 (Figs. 8, 9): `tuned` maps "C1" (density) to "C4" (calcification)."""
    own = analysis.thresholds(mammo, rule=rule)
    higher = {name: int((analysis.thresholds(d, rule=rule).threshold > own.threshold).sum()) for name, d in tuned.items()}
    pairs = {"density": ("M", "C1"), "mass": ("M", "C3"), "calcification": ("M", "C4")}
    known = {name: replace(d, concepts=with_tasks(d.concepts)) for name, d in {"M": mammo, **tuned}.items()}
    counts = task_counts(known, pairs, rule=rule).groupby(["task", "setup"]).concepts.sum()
    told = {task: f"{c} {counts[task, c]}, {m} {counts[task, m]}" for task, (m, c) in pairs.items()}
    n = {task: (int(counts[task, c]), int(counts[task, m])) for task, (m, c) in pairs.items()}
    more, fewer = n["calcification"][0] > n["calcification"][1], n["density"][0] < n["density"][1]
    alike = abs(n["mass"][0] - n["mass"][1]) <= 0.1 * n["mass"][1]
    return [
        Claim(
            "8",
            "every fine-tuned network has a higher threshold than M",
            "in every layer",
            all(layers == len(own) for layers in higher.values()),
            "; ".join(f"{name}: {layers} of {len(own)} layers" for name, layers in higher.items()),
        ),
        Claim(
            "9",
            "C4 captures more calcification concepts",
            "summed over layers",
            more,
            told["calcification"],
        ),
        Claim("9", "C1 captures fewer density concepts", "summed over layers", fewer, told["density"]),
        Claim("9", "C3 captures about as many mass concepts", "within 10 %", alike, told["mass"]),
    ]


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
