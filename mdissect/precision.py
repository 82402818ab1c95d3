"""Whether a pass in bf16 names neurons as one in float32 does, measured on a probe's first images."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mdissect.arguments import listed
from mdissect.passing import PassOptions
from mdissect.signatures import validated

FIRST_IMAGES = 64  # that run in both precisions
ENOUGH = 0.99  # the share of a layer's labels that must agree
EQUAL = 1e-6  # of the largest similarity: two concepts that differ by less are one label

Scores = Mapping[str, np.ndarray]


@validated(score=lambda name, value: value)
def checked_precision(options: PassOptions, score: Callable[[PassOptions], Scores]) -> tuple[PassOptions, dict[str, float]]:
    """The options, back in float32 where bf16 changes labels, and by layer the share of labels that agree.

    Parameters
    ----------
    options : PassOptions
        With the precision settled ("auto" is resolved). In float32 nothing is measured, and no share comes back.
    score : callable
        Runs the probe's first images with the options that it gets; returns similarity (n_neurons, n_concepts) by layer.

    Warns
    -----
    UserWarning
        Fewer than 0.99 of a layer's labels agree; the layers are named, with their shares.
    """
    if options.precision != "bf16":
        return options, {}
    exact, rough = score(replace(options, precision="float32")), score(options)
    shares = {layer: agreement(exact[layer], rough[layer]) for layer in exact}
    if not (low := [f"{layer!r} {share:.3f}" for layer, share in shares.items() if share < ENOUGH]):
        return options, shares
    warnings.warn(
        f"on the first images fewer than {ENOUGH} of the labels in bf16 are those of float32: {listed(low)} agree; the pass "
        "runs in float32",
        stacklevel=4,
    )
    return replace(options, precision="float32"), shares


@validated()
def agreement(exact: np.ndarray, rough: np.ndarray) -> float:
    """The share of neurons, of those that have a label, with the same best concept; similarities (n_neurons, n_concepts).

    >>> agreement(np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.1, 1.9], [1.0, 1.1]]))
    0.5

    A neuron that has one in one precision alone does not agree; without any neuron to compare the share is 1.
    """
    named = [np.isfinite(one).any(axis=1) for one in (exact, rough)]
    if not (any_named := named[0] | named[1]).any():
        return 1.0
    both = np.flatnonzero(named[0] & named[1])
    first, second = (np.where(np.isfinite(one[both]), one[both], -np.inf) for one in (exact, rough))
    best = first.max(axis=1, initial=-np.inf)
    taken = first[np.arange(len(both)), second.argmax(axis=1)] if len(both) else best
    return float((taken >= best - EQUAL * np.abs(best)).sum() / any_named.sum())
