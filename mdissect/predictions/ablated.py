"""A network's logits with neurons of a layer set to a value."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mdissect.embed import PassOptions
from mdissect.hooks import record
from mdissect.models import Target, resolve_device
from mdissect.outputs import settle_axes
from mdissect.passing import running
from mdissect.predictions.head import Head, logits_of
from mdissect.predictions.passes import batches, check_finite, head_pass
from mdissect.predictions.resumed import resumed
from mdissect.probes import Probe


class AtHead:
    """A layer that feeds the head: the logits follow from what the head gets, without running anything again.

    `before` (n_images, n_outputs): the logits of the untouched network. `to`: "mean", "zero" or a number.
    """

    def __init__(self, head: Head, target: Target, probe: Probe, layer: str, to: str | float, options: PassOptions):
        self.head = head
        self.inputs, _ = head_pass(target, probe, head, options)  # which checks the sums below against the network's logits
        self.before = self.inputs @ head.weight.T + head.bias
        self.moved = _value(to, self.inputs.mean(axis=0)) - self.inputs

    def size(self, match: str | None) -> np.ndarray | None:
        """What random sets are matched by, (n_neurons,)."""
        if match is None:
            return None
        weight = self.head.weight
        shared = weight.mean(axis=0) if len(weight) > 1 else 0.0  # changes no probability of a softmax
        of_input = self.inputs.std(axis=0) if match == "activation" else np.abs(weight - shared).mean(axis=0)
        return self.head.by_neuron(of_input)[:-1]

    def logits(self, parts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """For each array of sets (n_sets, n_neurons) bool, the logits (n_sets, n_images, n_outputs)."""
        for sets in parts:
            change = np.stack([self.head.by_neuron(self.moved * row)[:, :-1] @ sets.T for row in self.head.weight])
            yield self.before + change.transpose(2, 1, 0)  # from (n_outputs, n_images, n_sets)


class Behind:
    """Any layer: what stands behind it runs again with each set of neurons, on whole maps of one value."""

    def __init__(self, target: Target, probe: Probe, layer: str, to: str | float, options: PassOptions):
        self.target, self.probe, self.layer, self.options = target, probe, layer, options
        found, answers, layouts = [], [], {}
        given = {layer: options.axes[layer]} if options.axes and layer in options.axes else {}
        with running([target.module], resolve_device()), torch.no_grad():
            for x in batches(target, probe, options):
                layouts = layouts or settle_axes(target.module, [layer], x, axes=given)
                with record(target.module, [layer], axes=layouts) as activations:
                    answers.append(_double(target.module(x)))
                found.append(activations[layer].double().cpu().numpy())
        pooled, self.layout, self.before = np.concatenate(found), layouts[layer], np.concatenate(answers)
        check_finite(self.before, target, probe)
        self.spread = pooled.std(axis=0)
        self.value = np.broadcast_to(_value(to, pooled.mean(axis=0)), pooled.shape[1:])

    def size(self, match: str | None) -> np.ndarray | None:
        return None if match is None else self.spread

    def logits(self, parts: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        changes = [{tuple(np.flatnonzero(one).tolist()): self.value[one]} for one in np.concatenate(parts)]
        after = []
        with running([self.target.module], resolve_device()), torch.no_grad():
            for x in batches(self.target, self.probe, self.options):
                with resumed(self.target.module, self.layer, x, self.layout) as rerun:
                    after.append(np.stack([_double(rerun(change)) for change in changes]))
        yield from np.split(np.concatenate(after, axis=1), np.cumsum([len(sets) for sets in parts])[:-1])


def _value(to: str | float, mean: np.ndarray) -> np.ndarray | float:
    return mean if to == "mean" else 0.0 if to == "zero" else to


def _double(output: object) -> np.ndarray:
    return logits_of(output).double().cpu().numpy()
