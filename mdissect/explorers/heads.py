"""The weight of each neuron in a classifier's scores, where the network ends in a linear head."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mdissect.dissection import Dissection
from mdissect.explorers.pictures import Pictures

if TYPE_CHECKING:
    from mdissect.models import Target
    from mdissect.probes import Probe

MOST_WEIGHTS = 8  # of a neuron, the largest ones


def head_weights(dissection: Dissection, target: "Target | None", probe: "Probe | None") -> dict | None:
    """layer, classes and weights (of each neuron [class, weight], the largest first); None where there is no such head.

    ValueError: the dissection is of other weights than the target's.
    """
    if target is None:
        return None
    from mdissect.embed import PassOptions
    from mdissect.predictions.head import NoHeadError
    from mdissect.predictions.passes import check_same_target, head_of

    check_same_target(target, dissection)
    if probe is None or not len(probe):
        return None
    try:
        head = head_of(target, dissection, probe, PassOptions())
    except NoHeadError:
        return None
    weight = head.by_neuron(head.weight)[:, :-1]  # (n_outputs, n_neurons)
    named = len(target.classes) == len(weight)
    classes = list(target.classes) if named else _outputs(len(weight), target.classes)
    order = np.argsort(-np.abs(weight), axis=0, kind="stable")[:MOST_WEIGHTS].T
    rows = [[[int(c), float(f"{weight[c, n]:.4g}")] for c in row] for n, row in enumerate(order)]
    return {"layer": head.layer, "classes": classes, "weights": rows}


class Heads:
    """The weights in class scores of several models, in words; each computed when it is first asked for.

    `pictures` have the models' targets and probes, and the decorator that keeps results.
    """

    def __init__(self, found: Mapping[str, Dissection], pictures: Mapping[str, Pictures]):
        self._found, self._pictures = found, pictures
        self._known: dict[str, dict | None] = {}

    def words(self, model: str, layer: str, neuron: int) -> str:
        """Such as "mass +0.31, no mass -0.28"; "" where the layer is not the last one before a linear head."""
        if model not in self._known:
            pictures = self._pictures[model]
            compute = head_weights if pictures.kept is None or pictures.target is None else pictures.kept(head_weights)
            try:
                self._known[model] = compute(self._found[model], pictures.target, pictures.probe)
            except ValueError:  # a target of other weights
                self._known[model] = None
        head = self._known[model]
        if head is None or head["layer"] != layer:
            return ""
        return ", ".join(f"{head['classes'][c]} {weight:+.2g}" for c, weight in head["weights"][neuron])


def _outputs(n: int, classes: tuple[str, ...]) -> list[str]:
    """Names of outputs; one output stands for the second of two classes."""
    return [classes[1]] if n == 1 and len(classes) == 2 else [f"output {i}" for i in range(n)]
