"""Concepts: the phrases that neurons are labelled with.

The sets and their files, the sentences they are put into, the vocabulary of their columns, and words that differ in form alone.
"""

from mdissect.concepts.concept_set import ConceptSet, load_concepts, one_row_each, with_categories
from mdissect.concepts.forms import forms, same_as
from mdissect.concepts.prompts import Prompts
from mdissect.concepts.search import NameSearch
from mdissect.concepts.vocabulary import BROAD_CATEGORY_OF, DOMAINS, EVIDENCE, OTHER, TASKS, TAXONOMY, closest, variant_key

__all__ = [
    "BROAD_CATEGORY_OF",
    "DOMAINS",
    "EVIDENCE",
    "OTHER",
    "TASKS",
    "TAXONOMY",
    "ConceptSet",
    "NameSearch",
    "Prompts",
    "closest",
    "forms",
    "load_concepts",
    "one_row_each",
    "same_as",
    "variant_key",
    "with_categories",
]  # fmt: skip
