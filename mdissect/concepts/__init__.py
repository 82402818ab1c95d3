"""Concepts: the phrases that neurons are labelled with.

The sets and their files, the sentences they are put into, the vocabulary of their columns, and words that differ in form alone.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "concept_set": "ConceptSet load_concepts one_row_each with_categories",
        "forms": "forms same_as",
        "prompts": "Prompts",
        "search": "NameSearch",
        "vocabulary": "BROAD_CATEGORY_OF DOMAINS EVIDENCE OTHER TASKS TAXONOMY closest variant_key",
    },
)
