"""The case of a neuron, and its drawing."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made_up import concept_set
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from patches import spot, target

from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.plots import CATEGORY_COLOURS, caption, concept_bars, draw_case, marked_image, rate_histogram
from mdissect.plots.neurons import BOX_COLOUR
from mdissect.probes import ArraySource, Probe
from mdissect.study.cases import choose_neuron, marked_regions, neuron_case

mpl.use("Agg")

CONCEPTS = [
    ("implant", "Breast anatomy or structure", "single view"),
    ("implant rupture", "Interpretations", "MRI"),
    ("mass", "Findings and characterizations", "single view"),
]
SPOTS = [(0, 0), (16, 32), (40, 8), (24, 16)]


class Marked(ArraySource):
    """Images in memory whose bright square is marked as an implant in the first three, and by nobody in the last."""

    def boxes(self, position):
        if position == 3:
            raise LookupError("nobody marked this image")
        row, column = SPOTS[position]
        return [{"finding": "Breast implant", "xmin": column, "ymin": row, "xmax": column + 8, "ymax": row + 8}]


@pytest.fixture
def probe():
    table = pd.DataFrame(
        {
            "laterality": "L",
            "view": "CC",
            "implant": ["saline", "", "silicone", None],
            "findings": ["implant; mass", "", "implant", ""],
        },
        index=pd.Index(["a", "b", "c", "d"], name="image_id"),
    )
    images = [spot(*place) * np.uint8(1) for place in SPOTS]
    return Probe("marked", list(table.index), [Marked(images)], table=table)


@pytest.fixture
def dissection(probe):
    return Dissection(
        similarity={"signs": np.array([[3, 2, 1], [1, 2.5, 2.6]], np.float32)},
        activations={"signs": np.array([[0.2, 0.1], [0.4, 0.2], [0.3, 0.3], [0.1, 0.4]], np.float32)},
        concepts=concept_set(CONCEPTS, "concept", "broad_category", "evidence", domain="mammography"),
        probe_table=probe.table,
        settings={},
    )


@pytest.fixture
def case(dissection, probe):
    tau = analysis.thresholds(dissection)
    return neuron_case(dissection, target(), probe, ("signs", 0), "implant", tau, top=2)


def test_a_case_gathers_concepts_and_images(case):
    assert case.concepts.concept.tolist() == ["implant", "implant rupture"]
    assert case.concepts.has_word.tolist() == [True, True]
    assert case.top.image.tolist() == ["b", "c"]
    assert case.top.shows_word.tolist() == [False, True]
    assert case.threshold == pytest.approx(2.8)
    assert case.passes
    for (row, column), image, heat, boxes in zip(SPOTS[1:3], case.images, case.heats, case.boxes, strict=True):
        assert image[row, column] == 255
        assert heat[row + 4, column + 4] == heat.max()
        assert boxes[0]["ymin"] == row


def test_a_case_in_words(case):
    assert case.summary() == (
        "Neuron 0 of signs: **2 of 2** top concepts have *implant* in them, **1 of 2** strongest images show it; its "
        "label reaches the threshold. A single mammogram cannot show *implant rupture* (MRI)."
    )


def test_images_of_which_nothing_is_known_are_not_counted(dissection, probe):
    case = neuron_case(dissection, target(), probe, ("signs", 1), "implant", analysis.thresholds(dissection), top=2)
    assert case.top.shows_word.isna().tolist() == [True, False]
    assert "**1 of 1** strongest images show it" in case.summary()
    assert "does not reach the threshold" in case.summary()
    assert case.boxes[0] == []  # nobody marked it


def test_the_neuron_that_passes_is_chosen_first(dissection):
    tau = analysis.thresholds(dissection)
    assert choose_neuron(dissection, "implant", tau, top=2) == ("signs", 0)
    assert choose_neuron(dissection, "mass", tau, top=1) == ("signs", 1)
    low = tau.assign(threshold=2.5)
    dissection.similarity["signs"][1] = [2.4, 2.3, 1]  # two matches, but below the threshold
    dissection.similarity["signs"][0] = [2.6, 0, 1]
    assert analysis.find_neurons(dissection, "implant", 2, low).neuron.tolist() == [1, 0]
    assert choose_neuron(dissection, "implant", low, top=2) == ("signs", 0)


def test_the_nearest_neuron_stands_in_where_none_speaks_of_the_word(dissection):
    tau = analysis.thresholds(dissection)
    assert choose_neuron(dissection, "rupture", tau, top=1) == ("signs", 1)  # 2.5, against 2 of the other
    dissection.similarity["signs"][1] = np.nan
    assert choose_neuron(dissection, "rupture", tau, top=1) == ("signs", 0)
    dissection.similarity["signs"][0] = np.nan
    with pytest.raises(ValueError, match="no neuron of layer 'signs' could be named"):
        choose_neuron(dissection, "rupture", tau, top=1)


def test_a_neuron_that_is_not_there(dissection, probe):
    tau = analysis.thresholds(dissection)
    with pytest.raises(ValueError, match="layer 'deep' was not dissected; there are signs"):
        choose_neuron(dissection, "implant", tau, layer="deep")
    with pytest.raises(ValueError, match="none of the 3 concepts has 'pacemaker' in it"):
        choose_neuron(dissection, "pacemaker", tau)
    with pytest.raises(IndexError, match="neuron 7 is not in layer"):
        neuron_case(dissection, target(), probe, ("signs", 7), "implant", tau)
    with pytest.raises(ValueError, match="no threshold for layer signs"):
        neuron_case(dissection, target(), probe, ("signs", 0), "implant", tau.assign(layer="deep"))


def test_marked_regions(probe):
    positions, regions = marked_regions(probe, "implant")
    assert positions == [0, 2]  # "b" shows none, nobody marked "d"
    assert [tuple(np.argwhere(region)[0]) for region in regions] == [SPOTS[0], SPOTS[2]]
    assert marked_regions(probe, "implant", limit=1)[0] == [0]
    assert marked_regions(probe, "pacemaker") == ([], [])


def test_bars_stand_for_the_concepts(case):
    ax = concept_bars(Figure().add_subplot(), case.concepts, case.threshold)
    assert [bar.get_width() for bar in ax.patches] == [3, 2]
    wanted = [CATEGORY_COLOURS[name].lower() for name in ("Breast anatomy or structure", "Interpretations")]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == wanted
    assert [label.get_text() for label in ax.get_yticklabels()] == ["implant", "implant rupture"]
    assert [label.get_fontweight() for label in ax.get_yticklabels()] == ["bold", "bold"]
    assert ax.get_lines()[0].get_xdata()[0] == case.threshold


def test_an_image_with_its_box_and_activation(case):
    ax = marked_image(Figure().add_subplot(), case.images[0], case.boxes[0], case.heats[0], "b")
    (box,) = ax.patches
    assert to_hex(box.get_edgecolor()) == BOX_COLOUR.lower()
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (31.5, 15.5, 8, 8)
    assert len(ax.get_images()) == 2
    assert ax.get_images()[1].get_array().max() == 1
    assert ax.get_aspect() == 1


def test_the_figure_of_a_case(case):
    fig = draw_case(Figure(), case)
    bars, *images = fig.axes
    assert len(images) == 4
    assert images[0].get_title() == "1. activation 0.40"
    assert images[1].get_xlabel() == "b\nL CC\nno finding"
    assert "Neuron 0 of signs" in fig.get_suptitle()
    assert [text.get_text() for text in bars.get_legend().get_texts()] == ["Breast anatomy or structure", "Interpretations"]


def test_a_caption_lists_findings_with_their_details():
    row = pd.Series(
        {
            "image": "x",
            "laterality": "R",
            "view": "MLO",
            "density": "C",
            "findings": "mass; implant; skin thickening",
            "mass": True,
            "mass_shape": "oval",
            "mass_density": "high",
            "implant": "implant",
            "skin_thickening": True,
        }
    )
    assert caption(row).split("\n") == ["x", "R MLO, density C", "mass (oval, high", "  density)", "implant", "skin thickening"]
    assert caption(pd.Series({"image": "y"})) == "y"
    assert caption(pd.Series({"image": "f01d8a1c1c7f65f7ac200a3252b398f4"})) == "f01d8a1c...52b398f4"


def test_rates_mark_the_neuron_and_chance():
    ax = rate_histogram(Figure().add_subplot(), np.array([0.1, 0.6, 0.6]), mark=2, chance=0.05)
    assert [line.get_xdata()[0] for line in ax.get_lines()] == [0.6, 0.05]
    assert sum(bar.get_height() for bar in ax.patches) == 3
