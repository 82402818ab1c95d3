"""Plots of intervals, paired changes and baselines show the values of their tables."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from mdissect import plots
from mdissect.plots.paired import OUTCOME_STYLES
from mdissect.plots.style import READABLE, contrast
from mdissect.plots.trust import KIND_STYLES, RULE_STYLES, SHARE_BARS
from mdissect.trust.baselines import KINDS
from mdissect.trust.paired import OUTCOMES

pytestmark = pytest.mark.slow


def counts() -> pd.DataFrame:
    rows = [("a", "mammography", 5, 3, 8), ("a", "other", 2, 1, 4), ("b", "mammography", 6, 6, 7), ("b", "other", 0, 0, 1)]
    return pd.DataFrame(rows, columns=["layer", "domain", "concepts", "concepts_low", "concepts_high"])


def summary(change: float = 1.0, layers=("a", "b"), **shares: float) -> pd.DataFrame:
    values = {
        "change": change,
        "low": change - 0.5,
        "high": change + 0.25,
        "effect": 0.4,
        "effect_low": 0.1,
        "effect_high": 0.6,
        "rising": 2 / 3,
    }
    shares = dict.fromkeys(OUTCOMES, 0.0) | (shares or {"kept": 1.0})
    return pd.DataFrame([{"layer": layer, **values, **shares} for layer in layers])


def segments(ax) -> list[list[float]]:
    """x, then the two ends of every upright line of an error bar or interval, each once."""
    lines = [s for c in ax.collections if hasattr(c, "get_segments") for s in c.get_segments()]
    return sorted({(round(float(s[0, 0]), 6), *sorted(s[:, 1].round(6).tolist())) for s in lines})


def test_intervals_of_a_stack_stand_on_their_parts(ax):
    plots.interval_bars(ax, {"G": counts(), "M": counts().head(2)}, "domain")
    assert ax.get_xticks() == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["G", "G", "M", "M"]
    first, second, alone = (0.4 * 0.92 * part for part in (0.22, 0.45, 0.33))  # to the right of the numbers
    expected = [
        (-0.2 + first, 3, 8),
        (-0.2 + second, 6, 9),  # the upper part: 5 below it
        (0.2 + first, 3, 8),
        (0.2 + second, 6, 9),
        (0.8 + alone, 6, 7),
    ]
    np.testing.assert_allclose(segments(ax), expected, atol=1e-5)


def test_lines_with_intervals_stand_beside_each_other(ax):
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [1.0, 2.0], "low": [0.5, 1.5], "high": [1.2, 2.8]})
    plots.layer_lines(ax, {"G": table, "M": table})
    np.testing.assert_allclose([line.get_xdata() for line in ax.lines], [[-0.03, 0.97], [0.03, 1.03]])
    assert segments(ax) == [(-0.03, 0.5, 1.2), (0.03, 0.5, 1.2), (0.97, 1.5, 2.8), (1.03, 1.5, 2.8)]


def test_lines_without_intervals_meet(ax):
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [1.0, 2.0]})
    plots.layer_lines(ax, {"G": table, "M": table})
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0, 1], [0, 1]]
    assert not ax.collections


@pytest.mark.parametrize(("value", "at", "ends"), [("change", 1.0, (0.5, 1.25)), ("effect", 0.4, (0.1, 0.6))])
def test_effects_have_their_intervals(ax, value, at, ends):
    plots.paired_effects(ax, {"C1": summary(), "C2": summary(layers=["b"])}, value)
    marks = {line.get_label(): line for line in ax.lines if line.get_label() in ("C1", "C2")}
    assert set(marks["C1"].get_xdata()) == {at}
    assert marks["C2"].get_ydata() == pytest.approx([1.175])
    drawn = [tuple(s[:, 0]) for c in ax.collections for s in c.get_segments()]
    np.testing.assert_allclose(drawn, [ends] * 3)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_outcomes_fill_the_bar(ax):
    tables = {"C1": summary(kept=0.5, changed=0.47, lost=0.03), "C2": summary(kept=1.0)}
    plots.paired_outcomes(ax, tables)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a  C1", "a  C2", "b  C1", "b  C2"]
    ends = [0.0] * 4
    for patch in ax.patches:
        row = round(patch.get_y() + patch.get_height() / 2)
        assert patch.get_x() == pytest.approx(ends[row])
        ends[row] += patch.get_width()
    assert ends == pytest.approx([1] * 4)
    assert sorted({text.get_text() for text in ax.texts}) == [
        "",
        "100 %",
        "3 %",
        "47 %",
        "50 %",
    ]  # 3 % stands beside, with a line
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "same concept",
        "another category",
        "label no longer counts",
    ]


def test_every_kind_and_outcome_has_a_style_of_its_own():
    assert set(KIND_STYLES) == {"model", *KINDS}
    assert set(OUTCOME_STYLES) == set(OUTCOMES)
    for styles in (KIND_STYLES, OUTCOME_STYLES):
        assert len(set(styles.values())) == len(styles)


def test_baselines_stand_below_the_model(ax):
    setups = ["M", "M untrained", "M random dissector", "M constant"]
    table = pd.DataFrame({"setup": setups, "kind": ["model", *KINDS], "better": [0.9, 0.5, 0.25, np.nan]})
    plots.baseline_bars(ax, table, "better", chance=0.05)
    assert [patch.get_width() for patch in ax.patches] == [0.9, 0.5, 0.25]
    assert [text.get_text().strip() for text in ax.texts] == ["90 %", "50 %", "25 %", "none", "chance"]
    assert ax.get_ylim() == (3.5, -0.5)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == setups


def compared() -> pd.DataFrame:
    rows = [("M", "model", 0.96, 108, 0.73, 0.24), ("M random dissector", "random dissector", 0.77, 90, 0.08, 0.11)]
    rows += [("M constant", "constant", np.nan, np.nan, np.nan, np.nan)]
    return pd.DataFrame(rows, columns=["setup", "kind", "better", "concepts", "precision", "prevalence"])


def test_precision_stands_beside_better_than_chance(figure):
    """A scrambled dissector: many neurons better than chance, few right; the line is what a random label reaches."""
    better, concepts, precision = plots.baseline_panels(figure, compared()).axes
    assert [bar.get_width() for bar in better.patches] == [0.96, 0.77]
    assert [text.get_text() for text in concepts.texts] == ["108", "90", "one label for all"]
    assert [text.get_text() for text in precision.texts] == ["73 %", "8 %", "presence unknown"]
    lines = [float(c.get_segments()[0][0, 0]) for c in precision.collections]
    assert lines == [0.24, 0.11]
    assert precision.texts[1].xy[0] == 0.11  # the number stands clear of the line
    assert plots.overprints(figure) == []


def test_a_model_has_the_colour_of_its_setup(ax):
    plots.baseline_bars(ax, compared().replace("M", "G").head(1), "better")
    assert to_hex(ax.patches[0].get_facecolor()) == plots.SETUPS["G"][0].lower()


def shares(layers=("bn1", "bn2"), **columns) -> pd.DataFrame:
    row = {"published": 0.5, "calibrated": 0.9, "precision": 0.4, "prevalence": 0.35}
    return pd.DataFrame([{"setup": "M", "layer": layer, **row} for layer in layers]).assign(**columns)


def test_shares_stand_beside_their_precision(ax):
    plots.share_bars(ax, shares())
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.5, 0.9, 0.9, 0.4, 0.4]
    assert [text.get_text() for text in ax.texts] == ["50 %", "50 %", "90 %", "90 %", "40 %", "40 %"]
    assert [float(s[0, 1]) for s in ax.collections[0].get_segments()] == [0.35, 0.35]
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == [*(words for words, *_ in SHARE_BARS.values()), "of all images, those that show it"]
    assert plots.overprints(ax.figure) == []


def test_a_precision_that_is_unknown_is_no_bar(ax):
    plots.share_bars(ax, shares(["bn2"], precision=np.nan, prevalence=np.nan))
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.9, 0]
    assert [text.get_text() for text in ax.texts] == ["50 %", "90 %", "?"]


def report_card(n_flagged: int, n: int = 20) -> pd.DataFrame:
    flags = [""] * (n - n_flagged) + ["not told from chance"] * n_flagged
    auc = np.linspace(0.95, 0.5, n)
    names = [f"concept {i}" for i in range(n)]
    return pd.DataFrame({"concept": names, "auc": auc, "low": auc - 0.1, "high": auc + 0.05, "flag": flags})


@pytest.mark.parametrize(("flagged", "named"), [(0, 0), (1, 1), (10, 10), (11, 0)])
def test_few_flagged_concepts_are_named(ax, flagged, named):
    plots.card(ax, report_card(flagged))
    lines = [line for text in ax.texts for line in text.get_text().split("\n")]
    assert lines[1:] == [f"concept {i}" for i in range(20 - named, 20)]
    assert all(contrast(to_hex(text.get_color())) >= READABLE for text in ax.texts)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"better than chance ({20 - flagged})",
        f"not better than chance ({flagged})",
    ]


def test_a_card_for_each_dissector(figure):
    plots.card_panels(figure, {"G": report_card(12), "G by M, M": report_card(3)})
    assert [ax.get_title() for ax in figure.axes] == ["dissector of G", "dissector of G by M, M"]
    assert plots.overprints(figure) == []


@pytest.mark.parametrize("last_bit", [-1e-16, 0, 1e-16])
def test_scores_at_an_edge_are_counted_alike_on_every_processor(ax, last_bit):
    values = np.array([0.0, 0.3, 0.3, 0.6, 1.0]) + last_bit
    plots.score_histogram(ax, {"calibrated": pd.DataFrame({"score": values})})
    assert [bar.get_height() for bar in ax.patches] == [1, 0, 0, 2, 0, 0, 1, 0, 0, 1]


def test_scores_stand_side_by_side_and_say_their_mean(figure):
    tables = {"calibrated": pd.DataFrame({"auc": [0.9, 0.7, np.nan]}), "published": pd.DataFrame({"auc": []}, dtype=float)}
    (ax,) = plots.score_panels(figure, {"M": tables}, ["auc"], "AUC", chance=0.5).axes
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert all(right <= left + 1e-9 for (_, right), (left, _) in pairwise(sorted(ends)))
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["chance", "calibrated (mean 0.80, 2 neurons)", "published (0 neurons)"]
    assert (ax.get_legend().get_title().get_text(), ax.get_xlabel()) == ("M", "AUC")
    assert plots.overprints(figure) == []


def test_a_column_for_each_panel(figure):
    table = pd.DataFrame({"one": [0.05], "two": [0.95]})
    axes = plots.score_panels(figure, {"1": {"it": table}, "2": {"it": table}}, ["one", "two"], "share").axes
    assert [[bar.get_height() for bar in ax.patches].index(1) for ax in axes] == [0, 9]


def grid() -> pd.DataFrame:
    rows = [(k, a, lam, (k, a, lam) == (20, 10, 1)) for k in (10, 20) for a in (5, 10) for lam in (1, 2)]
    table = pd.DataFrame(rows, columns=["top_k", "a", "lam", "own"])
    return table.assign(same_category=[0.2, 0.4, 0.6, 0.8, 0.3, 0.5, 1.0, 0.9])


def test_the_reference_of_the_settings_is_framed_and_has_no_number(figure):
    first, second = plots.settings_panels(figure, grid()).axes
    assert [text.get_text() for text in first.texts] == ["20 %", "40 %", "60 %", "80 %"]
    assert [text.get_text() for text in second.texts] == ["30 %", "50 %", "90 %", "reference"]
    assert [patch.get_xy() for patch in (*first.patches, *second.patches)] == [(0, 1)]
    assert second.get_title() == "top 20 images per neuron"
    assert plots.overprints(figure) == []


@pytest.mark.parametrize("share", np.linspace(0, 1, 11))
def test_numbers_on_colour_can_be_read(ax, share):
    table = pd.DataFrame({"top_k": [5, 5], "a": 1.0, "lam": [1, 2], "own": [False, True], "same_category": [share, 1.0]})
    plots.settings_grid([ax], table)
    assert contrast(to_hex(ax.texts[0].get_color()), to_hex(colormaps["Blues"](share))) >= READABLE


def curve(x: str, values) -> pd.DataFrame:
    rows = [(rule, value, 0.9, 0.1) for rule in RULE_STYLES for value in values]
    return pd.DataFrame(rows, columns=["rule", x, "right", "false_labels"])


def test_planted_panels_say_what_is_varied_in_words(figure):
    plots.planted_panels(figure, {"snr": curve("snr", [1, 2]), "top_k": curve("top_k", [10, 20, 200])}, list(RULE_STYLES))
    assert [ax.get_xlabel() for ax in figure.axes[2:]] == ["signal-to-noise ratio", "top images per neuron"]
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["share labelled correctly", "share of noise neurons\nwith a label"]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        "calibrated (this project)",
        "SoftWPMI (published)",
    ]
    assert figure.axes[3].get_xticks().tolist() == [10, 200]  # 20 has no room
    assert plots.overprints(figure) == []


def test_every_rule_has_a_colour_of_its_own():
    assert len({colour for colour, *_ in RULE_STYLES.values()}) == len(RULE_STYLES)


def test_patients_of_the_calibrated_rule_are_a_curve():
    table = pd.DataFrame({"patients": [50, 25, 100], "own": [False, False, True], "same_category": [0.6, 0.4, 1.0]})
    fig = plots.settings_panels(plt.figure(), table)
    (ax,) = fig.axes
    assert ax.lines[0].get_xydata().tolist() == [[25, 0.4], [50, 0.6], [100, 1]]
    assert [text.get_text() for text in ax.texts] == ["40 %", "60 %"]
    plt.close(fig)
