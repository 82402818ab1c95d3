"""Which annotated findings a label names."""

import re
from functools import lru_cache

from mdissect.concepts import variant_key
from mdissect.paths import in_data
from mdissect.signatures import validated
from mdissect.tables import read_text_table

FINDINGS = "labels/vindr.csv"  # as `mdissect.trust.presence` reads it, which would bring torch with it
OF_ANY = frozenset({"suspicious", "benign", "possible", "other"})  # words of a finding that do not say what it is


@validated()
def names_finding(label: str, finding: str) -> bool:
    """Whether a label names an annotated finding.

    >>> names_finding("increasing calcifications", "Suspicious Calcification")
    True
    >>> names_finding("trabecular thickening", "Skin Thickening")
    False

    By the shipped table of concepts and findings; of a label that is not there, by words: all those of the finding stand in the
    label, or those of the label in the finding and both end in the same one.
    """
    known = _known().get(label.strip().casefold())
    if known is not None:
        return finding.strip().casefold() in known
    said, meant = _words(label), [word for word in _words(finding) if word not in OF_ANY]
    if not said or not meant:
        return False
    return set(meant) <= set(said) or (set(said) <= set(meant) and said[-1] == meant[-1])


@lru_cache(maxsize=1)
def _known() -> dict[str, frozenset[str]]:
    """The findings of each concept in the shipped table."""
    rows = read_text_table(in_data("concepts", FINDINGS), ("concept", "column", "values"))
    rows = rows[rows.column == "findings"]
    return {row.concept.casefold(): frozenset(part.strip() for part in row.values.split(";")) for row in rows.itertuples()}


@lru_cache(maxsize=4096)
def _words(phrase: str) -> tuple[str, ...]:
    """The words of a phrase in the singular."""
    return tuple(variant_key(word) for word in re.findall(r"[^\W_]+", phrase.casefold()))
