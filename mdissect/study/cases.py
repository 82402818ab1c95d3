"""Which neuron responds to a word, and its case: the top concepts beside the images that it responds to."""

import numpy as np
import pandas as pd

from mdissect.analysis import THRESHOLDS, find_neurons, has_word, images_showing, with_verdict
from mdissect.arguments import AT_LEAST_ONE
from mdissect.dissection import Dissection
from mdissect.facts import shared_facts
from mdissect.localize import activation_map, receptive_field, top_patch
from mdissect.models import Target
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.study.marked import boxes_of, mask_of
from mdissect.study.neuron_case import NeuronCase
from mdissect.trust import concept_presence
from mdissect.wording import percent


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def candidates(dissection: Dissection, word: str, thresholds: pd.DataFrame, layer: str = "", top: int = 5) -> pd.DataFrame:
    """The neurons of a layer with a word among their top concepts: what `choose_neuron` chooses from, in its order.

    Parameters
    ----------
    layer : str
        Where to look; the last layer when empty.
    top : int
        See `mdissect.analysis.find_neurons`.

    Returns
    -------
    DataFrame
        layer, neuron, matches, similarity, label, label_similarity, passes as `mdissect.analysis.find_neurons` has them, and
        needs (what it takes beyond one mammogram to see the label).
    """
    layer = _layer(dissection, layer)
    found = find_neurons(dissection, word, top, thresholds).query("layer == @layer")
    found = found.merge(dissection.labels()[["layer", "neuron", "needs"]], on=["layer", "neuron"])
    return found.sort_values("passes", ascending=False, kind="stable", ignore_index=True)


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def choose_neuron(
    dissection: Dissection, word: str, thresholds: pd.DataFrame, layer: str = "", top: int = 5, visible_only: bool = False
) -> tuple[str, int]:
    """The neuron that responds most to a word: of those whose label reaches the threshold, if any, the first of `find_neurons`.

    Where no neuron has the word among its top concepts, it is the one most similar to any concept that has it.

    Parameters
    ----------
    layer : str
        Where to look; the last layer when empty.
    top : int
        See `find_neurons`.
    visible_only : bool
        Prefer, of those that reach the threshold, a neuron whose label a single mammogram can show.

    Returns
    -------
    layer, neuron

    Raises
    ------
    ValueError
        No such layer, no concept with the word, or no neuron of the layer could be named.
    """
    layer, found = _layer(dissection, layer), candidates(dissection, word, thresholds, layer, top)
    if visible_only and (visible := found[found.passes & (found.needs == "")]).size:
        found = visible
    if len(found):
        return layer, int(found.neuron.iloc[0])
    about = [has_word(name, word) for name in dissection.concepts.names]
    scores = np.nan_to_num(dissection.similarity[layer][:, about], nan=-np.inf).max(axis=1)
    if np.isneginf(scores).all():
        raise ValueError(f"no neuron of layer {layer!r} could be named; choose another layer")
    return layer, int(scores.argmax())


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def neuron_case(
    dissection: Dissection,
    target: Target,
    probe: Probe,
    place: tuple[str, int],
    word: str,
    thresholds: pd.DataFrame,
    top: int = 5,
) -> NeuronCase:
    """Gather the case of a neuron.

    Parameters
    ----------
    dissection : Dissection
        Of that target and probe.
    place : (str, int)
        Layer and neuron.
    thresholds : DataFrame
        See `mdissect.analysis.thresholds`.
    top : int
        How many concepts and images.

    Raises
    ------
    KeyError
        An image of the dissection is not in the probe, or nothing was recorded of the layer.
    IndexError
        No such neuron.
    ValueError
        A layer without places, or without a threshold.
    """
    layer, neuron = place
    strongest = dissection.top_images(layer, neuron, top)
    verdict = with_verdict(dissection, thresholds).query("layer == @layer and neuron == @neuron").iloc[0]
    concepts = dissection.top_concepts(top).query("layer == @layer and neuron == @neuron")
    shown = images_showing(dissection.probe_table, word).loc[strongest.image]
    positions = [probe.position(image) for image in strongest.image]
    images = [probe[position] for position in positions]
    heats, field = [activation_map(target, layer, neuron, image) for image in images], receptive_field(target, layer)
    return NeuronCase(
        layer,
        neuron,
        word,
        threshold=float(verdict.threshold),
        verdict=verdict,
        concepts=concepts.assign(
            has_word=[has_word(name, word) for name in concepts.concept],
        ),
        top=strongest.assign(shows_word=shown.array),
        images=images,
        heats=heats,
        boxes=[boxes_of(probe, position, word) for position in positions],
        masks=[mask_of(probe, position, word) for position in positions],
        field=field,
        patches=[top_patch(image, heat, field.in_image(image)) for image, heat in zip(images, heats, strict=True)],
    )


@validated(thresholds=THRESHOLDS, top=AT_LEAST_ONE)
def case_of_word(
    dissection: Dissection,
    target: Target,
    probe: Probe,
    word: str,
    thresholds: pd.DataFrame,
    layer: str = "",
    top: int = 5,
    neuron: int | None = None,
    visible_only: bool = False,
) -> NeuronCase:
    """The case of the neuron that `choose_neuron` finds for a word, or of the given one: see `neuron_case`."""
    place = (_layer(dissection, layer), neuron)
    if neuron is None:
        place = choose_neuron(dissection, word, thresholds, layer, top, visible_only)
    return neuron_case(dissection, target, probe, place, word, thresholds, top)


@validated(most=AT_LEAST_ONE)
def facts_table(dissection: Dissection, case: NeuronCase, most: int = 6) -> pd.DataFrame:
    """What a neuron's top images share (`mdissect.analysis.shared_facts`), in words: the most certain first, with its q."""
    rows = shared_facts(dissection, case.layer, case.neuron, q=None).head(most)
    shares = rows.share_all.map(percent)
    counts = [f"{row.in_top} of {row.of_top}" for row in rows.itertuples()]
    return pd.DataFrame({"top images": counts, "all images": list(shares), "q": list(rows.q.map("{:.2g}".format))}).set_index(
        pd.Index(rows.fact, name="fact")
    )


@validated()
def concept_truth(probe: Probe, case: NeuronCase) -> pd.DataFrame:
    """For each top concept, how many of the strongest images and of all show it, in words (`trust.concept_presence`)."""
    truth = concept_presence(probe.table, list(case.concepts.concept))
    shares = {f"of the {len(case.top)} strongest": truth.loc[case.top.image].mean(), "of all images": truth.mean()}
    table = pd.DataFrame(shares).reindex(case.concepts.concept).map(percent).replace("unknown", "no phantom shows it")
    return table.assign(needs=case.concepts.needs.to_numpy())


def _layer(dissection: Dissection, layer: str) -> str:
    """The layer, or the last one when empty."""
    layer = layer or dissection.layers[-1]
    if layer not in dissection.layers:
        raise ValueError(f"layer {layer!r} was not dissected; there are {', '.join(dissection.layers)}")
    return layer
