"""What stands under every figure: the networks in words, their layers and neurons, the probe, and which labels count."""

import re
import textwrap
from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from mdissect.analysis import RULES
from mdissect.dissection import Dissection
from mdissect.study.profiles import Setup
from mdissect.trust.baselines import CONSTANT, RANDOM, UNTRAINED

FONT_SIZE = 8
LETTERS_PER_INCH = 17  # of the font size above

MEANS = {
    "G": "trained on natural images; labelled by its own image-text model, whose halves were never trained together",
    "G by M": "the network of G (trained on natural images), labelled by the dissector of M",
    "M": "trained on mammograms and their reports",
    "C1": "M fine-tuned for breast density",
    "C2": "M fine-tuned for the BI-RADS category",
    "C3": "M fine-tuned for masses",
    "C4": "M fine-tuned for suspicious calcifications",
    "M on implants": "trained on mammograms, shown mammograms with and without implants",
    "A": "trained on natural images, labelled by CLIP",
    "B": "trained on mammograms, labelled by CLIP",
    "C": "trained on natural images, labelled by its own image-text model, whose halves were never trained together",
    "D": "trained on mammograms and their reports, labelled by its own image-text model",
}
"""The paper's setups in words."""
BASELINES = {
    UNTRAINED: "the network of {} before any training",
    RANDOM: "{}, labelled by its dissector with the shared space scrambled",
    CONSTANT: "{} with one label for all neurons",
}
"""The control baselines of a setup in words."""


def counted(top_k: int, level: float | None = None, rule: str = "top", shared: bool = False, known_only: bool = False) -> str:
    """Which labels count, in words.

    >>> counted(20, level=0.05)
    'A label counts when it is better than chance (q <= 0.05). A neuron is labelled by its top 20 images.'
    """
    if level is not None:
        which = f"A label counts when it is better than chance (q <= {level:g})."
    else:
        largest = ", the largest of the networks shown" if shared else ""
        which = f"A label counts when its similarity reaches the layer's threshold tau ({RULES[rule]}{largest})."
    known = " Concepts that the dissector cannot tell from chance are left out." if known_only else ""
    return f"{which} A neuron is labelled by its top {top_k} images.{known}"


def networks(dissections: Mapping[str, Dissection], setups: Mapping[str, Setup]) -> str:
    """The networks of a figure in words, and the neurons of their layers."""
    words = [f"{name}: {_means(name, setups.get(name))}" for name in dissections]
    layers = dict.fromkeys(
        ", ".join(f"{layer} ({len(scores)})" for layer, scores in found.similarity.items()) for found in dissections.values()
    )
    return f"{'; '.join(words)}. Layers (neurons): {'; '.join(layers)}." if words else ""


def probes(dissections: Iterable[Dissection]) -> str:
    """The probes of a figure in words: name, images and patients."""
    words = {}
    for found in dissections:
        patients = found.patients
        of = f" of {len(set(patients))} patients" if patients else ""
        words[f"{_probe(found)}, {len(found.probe_table)} images{of}"] = None
    return f"Probe: {'; '.join(words)}." if words else ""


def add_note(fig: Figure, text: str) -> None:
    """Write a note under a figure, wrapped to its width; there is one note, the last."""
    lines = textwrap.fill(text, max(40, int(fig.get_figwidth() * LETTERS_PER_INCH)))
    fig.supxlabel(lines, fontsize=FONT_SIZE, x=0.01, ha="left", color="#444444")


def _probe(found: Dissection) -> str:
    """A probe in words: generated images are called so."""
    name = str(found.settings.get("probe", "images")).replace("phantom", "phantom mammograms")
    return re.sub(r"\bnatural\b(?! )", "natural scenes", name)


def _means(name: str, setup: Setup | None) -> str:
    if name in MEANS:
        return MEANS[name]
    for kind, words in BASELINES.items():
        if name.endswith(f" {kind}"):
            return words.format(name.removesuffix(f" {kind}"))
    return f"{setup.target}, labelled by {setup.dissector}" if setup else "a network of its own"
