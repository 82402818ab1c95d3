"""The sentences of notebooks 01 to 03 and 05 say what their tables hold."""

import numpy as np
import pandas as pd
import pytest

from mdissect.study import sentences
from mdissect.study.coverage import NO_MAMMOGRAM, SHOWN_BY

ONE, TWO = list(SHOWN_BY.values())[:2]


def table(columns: str, *rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split())


def layers(*thresholds: float) -> pd.DataFrame:
    return pd.DataFrame({"layer": [f"l{i}" for i in range(len(thresholds))], "threshold": thresholds})


@pytest.mark.parametrize(
    ("share", "digits", "said"),
    [(0.256, 0, "26 %"), (0.256, 1, "25.6 %"), (0, 0, "0 %"), (1, 0, "100 %"), (float("nan"), 0, "unknown")],
)
def test_percent(share, digits, said):
    assert sentences.percent(share, digits) == said


def test_bullets():
    assert sentences.bullets(["a", "b"]) == "- a\n- b"
    assert sentences.bullets([]) == "None."
    assert sentences.bullets([], "Nothing.") == "Nothing."


def test_thresholds_are_compared_layer_by_layer():
    tau = {"M": layers(1, 3, 2), "G": layers(1, 2, 4), "C1": layers(2, 4, 3)}
    assert sentences.tau_above(tau, "M") == (
        "The threshold of M lies above that of G in **1 of 3** layers and above that of C1 in **0 of 3** layers."
    )
    assert sentences.tau_above_base(tau, "M") == (
        "The threshold lies above M's in **1 of 3** layers for G, **3 of 3** layers for C1."
    )
    assert sentences.tau_above({"M": layers(1)}, "M") == sentences.tau_above_base({"M": layers(1)}, "M") == ""


def test_counts_are_those_of_the_last_layer():
    counts = table("layer domain concepts", ("l0", "other", 9), ("l1", "mammography", 150), ("l1", "other", 4))
    assert sentences.last_counts({"M": counts}, "domain") == (
        "In the last layer M has **150** mammography and **4** other concepts."
    )


def test_the_first_group_of_a_layer_leads():
    top = table("layer broad_category", ("l0", "Locations"), ("l0", "Findings"), ("l1", "Findings"))
    none = top.head(0)
    assert sentences.leading_groups({"M": top, "G": none}) == (
        "- M: l0 *Locations*; l1 *Findings*\n- G: no label passes in any layer"
    )


def test_enriched_groups_are_sure_and_more_frequent():
    rows = table("broad_category ratio q", ("Findings", 2.04, 0.01), ("Locations", 3.0, 0.2), ("Other", 0.2, 0.001))
    assert sentences.enriched_groups({"M": rows}) == "- M: *Findings* (2.0 times)"
    assert "no category more often" in sentences.enriched_groups({"M": rows.tail(2)})
    assert sentences.enriched_groups({}) == "No label passes the shared threshold in a last layer."


def test_precision_beside_that_of_all_images():
    rows = table("precision prevalence", (0.5, 0.2), (1.0, 0.3))
    text = sentences.precision({"M": rows, "G": rows.head(0)}, 10)
    assert text.startswith("- M: 2 neurons")
    assert "top 10 images show it in **75 %**, all images in 25 %." in text
    assert "G" not in text


def test_the_lowest_auc():
    scores = table("setup task auc", ("C1", "density", 0.99), ("C2", "birads", 0.921))
    assert sentences.lowest_auc(scores) == "The lowest AUC is **0.921** (C2, birads)."
    assert "could not be measured" in sentences.lowest_auc(scores.assign(auc=np.nan))


def test_redundancy_goes_with_tau():
    redundancy = {name: pd.DataFrame({"redundancy": [0, value]}) for name, value in (("M", 0.24), ("C1", 0.5), ("C2", 0.3))}
    tau = {"M": layers(1, 3), "C1": layers(1, 1), "C2": layers(1, 2)}
    text = sentences.redundancy_and_tau(redundancy, tau, "M")
    assert "is 0.24 in M and 0.50 in C1, 0.30 in C2; over the 3 networks" in text
    assert text.endswith("**-1.00**.")


def test_task_changes_are_differences():
    rows = [("mass", layer, setup, n) for layer, setup, n in (("l0", "M", 2), ("l0", "C3", 5), ("l1", "M", 9), ("l1", "C3", 4))]
    captured = table("task layer setup concepts", *rows)
    expected = "- mass, C3 compared with M: l0: **+3**, l1: **-5** concepts"
    assert sentences.task_changes(captured, {"mass": ("M", "C3")}) == expected


def test_unique_concepts_by_category():
    unique = table("only category", ("M", "Morphology"), ("M", "Morphology"), ("M", "Action"))
    assert sentences.unique_by_category(unique, ["M", "C4"], "calcification", "bn2") == (
        "Concepts of calcification in bn2: **3** only in M; Morphology 2; Action 1 — **0** only in C4."
    )


def test_channel_changes():
    row = {"change": -0.5, "low": -2.0, "high": 1.0, "effect": 0.3, "kept": 0.2, "kept_category": 0.1, "correlation": 0.75}
    text = sentences.channel_changes({"C1": pd.DataFrame([row | {"change": 0.25}])}, {"C1": pd.DataFrame([row])})
    assert (
        "similarity changes by **+0.25** per channel (d = +0.30), evidence by **-0.5** nats (-2.0 to +1.0; d = +0.30)" in text
    )
    assert "20 % of the channels keep their label, 10 % its category" in text


def totals(**bounds) -> pd.DataFrame:
    """How many concepts are learned and missed, with the intervals of some."""
    counts = {"learned": (6, 22), "missed, mammography": (7, 12), "in another form": (1, 12), "distinct": (3, 12)}
    counts |= {f"distinct: {ONE}": (2, 9), f"distinct: {TWO}": (1, 3), f"distinct: {NO_MAMMOGRAM}": (0, 4)}
    counts |= {"distinct: ultrasound or MRI": (1, 2), "distinct: distortion": (1, 3)}
    rows = {what: (*n, *bounds.get(what, (np.nan, np.nan))) for what, n in counts.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "of", "low", "high"])


@pytest.mark.parametrize(("learned", "said"), [(5, "1 of 2 broad categories: Findings."), (1, "0 of 2 broad categories.")])
def test_learned_and_missed(learned, said):
    by_category = table("broad_category learned missed", ("Findings", learned, 4), ("Locations", 0, 3))
    text = sentences.learned_and_missed("M", by_category, totals(), 256)
    assert text.startswith("M learned **6** of 22 concepts with 256 neurons; of the 12 of mammography it missed **7**.")
    assert text.endswith(said)


def distinct() -> pd.DataFrame:
    rows = [("distortion", TWO, "ultrasound", "Findings"), ("cyst", ONE, "", "Findings; Other"), ("tissue", ONE, "", "")]
    return table("concept shown_by evidence broad_category", *rows)


def test_distinct_missed():
    text = sentences.distinct_missed(totals())
    assert text.startswith(f"**3** distinct concepts of mammography are missed (2: {ONE}; 1: {TWO}).")
    assert "1 show on ultrasound or MRI only, 1 contain" in text
    assert "brackets" not in text


def test_counts_stand_with_their_intervals():
    with_bounds = totals(learned=(4, 9), distinct=(2, 5))
    by_category = table("broad_category learned missed", ("Findings", 1, 4))
    text = sentences.learned_and_missed("M", by_category, with_bounds, 256)
    assert text.startswith("M learned **6 (4 to 9)** of 22 concepts")
    assert text.endswith("In brackets: 95 % intervals over resampled patients.")
    assert sentences.distinct_missed(with_bounds).startswith("**3 (2 to 5)** distinct concepts")


def test_missed_list_marks_names_and_folds_groups():
    text = sentences.missed_list(distinct(), ["cyst"])
    assert f"<details><summary>{TWO} (1)</summary><p><b>Findings (1)</b>: distortion</p></details>" in text
    assert "<b>Findings (1)</b>: cyst *</p>" in text
    assert "<b>ungrouped (1)</b>: tissue" in text


def test_missed_against_texts():
    row = {"never_said": 30, "concepts": 100, "missed": 50, "both": 20, "precision": 0.4, "recall": 0.67, "p": 0.0123}
    check = pd.DataFrame([row | {"among": "all", "precision_by_chance": 0.3, "recall_by_chance": 0.5}])
    text = sentences.against_texts("M", check)
    assert "never mention 30 of 100 concepts of mammography; M misses 50." in text
    assert "Precision **40 %** (at random 30 %), recall **67 %** (at random 50 %), p = 0.012." in text
    assert "30 of the missed concepts are in the texts" in text
    ends = {"missed_low": 45, "missed_high": 52, "precision_low": 0.35, "precision_high": 0.444, "recall_low": 0.6}
    text = sentences.against_texts("M", check.assign(**ends, recall_high=0.7))
    assert "M misses 50 (45 to 52)." in text
    assert "Precision **40 % (35 % to 44 %)** (at random 30 %), recall **67 % (60 % to 70 %)**" in text


def test_margins():
    reached = table("group share", ("said", 0.5), ("never said", 0.0), ("planted gap", 1.0)).set_index("group")
    text = sentences.margins(pd.DataFrame({"auc": [0.61]}), reached)
    assert "in **61 %** of pairs (50 % by chance)" in text
    assert "for 50 % of the mentioned concepts, 0 % of those never mentioned and 100 % of the planted gaps" in text


def test_planted_gaps_name_what_counts_as_learned():
    rows = [("clips", "clip", "missed", 0), ("clips", "marker", "learned", 3), ("cysts", "cyst", "missed", 0)]
    assert sentences.planted_gaps(table("gap concept verdict passing", *rows)) == (
        "- clips: **1 of 2** concepts are missed; “marker” counts as learned by 3 neurons\n"
        "- cysts: **1 of 1** concepts are missed"
    )
    gaps = table("gap concept verdict passing missed_low missed_high", ("clips", "clip", "missed", 0, 0, 1))
    assert sentences.planted_gaps(gaps) == "- clips: **1 (0 to 1) of 1** concepts are missed"


@pytest.mark.parametrize(("other", "answer"), [(0.9, "M: yes (+10 points)"), (0.7, "M: no (-10 points)")])
def test_domains_of_images_start_with_the_answer(other, answer):
    kinds = {"M": pd.DataFrame({"natural": [0.8, other]}, index=["mammography", "other"])}
    text = sentences.domains_of_images(kinds, 0.38, 20)
    assert f"? {answer}. Natural images are 38 % of the probe" in text
    assert text.endswith(f"in M **80 %** (mammography), **{other:.0%}** (other).".replace("0%", "0 %"))
