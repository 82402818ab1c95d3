"""Text: a sentence, caption or report with the facts that it states."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A text with the factor keys that it asserts (``present``) and denies (``absent``).

    >>> Text("a red ball", frozenset({"object=ball", "colour=red"}), frozenset()).holds({"object=ball", "colour=red"})
    True

    An image for which the text holds is a positive of the contrastive loss.

    Raises
    ------
    ValueError
        A key is both asserted and denied.
    """

    text: str
    present: frozenset[str]
    absent: frozenset[str]

    def __post_init__(self):
        both = self.present & self.absent
        if both:
            raise ValueError(f"{self.text!r} asserts and denies {sorted(both)}; a key can only be one of them")

    def holds(self, keys):
        """Whether the text is true of an image whose factor keys are ``keys`` (a set of str)."""
        return self.present <= keys and not self.absent & keys
