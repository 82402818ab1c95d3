"""Search for concepts: those that contain the words, or the nearest by a text model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mdissect.concepts import closest

if TYPE_CHECKING:
    from mdissect.models import Dissector

N_NEAREST = 5  # nearest concepts shown for words that no concept contains


@dataclass(frozen=True)
class Match:
    """Concepts that a search found, the best match first, and how the words were understood."""

    concepts: tuple[str, ...] = ()
    note: str = ""


class WordSearch:
    """A search in the names of concepts (n_concepts,); the dissector's text model handles words that no concept contains.

    Among concepts that match equally well, that of the greatest of the `weights` (n_concepts,) comes first.
    """

    def __init__(self, names: Sequence[str], dissector: "Dissector | None" = None, weights: Sequence[float] | None = None):
        self._names, self._dissector = np.array(names, dtype=object), dissector
        self._weights = np.zeros(len(names)) if weights is None else np.asarray(weights)
        self._matches: dict[str, Match] = {}

    def __call__(self, words: str) -> Match:
        """The concepts that contain the words, an exact match first; nothing for no words.

        For words that no concept contains: the five nearest concepts by the dissector's text model, if there is one.
        """
        words = " ".join(words.casefold().split())
        if words not in self._matches:
            self._matches[words] = self._search(words)
        return self._matches[words]

    def _search(self, words: str) -> Match:
        if not words:
            return Match()
        hits = np.array([i for i, name in enumerate(self._names) if words in name.casefold()], dtype=int)
        if not len(hits):
            return self._nearest(words)
        exact = np.array([self._names[i].casefold() == words for i in hits])
        order = hits[np.lexsort((-self._weights[hits], ~exact))]
        note = f"{len(hits)} concepts have “{words}” in them" if len(hits) > 1 else f"one concept has “{words}” in it"
        return Match(tuple(self._names[order]), note)

    def _nearest(self, words: str) -> Match:
        none = f"None of the {len(self._names)} concepts has “{words}” in it"
        if self._dissector is None:
            known = {part for name in self._names for part in name.split()}
            return Match(note=f"{none}{closest(words, known)}; give the explorer a dissector= to search by any words")
        try:
            (text,) = self._dissector.embed_texts([words]).float().cpu().numpy()
        except ValueError as error:  # a text of unknown words
            return Match(note=f"{none}, and the dissector cannot read it: {error}")
        cosines = self._embeddings @ text
        order = np.argsort(-cosines, kind="stable")[:N_NEAREST]
        nearest = ", ".join(f"{self._names[i]} ({cosines[i]:.2f})" for i in order)
        return Match(tuple(self._names[order]), f"{none}; the dissector finds nearest: {nearest}")

    @cached_property
    def _embeddings(self) -> np.ndarray:
        """Unit vectors (n_concepts, d)."""
        return self._dissector.embed_texts(list(self._names)).float().cpu().numpy()
