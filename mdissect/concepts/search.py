"""Search in the names of concepts: by whole words in any order, and what a misspelt query may mean.

The rule, which the atlas's page follows too (`NameSearch.data` is what it needs for that):

- a name is found if it has all words of the query, in any order; never inside a word: "car" is not in "carcinoma";
- words count as the same by `variant_key` (case, accents, plural, American spelling) and `forms.ABBREVIATIONS` ("cc");
- with hyphens, without, or as two words: "bi-rads 4", "birads 4", "bi rads 4" and "birads4" are the same;
- a microcalcification is a calcification too;
- small words count only where there are no others: "mass in the breast" is "breast mass";
- while one types, the last word may be the beginning of one, if no name has it as it is.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from mdissect.concepts.forms import ABBREVIATIONS, SMALL
from mdissect.concepts.vocabulary import VARIANT_RULES, variant_key
from mdissect.signatures import validated

ARTICLES = ("a", "an")  # small words but at the end: "breast composition a"
KIND_OF = {"microcalcification": "calcification", "macrocalcification": "calcification"}
MOST_MEANT = 3
MOST_WORDS = 8  # of a query, beyond which nothing is suggested for it
LEAST_LETTERS, MOST_LETTERS = 4, 40  # of a word that something is suggested for
EDITS = ((10, 3), (6, 2), (LEAST_LETTERS, 1))  # letters of a word from which on so many may be wrong


@dataclass(frozen=True)
class Word:
    """A word of a query or a name: as written, without case and accents, and the keys by which it is compared."""

    plain: str
    keys: tuple[str, ...]


class NameSearch:
    """A search in names (n_names,).

    >>> search = NameSearch(["implant", "bi-rads 4", "invasive carcinoma"])
    >>> search.hits("4 BIRADS"), search.hits("implants"), search.hits("car"), search.hits("car", typing=True)
    ([1], [0], [], [2])
    >>> search.meant("implent")
    ['implant']
    """

    @validated()
    def __init__(self, names: Sequence[str]):
        self._having: dict[str, set[int]] = {}  # names by the key of a word, or of two neighbours as one
        self._beginning: dict[str, set[int]] = {}  # names by the words as written
        self._written: dict[str, dict[str, int]] = {}  # by the key of a word how often it is written how
        self._exact: dict[object, set[int]] = {}
        self._all = set(range(len(names)))
        for i, name in enumerate(names):
            self._add(i, name)

    def hits(self, query: str, typing: bool = False) -> list[int]:
        """Positions of the names that have all words of the query, those of no other words first; [] for no words.

        `typing`: the last word may be the beginning of one, if no name has all words whole and no space follows it.
        """
        asked = self._asked(query)
        if not asked:
            return []
        found = self._with(asked)
        if not found and typing and not query[-1:].isspace() and asked[-1].plain == _plain_words(query)[-1]:
            begun = (names for word, names in self._beginning.items() if word.startswith(asked[-1].plain))
            found = self._with(asked[:-1]).intersection(set().union(*begun))
        return sorted(found, key=lambda i: (i not in self.exact(query), i))

    def exact(self, query: str) -> set[int]:
        """Positions of the names that have the words of the query and no others."""
        keys = _keys(self._asked(query))
        return self._exact.get("".join(keys), set()) | self._exact.get(frozenset(keys), set()) if keys else set()

    def meant(self, query: str) -> list[str]:
        """At most three queries with hits in which words that no name has are completed or spelt as the nearest that one has.

        Only for words of four letters or more; of four or five, one may be wrong, but not the first: else too many are near.
        """
        asked = self._asked(query)
        known = self._known(asked)
        unknown = [i for i, is_known in enumerate(known) if not is_known]
        near = [self._near(asked[i]) for i in unknown] if len(asked) <= MOST_WORDS else []
        if not near or not all(near):
            return []
        texts = []
        for first in near[0]:
            chosen = dict(zip(unknown, [first, *(others[0] for others in near[1:])], strict=True))
            texts.append(" ".join(chosen.get(i, word.plain) for i, word in enumerate(asked)))
        return [text for text in dict.fromkeys(texts) if self.hits(text)]

    def data(self) -> dict:
        """The rule and the words of the names as plain values for JSON; positions of names by word."""
        return {
            "rules": [list(rule) for rule in VARIANT_RULES],
            "small": sorted(SMALL),
            "articles": list(ARTICLES),
            "abbreviations": ABBREVIATIONS,
            "having": [[key, sorted(names)] for key, names in self._having.items()],
            "beginning": [[word, sorted(names)] for word, names in self._beginning.items()],
            "written": [[key, self._usual(key)] for key in self._written],
        }

    def _add(self, i: int, name: str) -> None:
        words = [_word(plain) for plain in _plain_words(name)]
        keys = [key for word in words for key in word.keys]
        for key in (*keys, *map("".join, pairwise(keys)), *(KIND_OF[key] for key in keys if key in KIND_OF)):
            self._having.setdefault(key, set()).add(i)
        for word in words:
            for plain in (word.plain, *ABBREVIATIONS.get(word.plain, "").split()):
                self._beginning.setdefault(plain, set()).add(i)
                counts = self._written.setdefault(variant_key(plain), {})
                counts[plain] = counts.get(plain, 0) + 1
        content = _keys(_content(words))
        for whole in ("".join(content), frozenset(content)):
            self._exact.setdefault(whole, set()).add(i)

    def _asked(self, query: str) -> list[Word]:
        """The words of a query that count, each once; "birads4" as two where no name has it as one."""
        words: list[Word] = []
        for plain in _plain_words(query):
            parts = re.fullmatch(r"([^\W\d_]+)(\d+)", plain)
            whole = _word(plain)
            words += map(_word, parts.groups()) if parts and not self._with([whole]) else [whole]
        return list(dict.fromkeys(_content(words)))

    def _with(self, asked: Sequence[Word]) -> set[int]:
        """The names that have all of these words; all names for none."""
        return self._all.intersection(*self._each(_keys(asked)))

    def _each(self, keys: Sequence[str]) -> Iterator[set[int]]:
        """For each key the names that have it, alone or as one word with a neighbour of it."""
        none: set[int] = set()
        pairs = [none, *(self._having.get("".join(pair), none) for pair in pairwise(keys)), none]
        for key, before, behind in zip(keys, pairs, pairs[1:], strict=False):
            yield self._having.get(key, none) | before | behind

    def _known(self, asked: Sequence[Word]) -> Iterator[bool]:
        """Whether any name has each of these words."""
        each = self._each(_keys(asked))
        for word in asked:
            yield all(list(islice(each, len(word.keys))))

    def _near(self, word: Word) -> list[str]:
        """The words that one may have meant, those of most names first."""
        if not LEAST_LETTERS <= len(word.plain) <= MOST_LETTERS:
            return []
        begun = {variant_key(one) for one in self._beginning if one.startswith(word.plain)}
        return [self._usual(key) for key in self._best(begun or self._closest(variant_key(word.plain)))]

    def _closest(self, key: str) -> list[str]:
        """The keys with the fewest letters wrong, if that are few enough."""
        most = next((wrong for letters, wrong in EDITS if len(key) >= letters), 0)
        alike = (one for one in self._written if abs(len(one) - len(key)) <= most and (most > 1 or one[0] == key[0]))
        apart = {one: edits(one, key, most) for one in alike}
        least = min(apart.values(), default=most + 1)
        return [one for one, n in apart.items() if n == least <= most]

    def _best(self, keys: Iterable[str]) -> list[str]:
        return sorted(keys, key=lambda key: (-len(self._having[key]), key))[:MOST_MEANT]

    def _usual(self, key: str) -> str:
        """How a word is written most often."""
        return min(self._written[key], key=lambda plain: (-self._written[key][plain], len(plain), plain))


def edits(one: str, other: str, most: int) -> int:
    """Letters to change, add, leave out or exchange with the next one to make a word of another; `most` + 1 for more.

    >>> edits("implant", "implnat", 2), edits("implant", "pumpkin", 2)
    (1, 3)
    """
    before, row = [], list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, same in enumerate(other, start=1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != same))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == same:
                least = min(least, earlier[j - 2] + 1)
            row.append(least)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def _plain_words(text: str) -> list[str]:
    """The words of a text without case, accents and apostrophes, cut at all that is neither a letter nor a digit."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.category(c).startswith("M"))
    return re.findall(r"[^\W_]+", re.sub("['’]", "", plain.casefold()))


def _word(plain: str) -> Word:
    return Word(plain, tuple(variant_key(part) for part in ABBREVIATIONS.get(plain, plain).split()))


def _content(words: Sequence[Word]) -> list[Word]:
    """The words without small ones, if there are others."""
    last = len(words) - 1
    kept = [w for i, w in enumerate(words) if w.plain not in SMALL and not (w.plain in ARTICLES and i < last)]
    return kept or list(words)


def _keys(words: Iterable[Word]) -> list[str]:
    return [key for word in words for key in word.keys]
