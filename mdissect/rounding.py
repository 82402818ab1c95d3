"""What agrees up to rounding: between processors, results differ in their last digits, and by nothing else.

Text agrees when its words are the same and its numbers are, as far as they are printed.
"""

import re
from dataclasses import dataclass

NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s?%)?(?!\w|\.\d)")


@dataclass(frozen=True)
class Tolerance:
    """How far two printed numbers may lie apart.

    Attributes
    ----------
    within : float
        Numbers with decimals: by so much, or by one unit of the last printed digit and `relative` where that is more. Of
        percentages, printed whole or not, it is the share: 0.01 lets 38% be 39%.
    counts : int
        Whole numbers: by so many.
    relative : float
        Part of the larger number by which numbers with decimals may differ beside the last digit.
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

    White space may differ, as columns are as wide as their numbers. Names with digits in them ("blocks.1", "C1", "01_fig4a")
    are words.

    >>> first_difference("tau of bn2: 3.28", "tau of bn2: 3.29")
    >>> first_difference("tau of bn2: 3.28", "tau of bn2: 3.31")
    'tau of bn2: *3.28* was committed, now tau of bn2: *3.31*: 0.03 apart, 0.01 allowed'
    """
    tolerance = tolerance or Tolerance()
    (words, numbers), (other_words, other_numbers) = _parts(committed), _parts(now)
    for i, (word, other) in enumerate(zip(words, other_words, strict=False)):
        if word != other:
            start = next((n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
            return _told(_around(words, numbers, i, start), _around(other_words, other_numbers, i, start))
        if i >= min(len(numbers), len(other_numbers)):
            break
        one, two = numbers[i], other_numbers[i]
        allowed, apart = tolerance.between(one, two), abs(_value(one) - _value(two))
        if apart > allowed or ("%" in one) != ("%" in two):
            told = _told(f"{_before(words, numbers, i)}*{one}*", f"{_before(other_words, other_numbers, i)}*{two}*")
            return f"{told}: {apart:.2g} apart, {allowed:.2g} allowed"
    if len(numbers) == len(other_numbers):
        return None
    i = min(len(numbers), len(other_numbers))
    return _told(_around(words, numbers, i, len(words[i])), _around(other_words, other_numbers, i, len(other_words[i])))


def _parts(text: str) -> tuple[list[str], list[str]]:
    """The words between the numbers of a text, white space made one, and the numbers."""
    return [re.sub(r"\s+", " ", part).strip() for part in NUMBER.split(text)], NUMBER.findall(text)


def _value(number: str) -> float:
    return float(number.replace("−", "-").rstrip("%").rstrip())


def _last_digit(number: str) -> float:
    """What one unit of the last printed digit is worth; in per cent for a percentage."""
    mantissa, _, exponent = number.rstrip("%").rstrip().lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def _before(words: list[str], numbers: list[str], i: int) -> str:
    """The end of what stands before number i."""
    text = " ".join(part for pair in zip(words[:i], numbers[:i], strict=True) for part in pair)
    return f"{text} {words[i]}".strip()[-60:] + " " * bool(words[i])


def _around(words: list[str], numbers: list[str], i: int, start: int) -> str:
    """What stands around a place in words i."""
    before = (_before(words, numbers, i)[: -len(words[i]) - 1] if words[i] else _before(words, numbers, i)) + words[i][:start]
    after = words[i][start:] + (f" {numbers[i]} {words[i + 1]}" if i < len(numbers) else "")
    return f"{before[-60:]}*{after[:60]}*"


def _told(committed: str, now: str) -> str:
    return f"{committed} was committed, now {now}"
