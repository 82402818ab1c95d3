"""The one scale of each neuron's activation maps: from 0 to its largest value over the probe, or over its top images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mdissect.dissection import Dissection

PLACE = "at one place, largest"
TOP = 8  # images, where the pass over the probe was not made


@dataclass(frozen=True)
class Scale:
    """The end of a neuron's scale."""

    highest: float
    of: str  # what it is the largest value of
    exact: bool = False  # whether that is the whole probe


class Scales:
    """The scales of a dissection's neurons.

    `maps(image_id, layer)` are the maps of a layer's neurons in an image, (n_neurons, h, w). Where the dissection took the
    largest value of each map (pool="max"), or `measure` was called for the layer (or its result is in the store), the scale is
    exact; else its end is the largest value in the neuron's top images.
    """

    def __init__(self, dissection: Dissection, probe, target, maps: Callable[[str, str], np.ndarray], store=None):
        self._dissection, self._probe, self._target, self._maps, self._store = dissection, probe, target, maps, store
        self._ids = set() if probe is None else set(probe.ids)
        self._exact: dict[str, np.ndarray | None] = {}
        self._of_top: dict[tuple[str, int], float] = {}

    def of(self, layer: str, neuron: int) -> Scale | None:
        """A neuron's scale; None where nothing is known of its top images.

        ValueError: the layer has no places.
        """
        highest = self._over_probe(layer)
        if highest is not None:
            return Scale(float(highest[neuron]), f"{PLACE} over all images", exact=True)
        if layer not in self._dissection.activations and layer not in self._dissection.top_activations:
            return None
        top, value = self._top(layer, neuron)
        return None if value is None else Scale(value, f"{PLACE} over its {top} strongest images")

    def measured(self, layer: str) -> bool:
        """Whether a layer's scales are exact."""
        return self._over_probe(layer) is not None

    def measure(self, layers: Sequence[str]) -> None:
        """Run the probe through the target once, so that the layers' scales are exact; kept in the store, if there is one."""
        from mdissect.embed import record_probe

        found = record_probe(self._target, self._probe, list(layers), pool="max", store=self._store)
        self._exact |= {layer: _largest(values) for layer, values in found.items()}

    def _over_probe(self, layer: str) -> np.ndarray | None:
        """The largest value of each neuron over the probe (n_neurons,); None: not known yet."""
        if layer not in self._exact:
            self._exact[layer] = self._looked_up(layer)
        return self._exact[layer]

    def _looked_up(self, layer: str) -> np.ndarray | None:
        if self._dissection.settings.get("pool") == "max" and layer in self._dissection.activations:
            return _largest(self._dissection.activations[layer])
        if self._store is None or self._target is None or self._probe is None:
            return None
        from mdissect.embed import recorded

        found = recorded(self._target, self._probe, [layer], pool="max", store=self._store)
        return None if found is None else _largest(found[layer])

    def _top(self, layer: str, neuron: int) -> tuple[int, float | None]:
        """How many top images there are to look at, and the largest value in their maps."""
        ids = self._dissection.probe_table.index
        known = [ids[i] for i in self._strongest(layer, neuron) if ids[i] in self._ids]
        if (layer, neuron) not in self._of_top and known:
            values = [self._maps(image_id, layer)[neuron] for image_id in known]
            self._of_top[layer, neuron] = float(max((np.nanmax(one) for one in values if np.isfinite(one).any()), default=0.0))
        return len(known), self._of_top.get((layer, neuron))

    def _strongest(self, layer: str, neuron: int) -> np.ndarray:
        """Positions of a neuron's strongest images."""
        if layer not in self._dissection.activations:
            return self._dissection.top_activations[layer].images[neuron, :TOP]
        column = np.nan_to_num(self._dissection.activations[layer][:, neuron], nan=-np.inf)
        return np.argsort(-column, kind="stable")[:TOP]


def _largest(values: np.ndarray) -> np.ndarray:
    """The largest finite value of each column; 0 where there is none."""
    filled = np.where(np.isfinite(values), values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(filled), filled, 0.0)
