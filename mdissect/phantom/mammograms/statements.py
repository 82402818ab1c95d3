"""From a wording to sentences: articles, plurals and the frames that wordings are put in."""

from dataclasses import dataclass

FRAMES = {
    "visible": ("{x}", "{x} visible", "{x} included in the image"),
    "side": ("{x}", "{x}", "mammogram of the {x}", "image of the {x}"),
    "plain": ("{x}",),
    "composition": ("{x}", "{x}", "breast composition: {x}", "density: {x}"),
    "thing": ("{x}", "{x}", "{x} noted", "there {is} {a}", "{a} {is} seen", "{a} {is} present"),
    "diagnosis": ("{x}", "compatible with {x}", "most likely {a}"),
    "assessment": ("{x}", "{x}", "assessment: {x}", "impression: {x}", "conclusion: {x}"),
    "advice": ("{x}", "{x}", "recommendation: {x}", "advice: {x}"),
    "denial": ("{x}", "{x}", "{x} seen", "there {is} {x}", "{x} {is} identified"),
}
"""The frames of each kind of wording: {x} the bare wording, {a} with its article, {is} in agreement with it."""

UNCOUNTED = ("tissue", "thickening", "retraction", "inversion", "dimpling", "distortion", "calcification", "gel")
UNCOUNTED += ("microcalcification", "change", "morphology", "density", "augmentation", "parenchyma", "skin")
_TAILS = (" with ", " of ", " in ", " on ", " over ", " at ", " to ", " without ", " and ", " seen ", " for ", " partly ")


@dataclass(frozen=True)
class Statement:
    """One row of the phrase table: wordings that all state the same facts.

    Parameters
    ----------
    topic : str
        What it speaks of; a text says at most one thing on a topic.
    kind : str
        Key of `FRAMES`.
    keys : tuple of str
        Factor keys, all of which must hold.
    phrases : tuple of str
        The wordings as the table has them.
    plain, sentences : tuple of str
        Ready sentences: the bare wordings (also in the plural), and the wordings in the frames of their kind.
    """

    topic: str
    kind: str
    keys: tuple[str, ...]
    phrases: tuple[str, ...]
    plain: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def weight(self):
        """How readily the statement is chosen among those of its topic: every wording has the same chance."""
        return len(self.phrases)


def statements(topic, kind, *tables):
    """The statements of tables that map factor keys joined by " & " to wordings separated by " | ".

    Wordings that several tables have for the same keys are put together.
    """
    wordings = {}
    for table in tables:
        for keys, phrases in table.items():
            wordings.setdefault(keys, []).extend(phrases.split(" | "))
    return [_statement(topic, kind, keys, tuple(dict.fromkeys(phrases))) for keys, phrases in wordings.items()]


def _statement(topic, kind, keys, phrases):
    spoken = dict.fromkeys(form for phrase in phrases for form in (phrase, plural_calcifications(phrase)))
    sentences = [
        sentence(frame.format(x=x, a=with_article(x), **{"is": "are" if is_plural(x) else "is"}))
        for x in spoken
        for frame in FRAMES[kind]
    ]
    return Statement(
        topic, kind, tuple(filter(None, keys.split(" & "))), phrases, tuple(map(sentence, spoken)), tuple(sentences)
    )


def sentence(words):
    """The words with a capital and a full stop: "oval mass" -> "Oval mass."."""
    return words[0].upper() + words[1:] + "."


def plural_calcifications(phrase):
    """Reports mostly speak of calcifications in the plural: "calcification in a line" -> "calcifications in a line".

    Other wordings, and those that describe calcification ("suspicious calcification morphology"), come back as they are.
    """
    head = _head(phrase)
    return head + "s" + phrase[len(head) :] if head.endswith("calcification") else phrase


def is_plural(phrase):
    """Whether a verb after the wording stands in the plural."""
    return " and " in phrase or (_head(phrase).endswith("s") and not _head(phrase).endswith(("ss", "is")))


def with_article(phrase):
    """The wording with "a" or "an" where English asks for it: "oval mass" -> "an oval mass"."""
    if is_plural(phrase) or _head(phrase).endswith(UNCOUNTED):
        return phrase
    return ("an " if phrase[0].lower() in "aeiou" else "a ") + phrase


def _head(phrase):
    ends = [position for tail in _TAILS if (position := phrase.find(tail)) > 0]
    return phrase[: min(ends, default=len(phrase))]
