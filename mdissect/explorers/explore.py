"""`explore`, `explore_concepts`, `explore_models`: the three explorers of dissections."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mdissect.analysis import RULES
from mdissect.dissection import Dissection
from mdissect.explorers.checks import of_each, of_this_network
from mdissect.explorers.compare import CompareExplorer
from mdissect.explorers.concept import ConceptExplorer
from mdissect.explorers.neuron import Explorer
from mdissect.explorers.opening import pictures_of
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.reading import Reading
from mdissect.explorers.sides import SideBySide
from mdissect.explorers.verdicts import Notes
from mdissect.signatures import validated
from mdissect.store import StoreLike

if TYPE_CHECKING:
    from mdissect.localize import FactorModel
    from mdissect.models import Dissector, Target
    from mdissect.probes import Probe


@validated(rule=RULES)
def explore(
    dissection: Dissection | Mapping[str, Dissection],
    *,
    probe: "Probe | Mapping[str, Probe | None] | None" = None,
    dissector: "Dissector | Mapping[str, Dissector | None] | None" = None,
    target: "Target | Mapping[str, Target | None] | None" = None,
    rule: str = "top",
    notes: Notes | None = None,
    trust: pd.DataFrame | Mapping[str, pd.DataFrame | None] | None = None,
    export: str | Path = "exports",
    state: Mapping | str | None = None,
    store: StoreLike = None,
    kept: Callable | None = None,
    query_image: str | Path | np.ndarray | None = None,
    factor: "FactorModel | Mapping[str, FactorModel | None] | None" = None,
) -> Explorer:
    """A widget that shows the neurons of a dissection one by one.

    >>> explorer = mdissect.explore(study.dissect("M"), probe=study.probe())                    # doctest: +SKIP
    >>> explorer.query = "implant"                                                              # doctest: +SKIP

    Readers' verdicts are kept in a CSV file, a row per neuron and reader, when it is given:

    >>> notes = mdissect.explorers.Notes("build/verdicts.csv", result="M")                      # doctest: +SKIP
    >>> mdissect.explore(study.dissect("M"), probe=study.probe(), notes=notes)                  # doctest: +SKIP
    >>> notes.table                                                                             # doctest: +SKIP

    Parameters
    ----------
    dissection : Dissection, or mapping of model to Dissection
        Of several, one is chosen at a time. What follows may be a mapping too; a target or a trust table, which belong to one
        model, must be one then.
    probe : Probe, optional
        Its images, found by their ids; without it grey tiles are shown.
    dissector : Dissector, optional
        Understands searches for words that no concept has.
    target : Target, optional
        Shows where in an image a neuron responds.
    rule : str
        Of the threshold, see `mdissect.analysis.thresholds`.
    notes : Notes, optional
        Where readers' verdicts are kept; adds the panel to give them in. Of several models, each has its own verdicts in the
        same file, under its name. `Notes(..., blind=True)` hides labels, and all that gives them away, from a reader until they
        have saved words of their own on the neuron.
    trust : DataFrame, optional
        How far the labels can be trusted, shown beside them: what `dissection.labels(q=0.05, ...)` returns; not needed for a
        dissection that `Dissection.calibrated` made.
    export : path
        The folder that "save view" and "save labels" write to.
    state : mapping or str, optional
        `Explorer.state` of a view to open again, or what its button "copy state" copied; a part of it will do.
    store : Store or path, optional
        Keeps the largest value of each activation map over the probe, on which the maps' scale rests; it is read from there, or
        computed on request ("scale over the whole probe").
    kept : callable, optional
        A decorator of functions that keeps their results, such as `mdissect.study.Study.kept`: of activation maps, embedded
        words and weights in class scores, so that what was seen before is shown without the networks.
    query_image : path or array (height, width[, 3]), optional
        An image of one's own (PNG, JPEG, TIFF, DICOM): the neurons that respond to it most, which needs the target, and the
        concepts nearest to it, which needs the dissector. It can be given in the view too. It is kept in memory alone.
    factor : FactorModel, optional
        A Mammo-FActOR trained on the target (`mdissect.train.train_factor`): shows where in an image a text is seen.

    Raises
    ------
    TraitError
        A state that this dissection does not have, such as a neuron out of range.
    ValueError
        A trust table of other neurons, or without its columns; no dissection, or a part given for a model that has none; notes
        on neurons that the dissection does not have; a query_image that cannot be read; a factor of another network.
    """
    found = dict(dissection) if isinstance(dissection, Mapping) else {"": dissection}
    given = {"probe": probe, "dissector": dissector, "target": target, "trust": trust, "factor": factor}
    parts = {name: of_each(found, name, part) for name, part in given.items()}
    for model in found:
        of_this_network(model, parts["factor"][model], parts["target"][model])
    explorer = Explorer(
        {model: Reading(one, parts["dissector"][model], rule, parts["trust"][model], kept) for model, one in found.items()},
        {
            model: Pictures(parts["probe"][model], parts["target"][model], one, store, kept, parts["factor"][model])
            for model, one in found.items()
        },
        notes,
        export,
    )
    if state:
        explorer.state = state
    if query_image is not None:
        explorer.own_image.take(query_image)
    return explorer


@validated(rule=RULES)
def explore_concepts(
    dissections: Mapping[str, Dissection] | Dissection,
    *,
    probe: "Probe | None" = None,
    dissector: "Dissector | None" = None,
    target: "Mapping[str, Target | None] | Target | None" = None,
    rule: str = "top",
    trust: Mapping[str, pd.DataFrame | None] | pd.DataFrame | None = None,
    notes: Notes | None = None,
    state: Mapping | str | None = None,
) -> ConceptExplorer:
    """A widget for concepts or categories of them: the neurons of each model that are labelled with them.

    >>> explorer = mdissect.explore_concepts({"M": study.dissect("M"), "C4": study.dissect("C4")})     # doctest: +SKIP
    >>> explorer.concept = "implant"                                                                  # doctest: +SKIP

    Parameters
    ----------
    dissections : mapping of model to Dissection, or one Dissection
        Their layers are compared by depth, at one threshold per depth: the largest of the models'.
    probe, dissector, target, rule, trust, notes, state
        As in `mdissect.explore`; target and trust of several models are mappings by model.

    Raises
    ------
    ValueError
        No dissection, models whose layers cannot be compared by depth, or one target for several models.
    TraitError
        A state that these dissections do not have, such as an unknown concept.
    """
    sides = SideBySide(dissections, dissector, rule, trust)
    explorer = ConceptExplorer(sides, pictures_of(sides, probe, target), notes)
    if state:
        explorer.state = state
    return explorer


@validated(rule=RULES)
def explore_models(
    dissections: Mapping[str, Dissection],
    *,
    probe: "Probe | None" = None,
    dissector: "Dissector | None" = None,
    target: "Mapping[str, Target | None] | None" = None,
    rule: str = "top",
    trust: Mapping[str, pd.DataFrame | None] | None = None,
    notes: Notes | None = None,
    state: Mapping | str | None = None,
) -> CompareExplorer:
    """A widget that compares models: the same channel, the same concept, and concepts gained and lost.

    >>> explorer = mdissect.explore_models({"M": study.dissect("M"), "C4": study.dissect("C4")})      # doctest: +SKIP
    >>> explorer.neuron = 73                                                                         # doctest: +SKIP

    The same channel means something only between a model and what was made from it, such as its fine-tuned copy.

    Parameters
    ----------
    dissections : mapping of model to Dissection
        Two at least; the others are compared with the first. Their layers are compared by depth, at one threshold per depth:
        the largest of the models'.
    probe, dissector, target, rule, trust, notes, state
        As in `mdissect.explore`; target and trust are mappings by model.

    Raises
    ------
    ValueError
        Fewer than two dissections, or layers that cannot be compared by depth.
    TraitError
        A state that these dissections do not have, such as a neuron out of range.
    """
    sides = SideBySide(dissections, dissector, rule, trust)
    if len(sides.models) < 2:
        raise ValueError("explore_models() compares two dissections at least; explore() shows one")
    explorer = CompareExplorer(sides, pictures_of(sides, probe, target), notes)
    if state:
        explorer.state = state
    return explorer
