"""Plots of rules and of latents show the values of their tables."""

import numpy as np
import pandas as pd
import pytest

from mdissect import plots
from mdissect.plots.style import SETUP_COLOURS, SETUPS


def marks(ax) -> dict[str, tuple[list[float], list[float]]]:
    """x and y of each labelled mark."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines if line.get_marker() != "None"
    }


def table(**values) -> pd.DataFrame:
    rules = list(values)
    return pd.DataFrame({"rule": rules, "auc": values.values()}).assign(low=lambda t: t.auc - 0.1, high=lambda t: t.auc + 0.1)


def test_a_rule_has_a_row_and_a_table_a_mark(ax):
    plots.rule_points(ax, {"M": table(calibrated=0.8, top_auc=0.7), "M untrained": table(top_auc=0.6)}, "auc", zero=0.5)
    assert marks(ax)["M"] == ([0.8, 0.7], pytest.approx([-0.175, 0.825]))
    assert marks(ax)["M untrained"] == ([0.6], pytest.approx([1.175]))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["calibrated", "top auc"]
    ends = sorted(tuple(s[:, 0]) for c in ax.collections for s in c.get_segments())
    assert ends == [pytest.approx(pair) for pair in ((0.5, 0.7), (0.6, 0.8), (0.7, 0.9))]
    assert ax.get_legend() is not None


def test_setups_look_as_in_every_figure_and_others_differ(ax):
    plots.rule_points(ax, {"M": table(a=0.5), "mine": table(a=0.5)}, "auc")
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert colours["M"] == SETUPS["M"][0]
    assert colours["mine"] == SETUP_COLOURS[0]


def test_one_table_needs_no_legend_and_no_interval_no_line(ax):
    plots.rule_points(ax, {"only": table(a=0.5).assign(low=np.nan, high=np.nan)}, "auc")
    assert ax.get_legend() is None
    assert marks(ax)["only"][0] == [0.5]


def test_a_column_that_is_missing_is_named(ax):
    with pytest.raises(ValueError, match="share"):
        plots.rule_points(ax, {"M": table(a=0.5)}, "share")


def test_channels_and_latents_stand_side_by_side(ax):
    row = {"channels": 0.5, "channels_low": 0.4, "channels_high": 0.6, "latents": 0.7, "latents_low": 0.6, "latents_high": 0.8}
    plots.latent_points(ax, pd.DataFrame([{"measure": "named", **row}, {"measure": "other", **row}]))
    assert marks(ax) == {
        "channels": ([0.5, 0.5], pytest.approx([-0.15, 0.85])), "latents": ([0.7, 0.7], pytest.approx([0.15, 1.15])),
    }  # fmt: skip
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["share named (better than chance)", "other"]
