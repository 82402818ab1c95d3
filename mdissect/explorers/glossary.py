"""What the numbers beside a label mean: as tooltips, and as a list to unfold."""

import re
from collections.abc import Mapping
from html import escape

from mdissect.explorers.html import FAINT, TEXT
from mdissect.explorers.reading import Reading

RULES = {
    "top": "the mean over the layer’s neurons of their highest similarity",
    "all": "the mean of all similarities of the layer",
}
PREDICTS = "predicts unseen patients"
# A term counts where a value follows it.
TERMS = re.compile(
    r"(?<![\w-])(?<!published )"
    r"(p of the label|predicts unseen patients|corrected|similarity|threshold|stability|clarity|needs|rule|flag|q|p)(?=:? )"
)


def terms(reading: Reading) -> dict[str, str]:
    """The terms used beside the labels of a result, each with its meaning and the numbers of draws, where they are known."""
    return meanings(reading.rule, reading.trust.draws, reading.compared)


def meanings(rule: str, draws: Mapping[str, int], compared: bool = False) -> dict[str, str]:
    """`terms` of a threshold's rule, of n_null and n_boot draws; `compared`: the threshold is the largest of several models."""
    rankings = f"{draws['n_null']:,} random rankings" if "n_null" in draws else "random rankings"
    whose = ", the largest of the models’" if compared else ""
    resamples = f"{draws['n_boot']:,} bootstrap resamples" if "n_boot" in draws else "bootstrap resamples"
    return {
        "similarity": "how well the neuron’s images match the concept, by the dissector; comparable within a layer",
        "threshold": f"tau of the layer: {RULES[rule]}{whose}; no random draws. Above it is still no proof",
        "q": f"the false discovery rate at which a label of the neuron is better than chance (Benjamini, Hochberg), {rankings}",
        "p": f"how often chance reaches evidence as strong for any concept ({rankings})",
        "p of the label": f"the same for the label alone, if it had been the only concept ({rankings})",
        "rule": "the similarity function by which the calibrated label was chosen",
        "stability": f"share of {resamples} of the patients in which the label, its category and its last word recur (mean)",
        PREDICTS: "correlation of the label with the activation on patients that it was not chosen on",
        "corrected": "correlation of this very label, less what its choice flatters; the best number to rank labels by",
        "clarity": "mean cosine between the dissector’s embeddings of two top images; compare it within one probe alone",
        "needs": "what it takes beyond one mammogram to see what the label says",
        "flag": "a caution of the dissector’s report card",
    }


def explained(words: str, known: Mapping[str, str]) -> str:
    """Words as HTML in which each known term, where a value follows it, has its meaning as a tooltip."""
    return TERMS.sub(
        lambda found: f'<abbr title="{escape(known[found[1]])}">{found[1]}</abbr>' if found[1] in known else found[1],
        escape(words),
    )


def terms_html(known: Mapping[str, str]) -> str:
    """All terms and their meanings, to unfold."""
    rows = "".join(f"<dt><b>{escape(term)}</b></dt><dd>{escape(meaning)}</dd>" for term, meaning in known.items())
    style = "display:grid;grid-template-columns:max-content 1fr;gap:2px 12px;margin:4px 0"
    head = f'<summary style="cursor:pointer;{FAINT}">what these numbers mean</summary>'
    return f'<details class="mdissect-terms" style="{TEXT};font-size:12px">{head}<dl style="{style}">{rows}</dl></details>'
