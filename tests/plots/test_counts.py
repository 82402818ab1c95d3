"""Plots of thresholds, counts and words show the values of their tables; a figure's files hold its settings."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mdissect import plots
from mdissect.concepts import OTHER, TAXONOMY


def counts(**columns) -> pd.DataFrame:
    """Two layers with two domains each."""
    table = {"layer": ["early", "early", "late", "late"], "domain": ["mammography", "other"] * 2}
    return pd.DataFrame(table | columns)


def bars(ax) -> pd.DataFrame:
    """Centre, bottom, height, colour and hatch of every bar."""
    rows = [
        (b.get_x() + b.get_width() / 2, b.get_y(), b.get_height(), to_hex(b.get_facecolor()), b.get_hatch()) for b in ax.patches
    ]
    return pd.DataFrame(rows, columns=["x", "bottom", "height", "colour", "hatch"])


def test_lines_pass_through_the_thresholds(ax):
    tables = {
        "G": pd.DataFrame({"layer": ["a", "b", "c"], "threshold": [0.1, 0.25, 0.2]}),
        "M": pd.DataFrame({"layer": ["a", "b", "c"], "threshold": [0.3, 0.2, 0.5]}),
    }
    assert plots.layer_lines(ax, tables) is ax
    for line, (name, table) in zip(ax.get_lines(), tables.items(), strict=True):
        assert line.get_label() == name
        assert line.get_xdata().tolist() == [0, 1, 2]
        assert line.get_ydata().tolist() == table.threshold.tolist()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["G", "M"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b", "c"]
    first, second = ax.get_lines()
    assert (first.get_color(), first.get_marker()) != (second.get_color(), second.get_marker())


def test_lines_of_networks_with_other_layers(ax):
    tables = {
        "G": pd.DataFrame({"layer": ["a", "b"], "share": [1, 2]}),
        "mine": pd.DataFrame({"layer": ["layer1", "b", "layer4"], "share": [3, 4, 5]}),
    }
    plots.layer_lines(ax, tables, value="share")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a\nlayer1", "b", "layer4"]
    assert [line.get_ydata().tolist() for line in ax.get_lines()] == [[1, 2], [3, 4, 5]]


def test_bars_are_as_high_as_the_counts(ax):
    tables = {"G": counts(concepts=[3, 5, 0, 7]), "M": counts(concepts=[4, 2, 6, 1])}
    assert plots.grouped_bars(ax, tables, "domain") is ax
    found = bars(ax)
    assert found.height.tolist() == [3, 5, 7, 4, 2, 6, 1]  # nothing is drawn of nothing
    assert found.bottom.tolist() == [0, 3, 0, 0, 4, 0, 6]
    assert found.x.round(6).tolist() == [-0.2, -0.2, 0.8, 0.2, 0.2, 1.2, 1.2]
    blue, green = (plots.DOMAIN_COLOURS[name].lower() for name in ("mammography", "other"))
    assert found.colour.tolist() == [blue, green, green, blue, green, blue, green]
    assert [text.get_text() for text in ax.texts] == ["3", "5", "7", "4", "2", "6", "1", "early", "late"]
    assert plots.overprints(ax.figure) == []
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["G", "G", "M", "M"]
    assert ax.get_legend_handles_labels()[1] == ["mammography", "other"]  # each once


def test_fractions_are_written_as_percentages(ax):
    plots.grouped_bars(ax, {"M": counts(fraction=[0.25, 0.5, 0.125, 0.0])}, "domain", value="fraction")
    assert bars(ax).height.tolist() == [0.25, 0.5, 0.125]
    assert [text.get_text() for text in ax.texts][:3] == ["25 %", "50 %", "12 %"]


@pytest.mark.parametrize(
    ("first", "places"),
    [([1, 2, 0, 0], [-0.2, -0.2, 0.2, 0.2, 1.2, 1.2]), ([0, 0, 5, 6], [0.8, 0.8, 0.2, 0.2, 1.2, 1.2])],
    ids=["no late layer", "no early layer"],
)
def test_a_layer_that_the_first_setup_does_not_have_is_drawn_in_its_place(ax, first, places):
    """Tables without empty groups (`analysis.top_groups`) may have fewer layers."""
    short = counts(concepts=first).query("concepts > 0")
    plots.grouped_bars(ax, {"G": short, "M": counts(concepts=[3, 4, 5, 6])}, "domain")
    assert bars(ax).height.tolist() == [*short.concepts, 3, 4, 5, 6]
    assert bars(ax).x.round(6).tolist() == places
    assert [text.get_text() for text in ax.texts][-2:] == ["early", "late"]


def test_broad_categories_keep_colour_and_hatch(ax):
    names = list(TAXONOMY)
    table = pd.DataFrame({"layer": "late", "broad_category": names[::-1], "concepts": range(1, len(names) + 1)})
    plots.grouped_bars(ax, {"M": table}, "broad_category")
    found = bars(ax)
    assert found.colour.tolist() == [plots.CATEGORY_COLOURS[name].lower() for name in names]  # stacked alike
    assert [hatch or "" for hatch in found.hatch] == [plots.CATEGORY_HATCHES[name] for name in names]
    assert len(set(plots.CATEGORY_COLOURS.values())) == len(set(plots.CATEGORY_HATCHES.values())) == len(TAXONOMY)
    assert plots.DOMAIN_COLOURS["other"] == plots.CATEGORY_COLOURS[OTHER]


def test_legends_show_the_same_colours(ax):
    names = ["Interpretations", OTHER, "something else"]
    plots.category_legend(ax, names, ncols=3)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    colours = [to_hex(patch.get_facecolor()) for patch in legend.get_patches()]
    wanted = [plots.CATEGORY_COLOURS[names[0]], plots.CATEGORY_COLOURS[OTHER], plots.UNGROUPED]
    assert colours == [colour.lower() for colour in wanted]


def test_a_cloud_without_words_says_so(ax):
    assert plots.word_cloud(ax, {}, {}) is ax
    assert [text.get_text() for text in ax.texts] == ["no concept passes"]
    assert not ax.images


@pytest.mark.slow
def test_words_have_the_colour_of_their_category(ax):
    category, other = "Findings and characterizations", "Interpretations"
    plots.word_cloud(ax, {"mass": 3.0, "benign": 1.0, "tench": 0.5}, {"mass": f"{category}; {other}", "benign": other})
    (picture,) = ax.images
    pixels = {to_hex(colour / 255) for colour in np.unique(picture.get_array().reshape(-1, 3), axis=0)}
    wanted = (plots.CATEGORY_COLOURS[category], plots.CATEGORY_COLOURS[other], plots.UNGROUPED)
    assert {plots.text_colour(colour) for colour in wanted} <= pixels


@pytest.mark.slow
def test_clouds_are_the_same_each_time():
    words = {f"word {i}": 1.0 + i for i in range(12)}
    first, second = (plots.word_cloud(Figure().add_subplot(), words, {}).images[0].get_array() for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3)])
def test_images_keep_their_shape_and_values(ax, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plots.mammogram(ax, image, "phantom-0")
    (picture,) = ax.images
    assert np.array_equal(picture.get_array(), image)
    assert picture.get_cmap().name == "gray" or image.ndim == 3
    assert ax.get_aspect() == 1
    assert ax.get_xlabel() == "phantom-0"


def drawing() -> Figure:
    figure = Figure()
    plots.grouped_bars(figure.add_subplot(), {"M": counts(concepts=[3, 5, 2, 7])}, "domain")
    plots.category_legend(figure.axes[0], ["mammography", "other"])
    return figure


def test_files_of_a_figure_hold_its_settings(tmp_path):
    settings = {"rule": "top", "top_k": 60, "probe": "phantom", "size": (256, 160), "name": "Größe"}
    path = plots.save_figure(drawing(), tmp_path / "new" / "fig 0.5", settings)
    assert path == tmp_path / "new" / "fig 0.5.png"
    assert sorted(p.name for p in path.parent.iterdir()) == ["fig 0.5.json", "fig 0.5.png", "fig 0.5.svg"]
    wanted = settings | {"size": [256, 160]}
    written = json.loads((tmp_path / "new" / "fig 0.5.json").read_text())
    assert written.pop("drawn")
    assert written.pop("overprints") == []
    assert written == wanted
    with Image.open(path) as picture:
        assert json.loads(picture.text["Description"]) == wanted
    svg = (tmp_path / "new" / "fig 0.5.svg").read_text()
    assert "&quot;top_k&quot;: 60" in svg or '"top_k": 60' in svg


@pytest.mark.slow
def test_the_same_figure_gives_the_same_files(tmp_path):
    for name in ("first", "second"):
        plots.save_figure(drawing(), tmp_path / name / "bars", {"top_k": 60})
    for ending in ("svg", "png", "json"):
        first, second = ((tmp_path / name / f"bars.{ending}").read_bytes() for name in ("first", "second"))
        assert first == second, ending
    assert b"<dc:date>" not in (tmp_path / "first" / "bars.svg").read_bytes()


def test_baselines_are_thin_and_grey_and_leave_the_others_their_colours(ax):
    table = pd.DataFrame({"layer": ["a", "b"], "threshold": [1.0, 2.0]})
    plots.layer_lines(ax, {"M": table, "M untrained": table, "C1": table}, dashed=["M untrained"])
    model, baseline, other = ax.lines
    assert [line.get_color() for line in (model, other)] == [plots.SETUPS[name][0] for name in ("M", "C1")]
    assert (baseline.get_color(), baseline.get_linestyle()) == (plots.UNGROUPED, "--")
    assert baseline.get_linewidth() < model.get_linewidth()


@pytest.mark.parametrize(("names", "rotation"), [(("M", "C1"), 0), (("M", "M untrained", "M random dissector"), 90)])
def test_long_names_under_bars_stand_upright(names, rotation):
    table = pd.DataFrame({"layer": ["a", "b"], "domain": "other", "concepts": [1, 2]})
    fig = Figure(layout="constrained")
    ax = fig.subplots()
    plots.grouped_bars(ax, dict.fromkeys(names, table), "domain")
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {rotation}
    fig.canvas.draw()
    lowest = min(label.get_window_extent().y0 for label in ax.get_xticklabels())
    layers = [text for text in ax.texts if text.get_text() in ("a", "b")]
    assert all(text.get_window_extent().y1 <= lowest for text in layers)  # below the names


def test_numbers_that_do_not_fit_stand_beside_the_bar(ax):
    table = pd.DataFrame({"layer": "late", "domain": ["a", "b", "c", "d"], "concepts": [1, 100, 1, 60]})
    plots.grouped_bars(ax, {"M": table, "C1": table}, "domain")
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["100", "60"] * 2 + ["1", "1"] * 2 + ["late"]
    assert plots.overprints(ax.figure) == []
    low_numbers = [text for text in ax.texts if text.get_text() == "1"]
    for bar, numbers in zip(ax.patches[::4], (low_numbers[:2], low_numbers[2:]), strict=True):
        low, high = (text.get_window_extent() for text in numbers)
        assert max(low.x1, high.x1) <= bar.get_window_extent().x0  # left of its bar
        assert low.y1 <= high.y0
    assert ax.get_ylim() == (0, pytest.approx(162 * 1.12))


@pytest.mark.parametrize("parts", [(0, 0), (1, 1, 1, 1, 1, 200), (3,), (500, 1, 500, 1), (0.004, 0.9)])
@pytest.mark.parametrize("n_setups", [1, 3, 5])
def test_numbers_never_overprint(ax, parts, n_setups):
    names = list("abcdef")[: len(parts)]
    tables = {}
    for i in range(n_setups):
        rows = [
            (layer, name, n, max(n - 2, 0), n + 3) for layer in ("early", "late") for name, n in zip(names, parts, strict=True)
        ]
        tables[f"C{i}"] = pd.DataFrame(rows, columns=["layer", "domain", "concepts", "concepts_low", "concepts_high"])
    ax.figure.set_size_inches(9, 4.4)
    plots.interval_bars(ax, tables, "domain")
    assert plots.overprints(ax.figure) == []


def test_texts_over_each_other_are_found(ax):
    ax.text(0.5, 0.5, "first")
    ax.text(0.5, 0.52, "second")
    ax.text(0.5, 0.7, "third")
    assert plots.overprints(ax.figure) == [("first", "second")]


def test_texts_that_are_not_drawn_are_over_nothing(ax):
    ax.set_xticks([0, 1, 1.001], ["zero", "one", "beyond"])
    ax.set_xlim(0, 1)
    assert plots.overprints(ax.figure) == []
    ax.set_xlim(0, 1.002)
    assert plots.overprints(ax.figure) == [("one", "beyond")]
    ax.set_axis_off()
    assert plots.overprints(ax.figure) == []


def test_bars_of_another_dissector_are_marked_above_their_stack(ax):
    two = {"G": counts(concepts=[5, 5, 0, 0]), "M": counts(concepts=[90, 5, 80, 20])}
    plots.grouped_bars(ax, two, "domain")
    own = {"G": pd.Series({"early": 11, "late": 29})}
    plots.mark_incomparable(ax, two, ["G"], own)
    marks = [text for text in ax.texts if "not comparable" in text.get_text()]
    assert [text.xy[1] for text in marks] == [10, 0]
    assert marks[0].get_text().endswith("11 at its own tau")
    assert plots.overprints(ax.figure) == []


@pytest.mark.parametrize("colour", [*plots.CATEGORY_COLOURS.values(), plots.UNGROUPED])
def test_words_in_the_colour_of_a_category_can_be_read(colour):
    assert plots.contrast(plots.text_colour(colour)) >= 4.5
    assert plots.contrast(plots.text_colour(colour)) <= max(4.8, plots.contrast(colour))  # no darker than needed


def test_the_setups_of_the_paper_look_the_same_in_every_figure():
    alone, among = plots.setup_styles(["M"])["M"], plots.setup_styles(["mine", "C1", "M", "other"])
    assert among["M"] == alone
    assert among["mine"] != among["other"]
    for figure in (("G", "G by M", "M"), ("M", "C1", "C2", "C3", "C4"), ("A", "B"), ("C", "D")):
        styles = plots.setup_styles(figure).values()
        assert len({style["color"] for style in styles}) == len({style["marker"] for style in styles}) == len(figure)
