"""Sentences from wordings: articles, plurals and sentence frames."""

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
    """One row of the phrase table: wordings that all state the same facts."""

    topic: str  # a text states at most one thing on a topic
    kind: str  # key of `FRAMES`
    keys: tuple[str, ...]  # factor keys, all of which must hold
    phrases: tuple[str, ...]  # the wordings as in the table
    plain: tuple[str, ...]  # the bare wordings as sentences, also in the plural
    sentences: tuple[str, ...]  # the wordings in the frames of their kind

    @property
    def weight(self):
        """Relative frequency among the statements of its topic: every wording is equally likely."""
        return len(self.phrases)


def statements(topic, kind, *tables):
    """The statements of tables (keys joined by " & " -> wordings separated by " | "); equal keys are merged."""
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
    """The wording in the plural where its head is "calcification", else unchanged: "calcifications in a line"."""
    head = _head(phrase)
    return head + "s" + phrase[len(head) :] if head.endswith("calcification") else phrase


def is_plural(phrase):
    """Whether a verb after the wording is in the plural."""
    return " and " in phrase or (_head(phrase).endswith("s") and not _head(phrase).endswith(("ss", "is")))


def with_article(phrase):
    """The wording with "a" or "an" where English asks for it: "oval mass" -> "an oval mass"."""
    if is_plural(phrase) or _head(phrase).endswith(UNCOUNTED):
        return phrase
    return ("an " if phrase[0].lower() in "aeiou" else "a ") + phrase


def _head(phrase):
    ends = [position for tail in _TAILS if (position := phrase.find(tail)) > 0]
    return phrase[: min(ends, default=len(phrase))]
