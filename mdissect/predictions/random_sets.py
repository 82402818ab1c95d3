"""Random sets of neurons to compare a chosen set with."""

import numpy as np

STRATA = 5


def random_sets(chosen: np.ndarray, n_neurons: int, n_sets: int, seed: int, size: np.ndarray | None = None) -> np.ndarray:
    """Membership (n_sets, n_neurons) bool of sets with as many neurons as `chosen`, drawn from all neurons of the layer.

    `size` (n_neurons,): the sets are matched by it, with as many neurons of each fifth of the layer as `chosen` has. Drawn from
    all neurons, those chosen too: so each set is as likely as `chosen` where its labels say nothing.
    """
    rng = np.random.default_rng(seed)
    stratum = np.zeros(n_neurons, dtype=int)
    if size is not None:
        order = np.argsort(np.argsort(size, kind="stable"), kind="stable")
        stratum = order * min(STRATA, n_neurons) // n_neurons
    drawn = np.zeros((n_sets, n_neurons), dtype=bool)
    for one in np.unique(stratum[chosen]):
        there, wanted = np.flatnonzero(stratum == one), int((stratum[chosen] == one).sum())
        for row in drawn:
            row[rng.choice(there, wanted, replace=False)] = True
    return drawn
