"""Prompts: the sentences that a concept is put into before the dissector's text model reads it."""

from dataclasses import dataclass
from functools import partial

from mdissect.arguments import texts, true_or_false

GAP = "{}"
TEMPLATES = partial(texts, one_is_many=False)  # the check of an argument


@dataclass(frozen=True)
class Prompts:
    """Templates of sentences, each with one gap for the concept; none: the bare phrase, as in the paper.

    >>> Prompts(("a mammogram showing {}",)).filled("spiculated mass")
    ['a mammogram showing spiculated mass']

    The embedding of a concept is the mean of the unit embeddings of its sentences, of unit length again: prompt ensembling
    (Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, section 3.1.4). With
    `subtract_empty` the unit embedding of each template without a concept is subtracted from that of each sentence first, as
    semanticlens does (Dreyer et al., Nature Machine Intelligence 2025; embed_text_dataset of its Lens): what is left is how
    the concept changes the sentence.

    Raises
    ------
    ValueError
        A template without a gap, or with several; the same one twice; `subtract_empty` without templates, or with one that is
        nothing but the gap.
    """

    templates: tuple[str, ...] = ()
    subtract_empty: bool = False

    def __post_init__(self):
        given = texts("templates", self.templates) if self.templates else ()
        object.__setattr__(self, "templates", given)
        object.__setattr__(self, "subtract_empty", true_or_false("subtract_empty", self.subtract_empty))
        for template in given:
            if (n := template.count(GAP)) != 1:
                raise ValueError(f"template {template!r} must hold {GAP!r} once, where the concept goes; it does {n} times")
        if repeated := [one for one in given if given.count(one) > 1]:
            raise ValueError(f"templates has {repeated[0]!r} several times; give each once")
        if self.subtract_empty:
            if not given:
                raise ValueError("subtract_empty=True needs templates, such as templates=['a mammogram showing {}']")
            if wordless := [one for one in given if not any(map(str.isalnum, one.replace(GAP, "")))]:
                raise ValueError(
                    f"template {wordless[0]!r} has no word beside the concept, so that there is nothing to subtract; leave it "
                    "out, or subtract_empty"
                )

    def filled(self, concept: str) -> list[str]:
        """The sentences of a concept, one per template."""
        return [template.replace(GAP, concept) for template in self.templates]

    def empty(self) -> list[str]:
        """The sentences without a concept, one per template."""
        return [" ".join(template.replace(GAP, "").split()) for template in self.templates]

    def stated(self) -> dict:
        """As plain JSON values for settings and files; nothing for bare phrases."""
        if not self.templates:
            return {}
        return {"templates": list(self.templates), "subtract_empty": self.subtract_empty}


BARE_PHRASE = Prompts()
