"""Comparison of texts up to rounding: between processors results differ in their last digits, and by nothing else.

Two texts agree when their words are equal and their numbers differ by no more than the last printed digit.
"""

import re
from dataclasses import dataclass
from itertools import chain, zip_longest

NUMBER = re.compile(r"(?<![\w.#])[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2})?(?:\s?%)?(?!\w|\.\d)")

CONTEXT = 60  # letters of a text that are shown where it differs


@dataclass(frozen=True)
class Tolerance:
    """How far two printed numbers may lie apart: whole ones by `counts`, those with decimals by `within`.

    With decimals it is one unit of the last printed digit and `relative` (a part of the larger number) where that is more. Of
    percentages, printed whole or not, `within` is the share: 0.01 lets 38% be 39%.
    """

    within: float = 0.0
    counts: int = 0
    relative: float = 1e-5

    def between(self, one: str, other: str) -> float:
        """The largest distance at which two printed numbers agree."""
        if not {".", "e", "%"} & set((one + other).lower()):
            return self.counts
        last_digit = min(_last_digit(one), _last_digit(other)) + self.relative * max(abs(_value(one)), abs(_value(other)))
        return max(last_digit, self.within * (100 if "%" in one else 1)) * (1 + 1e-9)


def first_difference(committed: str, now: str, tolerance: Tolerance | None = None) -> str | None:
    """Where two texts first differ by more than the tolerance, in words; None when they agree.

    White space may differ: columns are as wide as their numbers. Names with digits in them ("blocks.1", "C1", "01_fig4a")
    are words.

    >>> first_difference("tau of bn2: 3.28", "tau of bn2: 3.29")
    >>> first_difference("tau of bn2: 3.28", "tau of bn2: 3.31")
    'tau of bn2: >>3.28<< was committed, now tau of bn2: >>3.31<<: 0.03 apart, 0.01 allowed'
    """
    tolerance = tolerance or Tolerance()
    texts = [re.sub(r"\s+", " ", text).strip() for text in (committed, now)]
    ends = [0, 0]
    for numbers in chain(zip_longest(*map(NUMBER.finditer, texts)), [(None, None)]):
        starts = [number.start() if number else len(text) for number, text in zip(numbers, texts, strict=True)]
        words = [text[end:start].strip() for text, end, start in zip(texts, ends, starts, strict=True)]
        if words[0] == words[1] and numbers == (None, None):
            return None
        if words[0] != words[1] or None in numbers:
            same = next((i for i, (a, b) in enumerate(zip(*words, strict=False)) if a != b), min(map(len, words)))
            places = [text.index(word, end) + same for text, word, end in zip(texts, words, ends, strict=True)]
            return _difference(texts, places, [place + CONTEXT for place in places])
        ends = [number.end() for number in numbers]
        one, other = (number[0] for number in numbers)
        allowed, apart = tolerance.between(one, other), abs(_value(one) - _value(other))
        if apart > allowed or ("%" in one) != ("%" in other):
            return f"{_difference(texts, starts, ends)}: {apart:.2g} apart, {allowed:.2g} allowed"
    return None


def _difference(texts: list[str], starts: list[int], ends: list[int]) -> str:
    """The places where two texts differ, each with the text before it."""
    one, other = (
        f"{text[max(start - CONTEXT, 0) : start]}>>{text[start:end]}<<"
        for text, start, end in zip(texts, starts, ends, strict=True)
    )
    return f"{one} was committed, now {other}"


def _value(number: str) -> float:
    return float(number.replace("−", "-").rstrip("%").rstrip())


def _last_digit(number: str) -> float:
    """What one unit of the last printed digit is worth; in per cent for a percentage."""
    mantissa, _, exponent = number.rstrip("%").rstrip().lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
