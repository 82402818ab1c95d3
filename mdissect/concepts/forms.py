"""Whether two concepts are forms of the same concept: "extremely" and "extremely dense", "left CC" and "left CC view".

The rule. A phrase is cut into words without regard to case, hyphens, plural and British or American spelling; abbreviations of
views are written out and small words left out. Of these words drop those that a mammogram's concept need not say:

- what its category says already: "calcification" in the four categories of calcifications, "dense" in that of density;
- "breast" and "mammographic", of which all the concepts are;
- words that announce a descriptor and are none: "margin" in "circumscribed margin", "BI-RADS" in "BI-RADS density A".

What is left, in any order, together with what the category says, is the concept's form, and concepts that share a form are the
same. A descriptor is never dropped: "mass" and "spiculated mass" differ, as do "benign calcification" and "calcification". A
phrase of only droppable words keeps those of its category: "breast calcification" is "calcification", "dense
breast" is not "breast density". Synonyms of descriptors ("punctate" and "round") are different words and stay apart, and so do
parts of speech ("retracted nipple" and "nipple retraction").
"""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from mdissect.concepts.vocabulary import variant_key
from mdissect.signatures import validated

IMPLIED = {
    ("Breast implants", "Implants"): ("implant",),
    ("Breast views and laterality",): ("view", "projection"),
    ("Breast density", "Mammographic tissue"): ("density", "dense", "tissue"),
    ("Mass",): ("mass",),
    (
        "Calcifications morphology",
        "Calcifications distribution",
        "Benign calcifications",
        "Suspicious calcifications",
    ): ("calcification",),
    ("Architectural distortion",): ("architectural distortion",),
    ("Asymmetry",): ("asymmetry",),
    ("Lymph node", "Lymph node/other findings"): ("lymph node",),
    ("Suspicious findings", "Negative or benign findings"): ("finding",),
}
"""What the categories of a row say already, as phrases each of which says it all; the first one names the row."""

OF_ALL = {"breast", "mammographic"}
ANNOUNCING = {"shape", "margin", "morphology", "distribution", "composition", "category", "area", "like", "bi", "rad", "birad"}
SMALL = {"the", "of", "in", "on", "at", "with", "and", "or", "for", "to", "by", "is", "are", "there"}
ABBREVIATIONS = {"cc": "craniocaudal", "mlo": "mediolateral oblique"}
_IMPLIED_BY = {category: phrases for categories, phrases in IMPLIED.items() for category in categories}

Form = tuple[str, frozenset[str]]


def form(concept: str, category: str = "") -> Form:
    """The common part of a concept's forms: its category, and the words beyond it.

    >>> form("Amorphous calcifications", "Suspicious calcifications") == form("amorphous", "Calcifications morphology")
    True
    >>> form("mass", "Mass") == form("spiculated mass", "Mass")
    False
    """
    phrases = _IMPLIED_BY.get(category, ())
    said = [frozenset(_words(phrase)) for phrase in phrases]
    words = frozenset(_words(concept))
    beyond = words - frozenset().union(*said) - OF_ALL
    if beyond:
        return (phrases[0] if phrases else "", beyond - ANNOUNCING or beyond)
    named = frozenset(phrase for phrase, of_phrase in zip(phrases, said, strict=True) if of_phrase & words)
    return ("", named or words)


@validated()
def forms(table: pd.DataFrame) -> pd.Series:
    """The forms of each concept of a concept set's table, one per category it stands in: concept -> set of `Form`."""
    pairs = table[["concept", "category"]].drop_duplicates()
    each = pd.Series([form(*pair) for pair in pairs.itertuples(index=False)], index=pairs.concept, dtype=object)
    return each.groupby(level=0, sort=False).agg(set)


def same_as(table: pd.DataFrame, concepts: Sequence[str], known: Iterable[str]) -> pd.Series:
    """For each concept another known form of it, or ""; indexed by concept.

    >>> table = load_concepts("mammography").table
    >>> same_as(table, ["breast mass", "spiculated mass"], ["mass"]).tolist()
    ['mass', '']

    Parameters
    ----------
    table : DataFrame
        Of a concept set, with the columns concept and category; it holds all concepts asked for.
    known : iterable of str
        Of several that fit the first counts.
    """
    of = forms(table)
    holders: dict[Form, str] = {}
    for concept in known:
        for one in of[concept]:
            holders.setdefault(one, concept)
    found = [next((holders[one] for one in sorted(of[concept], key=str) if one in holders), "") for concept in concepts]
    return pd.Series(found, index=pd.Index(concepts, name="concept"), name="same_as", dtype=object)


def _words(phrase: str) -> list[str]:
    """The content words of a phrase, in the singular and in American spelling."""
    plain = re.findall(r"[^\W_]+", re.sub("['’]", "", phrase.casefold()))
    spelt = " ".join(ABBREVIATIONS.get(word, word) for word in plain).split()
    last = len(spelt) - 1
    kept = [word for i, word in enumerate(spelt) if word not in SMALL and not (word in ("a", "an") and i < last)]
    return [variant_key(word) for word in kept or spelt]  # "breast composition A" ends in no article
