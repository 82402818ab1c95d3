"""Search for concepts by words, by what misspelt words may mean, or by the dissector's texts; and for images by words.

Words that no concept has and that are near no other word are given to the dissector, but not whatever it answers: a text model
puts any letters somewhere. Three things are asked, chosen on the demo dissector with 90 phrases that a radiologist might type
("spiculated lesion", "leaking implant"), 300 strings of random letters, 300 of random syllables, and 26 of code and of words
that have nothing to do with mammograms:

- the words are cut into tokens of `LETTERS` letters or more on average, else the text model does not know them;
- a concept's cosine reaches `FLOOR`;
- not more than `CROWD` concepts come within `WITHIN` of the nearest, else the text lies in a crowd of everything unknown.

Then 28 of the 90 phrases are given an answer, 24 of them a right one, and 1 of the 626 strings that mean nothing (0.2 %). The
limits were chosen on these same phrases and strings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mdissect.concepts import NameSearch
from mdissect.dissection import Dissection

if TYPE_CHECKING:
    from mdissect.models import Dissector

N_NEAREST = 5  # nearest concepts offered for words that no concept contains
LETTERS, FLOOR, CROWD, WITHIN = 2.5, 0.9, 10, 0.05
SHOWN_LETTERS = 40


@dataclass(frozen=True)
class Match:
    """What a search found, and how the words were understood."""

    concepts: tuple[str, ...] = ()  # that have the words, the best match first
    note: str = ""
    meant: tuple[str, ...] = ()  # other words to search for, if no concept has these
    nearest: tuple[str, ...] = ()  # concepts that the dissector finds near, if there is nothing else

    @property
    def understood(self) -> bool:
        """Whether anything is known of the words, so that the dissector may be asked for images."""
        return bool(self.concepts or self.nearest)


class WordSearch:
    """A search in the names of concepts (n_concepts,), see `mdissect.concepts.NameSearch`; then the dissector is asked.

    Among concepts that match equally well, that of the greatest of the `weights` (n_concepts,) comes first.
    """

    def __init__(self, names: Sequence[str], dissector: "Dissector | None" = None, weights: Sequence[float] | None = None):
        self._names, self.dissector = np.array(names, dtype=object), dissector
        self._weights = np.zeros(len(names)) if weights is None else np.asarray(weights)
        self._matches: dict[str, Match] = {}

    def __call__(self, words: str) -> Match:
        """The concepts that have the words; else what they may mean; else the nearest concepts. Nothing for no words."""
        words = " ".join(words.split())
        if words not in self._matches:
            self._matches[words] = self._search(words)
        return self._matches[words]

    def images(self, dissection: Dissection, words: str, k: int) -> pd.DataFrame:
        """The k images of a dissection whose embeddings are nearest to the words: position, similarity; the nearest first.

        ValueError: the words are not understood, or there are no embeddings, or ones of another dissector.
        """
        embeddings, settings = dissection.image_embeddings, dissection.settings
        if self.dissector is None:
            raise ValueError("images are found by words with a dissector: give the explorer a dissector=")
        if embeddings is None:
            raise ValueError("this result holds no embeddings of its images: dissect again to have them")
        if settings.get("dissector_weights", self.dissector.fingerprint) != self.dissector.fingerprint:
            raise ValueError(f"these images were embedded by another dissector ({settings.get('dissector')}): give that one")
        if not self(words).understood:
            raise ValueError(f"the dissector finds nothing near “{shortened(words)}”")
        cosines = embeddings @ self._embedded([" ".join(words.split())])[0]
        order = np.argsort(-np.round(cosines, 4), kind="stable")[:k]  # beyond these digits processors differ
        return pd.DataFrame({"position": order, "similarity": cosines[order]})

    def _search(self, words: str) -> Match:
        if not words:
            return Match()
        hits, shown = self._by_words.hits(words), shortened(words)
        if hits:
            exact = self._by_words.exact(words)
            order = sorted(hits, key=lambda i: (i not in exact, -self._weights[i]))
            note = f"{len(hits)} concepts have “{shown}” in them" if len(hits) > 1 else f"one concept has “{shown}” in it"
            return Match(tuple(self._names[order]), note)
        none = f"None of the {len(self._names)} concepts has “{shown}” in it"
        if meant := tuple(self._by_words.meant(words)):
            return Match(note=f"{none}; did you mean {_either(meant)}?", meant=meant)
        if self.dissector is None:
            return Match(note=f"{none}; give the explorer a dissector= to search by any words")
        nearest = self._nearest(words)
        said = f"finds nearest: {', '.join(nearest)}" if nearest else "finds none near to it"
        return Match(note=f"{none}, and the dissector {said}", nearest=nearest)

    def _nearest(self, words: str) -> tuple[str, ...]:
        """The concepts nearest to words that the dissector knows, if they are near enough and few."""
        try:
            if not self._is_legible(words):
                return ()
            (text,) = self._embedded([words])
        except ValueError:  # unknown words, or too many
            return ()
        cosines = np.round(self._embeddings @ text, 4)
        order = np.argsort(-cosines, kind="stable")
        best = cosines[order[0]]
        if best < FLOOR or (cosines > best - WITHIN).sum() > CROWD:
            return ()
        return tuple(self._names[[i for i in order[:N_NEAREST] if cosines[i] >= FLOOR]])

    def _is_legible(self, words: str) -> bool:
        """Whether the text model knows the words, as far as its tokenizer shows; True for one without a tokenizer."""
        letters = getattr(getattr(self.dissector, "tokenizer", None), "letters_per_token", None)
        return letters is None or letters(words) >= LETTERS

    def _embedded(self, texts: list[str]) -> np.ndarray:
        return self.dissector.embed_texts(texts).float().cpu().numpy()

    @cached_property
    def _by_words(self) -> NameSearch:
        return NameSearch(list(self._names))

    @cached_property
    def _embeddings(self) -> np.ndarray:
        """Unit vectors (n_concepts, d)."""
        return self._embedded(list(self._names))


def shortened(words: str) -> str:
    """Words as they are shown in a sentence: on one line, 40 letters at most.

    >>> shortened("a  " + 50 * "b")
    'a bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…'
    """
    words = " ".join(words.split())
    return words if len(words) <= SHOWN_LETTERS else f"{words[:SHOWN_LETTERS]}…"


def _either(words: Sequence[str]) -> str:
    quoted = [f"“{shortened(word)}”" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
