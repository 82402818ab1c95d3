"""The categories of concepts, and when two words are the same word."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

OTHER = "Environmental and Natural"
# Broad categories and their categories, in the order in which a radiologist works through an examination.
TAXONOMY = {
    "Breast anatomy or structure": ("Breast structures or anatomy", "Breast implants"),
    "Breast locations": ("Breast finding locations", "Breast views and laterality"),
    "Findings and characterizations": (
        "Breast density",
        "Mammographic tissue",
        "Mass",
        "Calcifications morphology",
        "Calcifications distribution",
        "Architectural distortion",
        "Asymmetry",
        "Lymph node",
        "Skin",
    ),
    "Interpretations": (
        "Lymph node/other findings",
        "Implants",
        "Benign calcifications",
        "Suspicious calcifications",
        "Suspicious findings",
        "Negative or benign findings",
        "Post biopsy/surgery",
    ),
    "Action or follow up": ("Action", "After results"),
    OTHER: ("Materials", "Natural", "Objects", "Colours"),
}
BROAD_CATEGORY_OF = {category: broad for broad, categories in TAXONOMY.items() for category in categories}
DOMAINS = ("mammography", "other")
TASKS = ("mass", "calcification", "density")
ONE_IMAGE = "single view"
EVIDENCE = (ONE_IMAGE, "several views", "prior exam", "clinical", "ultrasound", "MRI")
COLUMNS = ("concept", "category", "broad_category", "domain", "tasks", "evidence")


def name_key(text: str) -> str:
    """A name without regard to case, underscores and spaces about slashes.

    >>> name_key("Post biopsy/ Surgery") == name_key("post_biopsy/surgery")
    True
    """
    return re.sub(r"\s*/\s*", "/", " ".join(text.replace("_", " ").split())).casefold()


def closest(value: str, known: Iterable[str]) -> str:
    """The known names most similar to a value, as the end of an error message; empty if none is similar."""
    names = {name_key(name): name for name in known}
    matches = difflib.get_close_matches(name_key(value), names, n=3, cutoff=0.6)
    return f" (closest: {', '.join(names[match] for match in matches)})" if matches else ""


_SINGULAR = ((r"ies$", "y"), (r"(ss|sh|ch|x|zz)es$", r"\1"), (r"(?<![su])s$", ""))
_AMERICAN = (
    (r"ae$", "a"),  # no habit but a Latin plural: axillae; it must go before the next line
    (r"ae|oe", "e"),
    (r"our(ed|ing|less)?$", r"or\1"),
    (r"([bt])red$", r"\1ered"),
    (r"([bt])re$", r"\1er"),
    (r"is(e|ed|er|ing|ation)$", r"iz\1"),
    (r"ys(e|ed|er|ing)$", r"yz\1"),
    (r"ll(ed|ing|er)$", r"l\1"),
    (r"^grey", "gray"),
    (r"^mould", "mold"),
    (r"^plough", "plow"),
    (r"^tyre$", "tire"),
    (r"^jewellery$", "jewelry"),
    (r"^aluminium$", "aluminum"),
)
VARIANT_RULES = _SINGULAR + _AMERICAN
"""What `variant_key` does with a word: patterns and what takes their place, one after the other."""


def spelling_key(phrase: str) -> str:
    """A key of a phrase's spellings: without case, accents, hyphens or apostrophes, in American spelling.

    The key is for comparing only and need be no word: a rule may bend a word it was not made for.

    >>> spelling_key("Rod-like fibre") == spelling_key("rod like fiber")
    True
    """
    return _word_key(phrase, _AMERICAN)


def variant_key(phrase: str) -> str:
    """A key of a phrase's spellings and its plural.

    >>> variant_key("masses in the axillae") == variant_key("mass in the axilla")
    True
    """
    return _word_key(phrase, VARIANT_RULES)


def _word_key(phrase: str, rules: Iterable[tuple[str, str]]) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", phrase.casefold()) if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", re.sub("['’]", "", plain))
    for pattern, replacement in rules:
        words = [re.sub(pattern, replacement, word) for word in words]
    return "".join(words) or plain
