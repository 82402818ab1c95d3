"""Text: a sentence or report of the phantom study together with what it asserts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A text and the factor keys that it states.

    An image is compatible with the text when all ``present`` keys hold for it and none of the ``absent`` keys does;
    this is what the multi-positive contrastive loss counts as a positive.

    Parameters
    ----------
    text : str
        What is written.
    present : frozenset of str
        Factor keys that the text asserts.
    absent : frozenset of str
        Factor keys that the text denies.

    Raises
    ------
    ValueError
        If a key is both asserted and denied.

    Examples
    --------
    >>> Text("a red ball", frozenset({"object=ball", "colour=red"}), frozenset()).holds({"object=ball", "colour=red"})
    True
    """

    text: str
    present: frozenset
    absent: frozenset

    def __post_init__(self):
        both = self.present & self.absent
        if both:
            raise ValueError(f"{self.text!r} asserts and denies {sorted(both)}; a key may stand on one side only")

    def holds(self, keys):
        """Whether the text is true of an image whose true factor keys are ``keys`` (a set of str)."""
        return self.present <= keys and not self.absent & keys
