"""Sums of a few concepts, with weights above 0, that follow a neuron best."""

import numpy as np

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated

ALIKE = 0.95  # a concept that the others of a sum explain to this correlation adds no word of its own
TIE = 1e-5  # shares of the variance closer than this count as equal: the first concept is taken
SMALLEST = 1e-4  # share of the variance that a further concept must explain at least
CANDIDATES = 1024  # concepts of the highest correlation among which sums are sought
ROUNDS = 20


@validated(most=AT_LEAST_ONE)
def positive_sums(
    gram: np.ndarray, correlation: np.ndarray, most: int = 3, forms: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The best sums of 1, 2, ... `most` concepts for each neuron.

    >>> chosen, weights = positive_sums(np.eye(3), np.array([[0.8], [0.1], [0.5]]), most=2)
    >>> chosen[0].tolist(), weights[0].tolist()
    ([[0, -1], [0, 2]], [[0.8, 0.0], [0.8, 0.5]])

    Sums are sought among the concepts that the neuron follows by themselves (correlation above 0). The best pair is found by
    looking at every pair; a larger sum starts from the one before and the concept that adds most, and then each of its
    concepts is exchanged for a better one until none is left. Neither step is idle: where two of the demo's 791 concepts make a
    neuron, every pair finds both (98 to 100 %), and adding to the best single concept finds them in 25 %, since that one
    lies between the two.

    Parameters
    ----------
    gram : (n_concepts, n_concepts) float
        Correlations of the concepts' similarities; 0 throughout for a concept that is the same in all images.
    correlation : (n_concepts, n_neurons) float
        Of the similarities with the activations.
    most : int
        Concepts in a sum.
    forms : (n_concepts,) int, optional
        Equal for forms of one word ("mass", "masses"), of which a sum has one.

    Returns
    -------
    chosen : (n_neurons, most, most) int
        Row i: concepts of the sum of i + 1, in their order in the set; -1 for none, where a further one explains no more.
    weights : (n_neurons, most, most) float
        Of standardised similarities for standardised activations; above 0.
    """
    n_concepts, n_neurons = correlation.shape
    forms = np.arange(n_concepts) if forms is None else np.asarray(forms)
    chosen, weights = np.full((n_neurons, most, most), -1), np.zeros((n_neurons, most, most))
    varies, apart = np.diag(gram) > 0, 1 - gram**2
    able = (apart >= 1 - ALIKE**2) & (forms[:, None] != forms)
    pairs = gram.astype(np.float32), np.divide(1, apart, out=np.zeros_like(gram, dtype=float), where=able).astype(np.float32)
    for neuron in range(n_neurons):
        follows = np.flatnonzero(varies & (correlation[:, neuron] > 0))
        order = np.argsort(-correlation[follows, neuron], kind="stable")
        follows = np.sort(follows[order[:CANDIDATES]])
        of_pairs = tuple(one[follows].take(follows, axis=1) for one in pairs) if most > 1 else pairs
        search = _Search(gram, follows, correlation[follows, neuron], forms[follows], of_pairs)
        for row, (members, of_members) in enumerate(search.sums(most)):
            chosen[neuron, row, : len(members)] = follows[members]
            weights[neuron, row, : len(members)] = of_members
    return chosen, weights


class _Search:
    """The best sums for one neuron among the m concepts that it `follows`: correlations `target` (m,), `forms` (m,).

    `gram` is of all concepts; `pairs` are two (m, m) float32: correlations, and 1 over the share of each concept that each
    other does not explain, 0 for pairs that are no sum.
    """

    def __init__(
        self,
        gram: np.ndarray,
        follows: np.ndarray,
        target: np.ndarray,
        forms: np.ndarray,
        pairs: tuple[np.ndarray, np.ndarray],
    ):
        self.gram, self.follows, self.target, self.forms, self.pairs = gram, follows, target, forms, pairs

    def sums(self, most: int) -> list[tuple[list[int], np.ndarray]]:
        """Members and weights of the best sum of 1, 2, ... concepts; one that explains no more than the last is the last."""
        found, best = [], (0.0, [])
        for size in range(1, most + 1):
            explained, members = self._of(size, best[1])
            if len(members) == size and explained >= best[0] + SMALLEST:
                best = (explained, sorted(members))
            found.append((best[1], self._weights(best[1])))
        return found

    def _of(self, size: int, smaller: list[int]) -> tuple[float, list[int]]:
        """What the best sum of a size explains, and its members; fewer than `size` where there is none."""
        if len(smaller) < size - 1 or not len(self.target):
            return 0.0, []
        if size == 1:
            first = _first_best(self.target)
            return float(self.target[first] ** 2), [first]
        if size == 2:
            return self._best_pair()
        explained, added = self._best_addition(smaller)
        if added < 0:
            return 0.0, []
        members = [*smaller, added]
        for _ in range(ROUNDS):
            before = list(members)
            for place in range(size):
                others = members[:place] + members[place + 1 :]
                better, one = self._best_addition(others)
                if better > explained + TIE:
                    explained, members = better, [*others, one]
            if members == before:
                break
        return explained, members

    def _best_pair(self) -> tuple[float, list[int]]:
        """Of all pairs, the one that explains most under weights above 0."""
        target = self.target.astype(np.float32)
        rest = self.pairs[0] * -target[:, None]
        rest += target  # (i, j): of j with what i leaves
        able = rest > 0
        able &= able.T
        rest *= rest
        rest *= self.pairs[1]
        rest *= able
        added = rest.max(axis=1)
        first = _first_best(np.where(added > 0, target**2 + added, -np.inf))
        if not added[first] > 0:
            return 0.0, []
        members = [
            first,
            _first_best(np.where(rest[first] > 0, rest[first], -np.inf)),
        ]  # of pairs alone, however little they add
        return float(self.target[members] @ self._weights(members)), members

    def _best_addition(self, members: list[int]) -> tuple[float, int]:
        """What members explain with the concept that adds most under weights above 0, and that concept; -1 for none."""
        rows = self.gram[np.ix_(self.follows[members], self.follows)]
        inner = rows[:, members]
        taken = np.linalg.solve(inner, rows)  # (n_members, m)
        weights = np.linalg.solve(inner, self.target[members])
        own, rest = 1 - (rows * taken).sum(axis=0), self.target - weights @ rows
        able = (own >= 1 - ALIKE**2) & (rest > 0) & ~np.isin(self.forms, self.forms[members])
        weight = np.divide(rest, own, out=np.zeros_like(rest), where=able)
        able &= (weights[:, None] - taken * weight > 0).all(axis=0)
        if not able.any():
            return 0.0, -1
        gain = np.where(able, rest * weight, -np.inf)
        best = _first_best(gain)
        return float(self.target[members] @ weights + gain[best]), best

    def _weights(self, members: list[int]) -> np.ndarray:
        own = self.follows[members]
        return np.linalg.solve(self.gram[np.ix_(own, own)], self.target[members]) if members else np.zeros(0)


def _first_best(values: np.ndarray) -> int:
    """The first of those within `TIE` of the largest."""
    return int((values >= values.max() - TIE).argmax())
