"""What the paper says of single neurons, and which images the neurons of a domain respond to."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study import numbers
from mdissect.study.claims import Claim, claim
from mdissect.study.counting import Counting

TOP, ENOUGH = 5, 4  # of a neuron's concepts and images, as in the paper's figures 6 and 7
TOP_IMAGES = 20
PLAIN = Counting()


@validated()
def on_neurons(cases: Mapping[str, Dissection], counting: Counting = PLAIN) -> list[Claim]:
    """What the paper says of single neurons (Figs. 6, 7): `cases` maps "implant" and "calcification" to a dissection."""
    return [
        claim(f"{word} neuron", *_best_neuron(found, word, counting), why=_unknown(found, word))
        for word, found in cases.items()
    ]


@validated()
def natural_images_by_domain(dissections: Mapping[str, Dissection], is_natural: pd.Series) -> dict[str, pd.DataFrame]:
    """Per setup a table by the domain of the label: neurons, natural (mean share of natural images among their top images)."""
    tables = {}
    for name, found in dissections.items():
        domain = found.concepts.table.drop_duplicates("concept").set_index("concept").domain
        labels = found.labels().merge(analysis.share_among_strongest(found, is_natural, TOP_IMAGES))
        tables[name] = labels.groupby(labels.concept.map(domain)).share.agg(neurons="size", natural="mean")
    return tables


def _best_neuron(dissection: Dissection, word: str, counting: Counting) -> tuple[bool, str]:
    """Whether a neuron of the last layer is about a word, and the best one: top concepts and top images that are."""
    if _unknown(dissection, word):
        return False, ""
    layer = dissection.layers[-1]
    shown = analysis.images_showing(dissection.probe_table, word)
    shares = analysis.share_among_strongest(dissection, shown.fillna(False).astype(bool), TOP)
    found = analysis.find_neurons(dissection, word, TOP).merge(shares, on=["layer", "neuron"]).query("layer == @layer")
    if found.empty:
        return False, f"no neuron of {layer} has the word among its top {TOP} concepts"
    found = found.assign(images=(found.share * TOP).round().astype(int))
    found = found.assign(both=found[["matches", "images"]].min(axis=1))
    best = found.sort_values(["both", "matches", "similarity"], ascending=False, kind="stable").iloc[0]
    seen = best.matches >= ENOUGH and best.images >= ENOUGH
    own = (int(best.matches), int(best.images))
    bounds = _again(dissection, word, int(best.neuron), own, counting)
    words = " and ".join(f"{numbers.with_interval(n, bound)} of {TOP}" for n, bound in zip(own, bounds, strict=True))
    return bool(seen), f"neuron {best.neuron} of {layer}: {words}"


def _again(
    dissection: Dissection, word: str, neuron: int, own: tuple[int, int], counting: Counting
) -> tuple[numbers.Interval, numbers.Interval]:
    """The intervals of how many of a neuron's top concepts and images are about a word; of this neuron, however chosen."""
    drawn = counting.neuron(dissection, dissection.layers[-1], neuron, top=TOP)
    if drawn is None:
        return None, None
    about = np.array([analysis.has_word(name, word) for name in dissection.concepts.names])
    shown = analysis.images_showing(dissection.probe_table, word).fillna(False).to_numpy(dtype=bool)
    concepts, images = (flags[places].sum(axis=1) for flags, places in zip((about, shown), drawn, strict=True))
    return numbers.interval_of(own[0], concepts, TOP), numbers.interval_of(own[1], images, TOP)


def _unknown(dissection: Dissection, word: str) -> str:
    """Why a word cannot be looked for, or ""."""
    if not any(analysis.has_word(name, word) for name in dissection.concepts.names):
        return f"no concept has the word {word}"
    if analysis.images_showing(dissection.probe_table, word).isna().all():
        return f"the probe does not say which images show {word}"
    return ""
