"""Do a dissector's words mean anything? Its concepts against random directions of the same space."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from mdissect.arguments import texts, whole_number
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.trust.halves import chosen_layers, patients_of
from mdissect.trust.random_axes import SAME, compared

LEVEL = 0.95  # of the intervals
MOST_GROUPS = 20  # of patients, left out one after the other for the interval of the share


@validated(layers=texts, n_draws=partial(whole_number, least=19))
def dissector_card(
    dissection: Dissection, layers: Sequence[str] | None = None, n_draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Share of neurons that follow one of the dissector's concepts more closely than any of as many random axes.

    >>> trust.dissector_card(found)[["layer", "share", "low", "high", "p"]]      # doctest: +SKIP

    A q-value says that a neuron follows some direction of the dissector's space. Were the words attached to the wrong
    directions, the neurons would follow them about as well: of a scrambled dissector most labels are better than chance. So the
    concepts are replaced by as many random axes: directions drawn from the normal distribution with the mean and the
    covariance of the concepts' own similarities over the probe. A neuron passes when its best concept correlates with it
    (`mdissect.similarity.following`) better than the best axis in all but 5 % of such sets. Random axes reach a share of 5 % on
    average; words that mean what networks of this kind learn reach more.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_draws : int
        Sets of random axes, at least 19.

    Returns
    -------
    DataFrame
        A row per layer: layer, neurons (that vary), share (that pass), low, high (95 % interval), random_share (the share that
        95 % of the random sets stay below, each of them judged like the concepts), p (of the share: how many of the sets,
        the concepts among them, reach it), following (median correlation with the best concept), random (with the best of the
        random axes).

    Raises
    ------
    ValueError
        Unknown layer, a dissection without activations, fewer than two concepts, or a single patient.

    Notes
    -----
    The interval is Wilson's for as many independent neurons as have the variance of the share when groups of patients are left
    out (delete-a-group jackknife; the effective sample size of Korn and Graubard, Survey Methodology 1998), with Student's t.
    Of one scrambled dissector the share may lie well off 5 %, since neurons are alike: p allows for that, the interval does
    not.
    """
    patient = patients_of(dissection)
    n_patients = patient.max() + 1
    group = np.random.default_rng(seed).permutation(n_patients)[patient] % min(MOST_GROUPS, n_patients)
    left_out, rows = [np.flatnonzero(group == one) for one in np.unique(group)], []
    for layer in chosen_layers(dissection, layers):
        sets = compared(dissection, layer, n_draws, seed, left_out)
        share = sets.shares
        low, high = _wilson(share[0], sets.n_neurons, sets.shares_left_out)
        rows.append(
            {
                "layer": layer,
                "neurons": sets.n_neurons,
                "share": share[0],
                "low": low,
                "high": high,
                "random_share": np.quantile(share[1:], LEVEL),
                "p": np.mean(share >= share[0] - SAME) if sets.n_neurons else np.nan,
                "following": np.median(sets.reached[0]) if sets.n_neurons else np.nan,
                "random": np.median(sets.reached[1:].mean(axis=0)) if sets.n_neurons else np.nan,
            }
        )
    return pd.DataFrame(rows)


@validated(layers=texts, n_draws=partial(whole_number, least=19))
def against_random_axes(
    dissection: Dissection, layers: Sequence[str] | None = None, n_draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """`dissector_card` neuron by neuron: layer, neuron, concept, following, random, p; NaN of one that does not vary.

    concept is the one that the neuron follows best, by correlation `following`; random is the mean over the sets of the best
    axis. This is about the dissector: as a sign of a single label that is right it is worse than `trust.predicts`.
    """
    patients_of(dissection)
    parts = []
    for layer in chosen_layers(dissection, layers):
        sets = compared(dissection, layer, n_draws, seed)
        table = pd.DataFrame({"layer": layer, "neuron": range(dissection.activations[layer].shape[1]), "concept": ""})
        values = {"following": sets.reached[0], "random": sets.reached[1:].mean(axis=0), "p": sets.p_values}
        for column, value in values.items():
            table[column] = np.nan
            table.loc[sets.neurons, column] = value
        table.loc[sets.neurons, "concept"] = np.array(dissection.concepts.names, dtype=object)[sets.best]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _wilson(share: float, n: int, left_out: np.ndarray) -> tuple[float, float]:
    """The interval of a share of n neurons, from what it is without each group of patients."""
    from scipy.special import stdtrit  # Student's quantiles

    groups, variance = len(left_out), (len(left_out) - 1) * np.var(left_out)
    alone = share * (1 - share)
    effective = n if variance * n <= alone or alone == 0 else alone / variance
    t = stdtrit(max(1, groups - 1), (1 + LEVEL) / 2)
    centre, width = share + t**2 / (2 * effective), t * np.sqrt(alone / effective + t**2 / (4 * effective**2))
    return (centre - width) / (1 + t**2 / effective), (centre + width) / (1 + t**2 / effective)
