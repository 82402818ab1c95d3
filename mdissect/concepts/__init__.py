"""Concepts: the phrases that neurons are labelled with.

The sets and their files, the vocabulary of their columns, and words that differ in form alone.
"""

from mdissect.concepts.concept_set import ConceptSet, load_concepts
from mdissect.concepts.forms import same_as
from mdissect.concepts.vocabulary import BROAD_CATEGORY_OF, DOMAINS, EVIDENCE, OTHER, TASKS, TAXONOMY, closest, variant_key

__all__ = [
    "BROAD_CATEGORY_OF", "DOMAINS", "EVIDENCE", "OTHER", "TASKS", "TAXONOMY", "ConceptSet", "closest", "load_concepts",
    "same_as", "variant_key",
]  # fmt: skip
