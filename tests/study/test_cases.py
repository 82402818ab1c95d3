"""The case of a neuron, and its drawing."""

from types import SimpleNamespace

import made_up
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
from mdissect.plots import CATEGORY_COLOURS, caption, concept_bars, draw_case, marked_image, overprints, rate_histogram
from mdissect.plots.neurons import BOX_COLOUR
from mdissect.probes import ArraySource, Probe
from mdissect.study import cases, marked, neuron_sentences
from mdissect.study.cases import choose_neuron, neuron_case
from mdissect.study.marked import marked_regions

pytestmark = pytest.mark.slow

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
        "Neuron 0 of signs: its label is *implant* (similarity 3.00, above this probe's threshold 2.80); **2 of 2** top "
        "concepts have *implant* in them, **1 of 2** strongest images show it. A single mammogram cannot show *implant "
        "rupture* (needs MRI)."
    )


def test_images_of_which_nothing_is_known_are_not_counted(dissection, probe):
    case = neuron_case(dissection, target(), probe, ("signs", 1), "implant", analysis.thresholds(dissection), top=2)
    assert case.top.shows_word.isna().tolist() == [True, False]
    assert "**1 of 1** strongest images show it" in case.summary()
    assert "below this probe's threshold 2.80" in case.summary()
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
    assert [label.get_text() for label in ax.get_yticklabels()] == ["implant", "implant rupture\n(needs MRI)"]
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
    fig = draw_case(Figure(figsize=(10, 9), layout="constrained"), case, "M")
    _, key, *images = fig.axes
    assert len(images) == 6
    assert images[0].get_title() == "1. activation 0.40"
    assert images[2].get_xlabel() == "b\nL CC\nno finding"
    assert fig.get_suptitle() == "M, layer signs, neuron 0: label “implant”"
    said = [text.get_text() for text in key.get_legend().get_texts()]
    assert said[:3] == ["Breast anatomy or structure", "Interpretations", "box of the finding: implant"]
    assert f"maximum here ({case.highest:.2f})" in said[3]
    assert overprints(fig) == []


def test_the_overlays_of_a_case_share_one_scale(case):
    case.heats[1][:] = case.heats[0] / 4
    fig = draw_case(Figure(), case)
    shown = [ax.get_images()[1].get_array().max() for ax in fig.axes if len(ax.get_images()) == 2]
    assert shown == pytest.approx([1, 0.25])


def test_a_finding_whose_pixels_are_known_is_outlined_not_boxed(case):
    mask = np.zeros(case.images[0].shape[:2], bool)
    mask[4:9, 3:7] = True
    ax = marked_image(Figure().add_subplot(), case.images[0], case.boxes[0], mask=mask)
    assert not ax.patches
    (outline,) = ax.collections
    assert to_hex(outline.get_edgecolor()[0]) == BOX_COLOUR.lower()
    (path,) = outline.get_paths()
    assert path.get_extents().bounds == pytest.approx((2.5, 3.5, 4, 5))
    marked_image(Figure().add_subplot(), case.images[0], mask=np.zeros_like(mask))  # nothing to outline


def test_a_neuron_whose_label_one_mammogram_can_show_is_preferred(dissection):
    low = analysis.thresholds(dissection).assign(threshold=1)
    dissection.similarity["signs"][0] = [2, 3, 1]  # "implant rupture", which needs MRI
    assert choose_neuron(dissection, "implant", low, top=2) == ("signs", 0)
    assert cases.candidates(dissection, "implant", low, top=2).needs.tolist() == ["MRI", ""]
    dissection.similarity["signs"][1] = [2.5, 1, 2.6]  # "mass", then "implant"
    assert choose_neuron(dissection, "implant", low, top=2, visible_only=True) == ("signs", 1)
    high = low.assign(threshold=2.8)  # it does not pass: the other one stands
    assert choose_neuron(dissection, "implant", high, top=2, visible_only=True) == ("signs", 0)


def test_the_case_of_a_word_or_of_a_given_neuron(dissection, probe):
    tau = analysis.thresholds(dissection)
    assert cases.case_of_word(dissection, target(), probe, "implant", tau, top=2).neuron == 0
    assert cases.case_of_word(dissection, target(), probe, "implant", tau, top=2, neuron=1).neuron == 1
    with pytest.raises(ValueError, match="layer 'deep' was not dissected"):
        cases.case_of_word(dissection, target(), probe, "implant", tau, layer="deep", neuron=1)


def test_the_pointing_game_of_a_case(case, probe):
    played = marked.pointing(probe, target(), case)
    assert played.positions == [0, 2]
    assert played.scores.hit.tolist() == [True, True]
    assert played.pixels is None  # no phantoms
    assert "of neuron 0 lies in an annotated implant in **100 %** of 2 images (a random place: 2 %;" in played.summary()
    assert marked.scores_by(probe, played, "implant").index.tolist() == ["saline", "silicone"]
    assert marked.scores_by(probe, played, "shape").images.tolist() == [2]


def test_the_pointing_game_where_nothing_is_marked(dissection, probe):
    tau = analysis.thresholds(dissection)
    case = neuron_case(dissection, target(), probe, ("signs", 0), "mass", tau)
    played = marked.pointing(probe, target(), case)
    assert played.positions == []
    assert played.summary().startswith("The place of the mass is not known")


def test_what_the_top_images_share_in_words(dissection, case):
    table = cases.facts_table(dissection, case)
    assert list(table) == ["top images", "all images", "q"]
    told = neuron_sentences.facts_of_case(case, dissection)
    assert told.startswith("The top images of neuron 0 share")
    assert "no fact that is surely more frequent" in told
    assert "AUC of **" in neuron_sentences.of_case(case, dissection)
    assert neuron_sentences.cases_in_short([case]) == f"- {case.summary()}"


def test_which_label_of_a_case_to_trust():
    """A neuron that follows a concept, and one of noise: the calibrated rule labels the first alone."""
    rng = np.random.default_rng(0)
    present = np.arange(200) % 10 == 0
    sims = (0.05 * rng.standard_normal((200, 4))).astype(np.float32)
    sims[:, 1] += 0.3 * present
    neurons = np.stack([present + 0.1 * rng.random(200), rng.random(200)], axis=1).astype(np.float32)
    found = made_up.dissected(sims, neurons, ["mass", "clip", "cyst", "scar"])
    words = [neuron_sentences.label_to_trust(SimpleNamespace(layer="deep", neuron=n, threshold=99.0), found) for n in range(2)]
    assert words[0].startswith("Better than chance: clip (q = ")
    published = found.labels().concept[1]
    assert words[1].startswith(
        f"No label better than chance (calibrated); the published rule says {published}, below its threshold (q = "
    )


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
