"""What the paper reports, finding by finding, and what came of each here: seen, not seen, or not testable, with the numbers.

The findings and the paper's numbers stand in `STATED`; `mdissect.study.findings` compares them with dissections.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from mdissect.concepts import OTHER
from mdissect.files import write_atomically
from mdissect.signatures import validated
from mdissect.study.pairs import LEADING

SEEN, NOT_SEEN, NOT_TESTABLE = "seen", "not seen", "not testable here"
STATES = (SEEN, NOT_SEEN, NOT_TESTABLE)
# What answers a notebook's question first; the others are counted.
MAIN = (
    "both domains", "tau", "mostly mammography", "tuned tau", "tuned calcification", "scores", "more missed", "each category",
    "distortion", "natural both", "natural first", "mixed steady",
)  # fmt: skip
MOST_MAIN = 3
_INNER = re.compile(r" \([^()]*\)")  # brackets without others inside
_LEADING = " and ".join(LEADING)

PLACES = (
    ("Fig. 1", "the method", "00", "00_method"),
    ("Fig. 3", "the concept set by category", "00", "00_concepts"),
    ("Fig. 4a", "threshold by layer, G and M", "01", "01_fig4a_threshold"),
    ("Fig. 4b", "mammography and other concepts, G and M", "01", "01_fig4b_domains"),
    ("Fig. 4c", "top categories, G and M", "01", "01_fig4c_top_categories"),
    ("Fig. 5", "words of the last layer, G and M", "01", "01_fig5_words"),
    ("Fig. 6", "an implant neuron", "04", "04_fig6_implant_neuron"),
    ("Fig. 7", "a calcification neuron", "04", "04_fig7_calcification_neuron"),
    ("Fig. 8", "threshold by layer, M and C1-C4", "02", "02_fig8"),
    ("Fig. 9", "concepts of each task, M and C1-C4", "02", "02_fig9"),
    ("Table 2", "scores of the fine-tuned networks", "02", ""),
    ("Table 3", "calcification concepts of M alone and of C4 alone", "02", ""),
    ("Fig. 10", "learned and missed per category", "03", "03_fig10"),
    ("Fig. 11", "distinct missed concepts", "03", "03_fig11"),
    ("Table 4", "setups A to D", "05", ""),
    ("Fig. 12", "setups A and B", "05", "05_fig12"),
    ("Fig. 13", "setups C and D", "05", "05_fig13"),
)


@dataclass(frozen=True)
class Stated:
    """A finding of the paper.

    `where` the paper shows it, the `finding` and the `criterion` that stands for it here (with {first}, {second} for the
    setups' names), and the `paper`'s numbers, "" where it gives none.
    """

    where: str
    finding: str
    criterion: str
    paper: str = ""


STATED = {
    # Research question 1: {first} is G, {second} is M.
    "tau": Stated("Fig. 4a", "the threshold of {second} lies above that of {first}", "in every layer", "every layer"),
    "both domains": Stated(
        "Fig. 4b", "{second} captures more mammography and more other concepts than {first}", "each summed over the layers"
    ),
    "mostly mammography": Stated(
        "Fig. 4b", "most concepts of {second} are of mammography", "summed over the layers, at its own threshold"
    ),
    "steady": Stated(
        "Fig. 4c", f"{{second}}'s top categories are steadily {_LEADING}",
        "both are among its top three in every layer, at its own threshold", "every layer",
    ),
    "drift": Stated(
        "Fig. 4c", f"{{first}}'s last layer drifts to {OTHER}",
        "it is among its top three categories of the last layer, at its own threshold",
    ),
    "unsteady": Stated("Fig. 4c", "{first}'s top categories change from layer to layer", "no two layers have the same three"),
    "words": Stated(
        "Fig. 5", f"more of {{first}}'s concepts than of {{second}}'s are from {OTHER} in the last layer",
        "as a share of what counts there",
    ),
    # Research question 2.
    "tuned tau": Stated("Fig. 8", "every fine-tuned network has a higher threshold than M", "in every layer", "every layer"),
    "tuned calcification": Stated(
        "Fig. 9", "C4 captures more calcification concepts than M", "in the middle and in the last layer"
    ),
    "tuned density": Stated(
        "Fig. 9", "C1 captures slightly fewer density concepts than M", "in the middle and in the last layer"
    ),
    "tuned mass": Stated("Fig. 9", "C3 captures about as many mass concepts as M", "within 10 %, summed over the layers"),
    "scores": Stated(
        "Table 2", "the fine-tuned networks solve their tasks",
        "AUC of each at least 0.8 (C1, C2: the mean of each class against the others)",
        "accuracy C1 0.860, C2 0.795; AUC C3 0.874, C4 0.975",
    ),
    "morphology": Stated(
        "Table 3", "C4 captures more kinds of calcification morphology than M", "concepts of that category in the last layer",
        "C4 7, M 4",
    ),
    "suspicious": Stated(
        "Table 3", "C4 and M capture as many suspicious calcifications", "concepts of that category in the last layer"
    ),
    "only morphology": Stated(
        "Table 3", "all calcification concepts of M and C4 are of these two categories", "in the last layer"
    ),
    # Research question 3.
    "more missed": Stated(
        "Fig. 10", "M misses more concepts than it learns", "over all layers", "298 learned, 465 missed of 763"
    ),
    "missed others": Stated(
        "Fig. 10", "most of what M misses has nothing to do with mammography", "more than half", "336 of 465"
    ),
    "each category": Stated(
        "Fig. 10", "M captures more than it misses in every category of mammography", "each of the five broad categories",
        "5 of 5 categories",
    ),
    "distortion": Stated(
        "Fig. 11", "architectural distortion is missed",
        "more of the concepts with \"architectural\" or \"distortion\" in them are missed than learned", "6 missed",
    ),
    "other means": Stated(
        "Fig. 11", "much of what is missed shows on ultrasound or MRI only",
        "a larger share of the distinct missed concepts than of the learned ones", "24 of 54",
    ),
    # Single neurons.
    "implant neuron": Stated(
        "Fig. 6", "a neuron of the last layer detects implants",
        "at least 4 of its top 5 concepts have the word, and at least 4 of its top 5 images show one", "4 of 5 and 4 of 5",
    ),
    "calcification neuron": Stated(
        "Fig. 7", "a neuron of the last layer detects calcifications",
        "at least 4 of its top 5 concepts have the word, and at least 4 of its top 5 images show some", "5 of 5 and 5 of 5",
    ),
    # Appendix I: {first} is A or C, {second} is B or D.
    "natural tau": Stated("Fig. 12a", "the threshold of {first} lies above that of {second}", "in every layer", "every layer"),
    "natural both": Stated(
        "Fig. 12b", "{first} captures more mammography and more other concepts than {second}", "each summed over the layers"
    ),
    "natural other": Stated(
        "Fig. 12b", "{first} learns more other concepts than mammography concepts", "summed over the layers"
    ),
    "natural first": Stated(
        "Fig. 12c", f"{OTHER} is the first category of both {{first}} and {{second}}",
        "it has the highest count of the six categories in every layer in which a label passes, and one does in each setup",
        "every layer",
    ),
    "natural last": Stated(
        "Fig. 12c", f"{{first}} captures far more of {OTHER} than {{second}} in the last layer", "at least twice as much"
    ),
    "mixed tau": Stated("Fig. 13a", "the threshold of {second} lies above that of {first}", "in every layer", "every layer"),
    "mixed both": Stated(
        "Fig. 13b", "{second} captures more mammography and more other concepts than {first}", "each summed over the layers"
    ),
    "mixed steady": Stated(
        "Fig. 13c", f"{{second}} keeps to {_LEADING}", "both are among its top three in every layer, at its own threshold",
        "every layer",
    ),
    "mixed other": Stated(
        "Fig. 13c", f"{{second}} still captures {OTHER} in the deeper layers",
        "it is among its top three categories of the last layer, at its own threshold",
    ),
    "mixed none": Stated(
        "Fig. 13c", "{first} passes the shared threshold in no category",
        "no label of it reaches the shared threshold in any layer", "0 categories",
    ),
}  # fmt: skip
"""What the paper reports that a dissection can show: a key for each, in the order of the paper."""


@dataclass(frozen=True)
class Claim:
    """A finding of the paper and what came of it here. Made by `claim`.

    Attributes
    ----------
    key : str
        Of `STATED`.
    where, finding, criterion, paper : str
        As in `Stated`, the setups' names filled in.
    here : str
        The numbers that the criterion was tested on.
    state : {"seen", "not seen", "not testable here"}
    why : str
        Why it cannot be tested; "" where it can.
    trainings : str
        In how many trainings of the networks it is seen, such as "4 of 5" (`study.by_training`); "" where only one is known.
    """

    key: str
    where: str
    finding: str
    criterion: str
    paper: str
    here: str
    state: str
    why: str = ""
    trainings: str = ""

    @property
    def seen(self) -> bool:
        return self.state == SEEN


@validated()
def untestable(keys: Iterable[str], why: str, first: str = "", second: str = "") -> list[Claim]:
    """Findings that cannot be tested, all for the same reason."""
    return [claim(key, False, "", first, second, why) for key in keys]


@validated(key=STATED)
def claim(key: str, seen: bool, here: str, first: str = "", second: str = "", why: str = "", added: str = "") -> Claim:
    """What came of a finding: `seen` or not, or not testable where there is a `why`; `added` to where the paper shows it."""
    stated = STATED[key]
    names = {"first": first, "second": second}
    state = NOT_TESTABLE if why else SEEN if seen else NOT_SEEN
    finding, criterion = stated.finding.format(**names), stated.criterion.format(**names)
    return Claim(key, stated.where + added, finding, criterion, "" if added else stated.paper, here, state, why)


@validated()
def places(figures: Path) -> pd.DataFrame:
    """Where each figure and table of the paper is made, and the files that are there.

    Returns
    -------
    DataFrame
        in the paper, shows, notebook, files (names of PNG files, "" for a table).
    """
    rows = [
        (paper, shows, number, ", ".join(sorted(path.name for path in figures.glob(f"{stem}*.png"))) if stem else "")
        for paper, shows, number, stem in PLACES
    ]
    return pd.DataFrame(rows, columns=["in the paper", "shows", "notebook", "files"])


@validated()
def as_markdown(claims: Iterable[Claim]) -> str:
    """A table for a notebook, one row per claim."""
    claims = list(claims)
    head = ["in the paper", "finding", "criterion", "paper", "here", "result"]
    rows = [(one.where, one.finding, one.criterion, one.paper, one.here, _result(one)) for one in claims]
    table = pd.DataFrame(rows, columns=head)
    if any(one.trainings for one in claims):
        table["seen in trainings"] = [one.trainings for one in claims]
    return table_as_markdown(table)


@validated()
def table_as_markdown(table: pd.DataFrame) -> str:
    """A table as text for a notebook, without its index."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows)


@validated()
def summary(claims: Iterable[Claim]) -> str:
    """In words: how many findings are seen, and how many cannot be tested."""
    states = [one.state for one in claims]
    hidden = states.count(NOT_TESTABLE)
    text = f"**{states.count(SEEN)} of {len(states) - hidden}** testable findings of the paper are seen here"
    return f"{text}; {hidden} more cannot be tested." if hidden else f"{text}."


@validated()
def steadiness(claims: Iterable[Claim]) -> str:
    """In words: how many findings come out alike in all trainings, and which do not; "" where only one training is known."""
    counted = [(one, *map(int, one.trainings.split(" of "))) for one in claims if one.trainings]
    if not counted:
        return ""
    always, never = sum(k == n for _, k, n in counted), sum(k == 0 for _, k, _ in counted)
    text = f"Of {len(counted)} findings **{always}** are seen in every training and **{never}** in none"
    mixed = [f"- {one.where}: {one.finding} (in {one.trainings})" for one, k, n in counted if 0 < k < n]
    return "\n".join([f"{text}; {len(mixed)} depend on the training:\n", *mixed]) if mixed else f"{text}."


@validated()
def unseen(claims: Iterable[Claim]) -> str:
    """A list of the findings that are not seen, with their numbers (without intervals)."""
    rows = [f"- {one.where}: {one.finding} ({_numbers(one)})" for one in claims if one.state == NOT_SEEN]
    return "\n".join(rows) or "None."


@validated()
def untested(claims: Iterable[Claim]) -> str:
    """A list of the reasons why findings cannot be tested, with the findings of each."""
    by_reason: dict[str, list[str]] = {}
    for one in claims:
        if one.state == NOT_TESTABLE:
            by_reason.setdefault(one.why, []).append(f"{one.where} ({one.finding})")
    return "\n".join(f"- {why[0].upper()}{why[1:]}: {'; '.join(found)}" for why, found in by_reason.items()) or "None."


@validated()
def in_short(claims: Iterable[Claim]) -> str:
    """In a paragraph: the main findings with their numbers, then how many are seen."""
    claims = list(claims)
    main = sorted((one for one in claims if one.key in MAIN and one.state != NOT_TESTABLE), key=lambda one: MAIN.index(one.key))
    return " ".join(["**In short.**", *map(_sentence, main[:MOST_MAIN]), summary(claims)])


@validated()
def write(claims: Iterable[Claim], path: Path, settings: Mapping | None = None) -> None:
    """Write claims, their total and the settings they come from as JSON, where the text changed."""
    claims = list(claims)
    total = summary(claims).replace("*", "")
    document = {"total": total, "claims": [asdict(one) for one in claims], "settings": dict(settings or {})}
    data = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    if not (path.is_file() and path.read_bytes() == data):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)


def _sentence(one: Claim) -> str:
    """A claim in a sentence, with its numbers."""
    finding = one.finding[0].upper() + one.finding[1:] if one.seen else f"Not seen: {one.finding}"
    return f"{finding} ({_numbers(one)})."


def _numbers(one: Claim) -> str:
    """What was found here, without intervals and other details in brackets."""
    numbers = one.here
    while (shorter := _INNER.sub("", numbers)) != numbers:
        numbers = shorter
    return numbers


def _result(one: Claim) -> str:
    return {SEEN: "**seen**", NOT_SEEN: "not seen", NOT_TESTABLE: f"not testable here: {one.why}"}[one.state]
