"""Reports made of labels: sentences in our own wording, with what each asserts and denies.

A breast whose images have labels but no report gets one: its findings as positive sentences with the side, some of what is
known to be absent as negative ones, its density and BI-RADS category.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mdissect.probes import most_abnormal

SIDES = {"L": "left", "R": "right"}
NORMAL_FACT = "normal"
NOT_SAID = ("", "nothing", "other", "no finding")  # words of tables that name no finding
DOUBTED = "questioned "
POSITIVE = (
    "There {is} {a}{finding} in the {side} breast.",
    "{A}{finding} {is} seen in the {side} breast.",
    "The {side} breast shows {a}{finding}.",
    "In the {side} breast, {a}{finding} {is} noted.",
    "{Finding} on the {side}.",
    "{Finding} in the {side} breast.",
    "{Finding}.",
)
NEGATIVE = (
    "No {finding} in the {side} breast.",
    "There is no evidence of {finding} in the {side} breast.",
    "The {side} breast shows no {finding}.",
    "No {finding} {is} seen on the {side}.",
    "Negative for {finding}.",
    "No {finding}.",
)
NORMAL = (
    "The {side} breast is unremarkable.",
    "No abnormality in the {side} breast.",
    "Negative mammogram of the {side} breast.",
    "No abnormality.",
)
DENSITY = {
    "A": ("The breast is almost entirely fatty.", "Almost entirely fatty tissue.", "Breast density A."),
    "B": (
        "There are scattered areas of fibroglandular density.",
        "Scattered areas of fibroglandular density.",
        "Breast density B.",
    ),
    "C": ("The breast is heterogeneously dense.", "Heterogeneously dense tissue.", "Breast density C."),
    "D": ("The breast is extremely dense.", "Extremely dense tissue.", "Breast density D."),
}
BIRADS = {
    0: ("BI-RADS 0: incomplete.", "Assessment: incomplete, further imaging needed."),
    1: ("BI-RADS 1: negative.", "Assessment: negative."),
    2: ("BI-RADS 2: benign.", "Assessment: benign finding."),
    3: ("BI-RADS 3: probably benign.", "Assessment: probably benign, short-interval follow-up."),
    4: ("BI-RADS 4: suspicious.", "Assessment: suspicious abnormality, biopsy advised."),
    5: ("BI-RADS 5: highly suggestive of malignancy.", "Assessment: highly suggestive of malignancy."),
    6: ("BI-RADS 6: known malignancy.", "Assessment: malignancy proven by biopsy."),
}
NEGATIVE_CATEGORIES = (None, 1)  # of which "no abnormality" can be said
UNCOUNTED = ("thickening", "retraction", "distortion", "asymmetry", "calcification", "edema", "density")


@dataclass(frozen=True)
class Sentence:
    """A sentence, or several, with the facts that it asserts (`present`) and denies (`absent`)."""

    text: str
    present: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Facts:
    """What is known of a breast.

    Attributes
    ----------
    findings, implied, absent : frozenset of str
        What is named; what holds because of it ("asymmetry" of a focal asymmetry); what is known not to be there. Of all other
        findings nothing is known.
    side : {"left", "right", ""}
    density : {"A", "B", "C", "D", ""}
    birads : int or None
    """

    findings: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    side: str = ""
    density: str = ""
    birads: int | None = None

    @property
    def normal(self) -> bool | None:
        """Whether nothing abnormal is there; None where that is not known."""
        if self.findings or self.birads not in NEGATIVE_CATEGORIES:
            return False
        return True if self.absent or self.birads == 1 else None

    def holding(self) -> frozenset[str]:
        """The facts that hold by name, such as "mass", "density=C", "side=left", "birads=4" and "normal"."""
        named = {f"{name}={getattr(self, name)}" for name in ("side", "density", "birads")}
        return (
            self.findings
            | self.implied
            | {name for name in named if not name.endswith(("=", "=None"))}
            | ({NORMAL_FACT} if self.normal else frozenset())
        )

    def unknown(self, keys: Collection[str]) -> frozenset[str]:
        """Which of some facts neither hold nor are known not to."""
        held, open_ = self.holding(), {NORMAL_FACT} if self.normal is None else set()
        for key in keys:
            name, equals, _ = key.partition("=")
            if equals and name in ("side", "density", "birads"):
                is_open = getattr(self, name) in ("", None)
            else:
                is_open = key != NORMAL_FACT and key not in held and key not in self.absent
            open_ |= {key} if is_open else set()
        return frozenset(open_) & frozenset(keys)


def report(facts: Facts, rng: np.random.Generator, most_denied: int = 3) -> list[Sentence]:
    """The sentences of a report: findings, denials, density, category.

    >>> said = report(Facts(frozenset({"mass"}), side="left"), np.random.default_rng(1))
    >>> [(one.text, sorted(one.present)) for one in said]
    [('In the left breast, a mass is noted.', ['mass', 'side=left'])]

    ValueError where nothing at all is known.
    """
    side = facts.side
    said = [_said(POSITIVE, side, rng, finding) for finding in _shuffled(sorted(facts.findings), rng)]
    denied = _shuffled(sorted(facts.absent), rng)[: int(rng.integers(0, most_denied + 1))]
    said += [_said(NEGATIVE, side, rng, finding, denied=True) for finding in denied]
    if facts.normal:
        said.append(_said(NORMAL, side, rng))
    if facts.density in DENSITY:
        said.append(Sentence(_pick(DENSITY[facts.density], rng), frozenset({f"density={facts.density}"})))
    if facts.birads in BIRADS:
        said.append(Sentence(_pick(BIRADS[facts.birads], rng), frozenset({f"birads={facts.birads}"})))
    if not said and facts.absent:
        said.append(_said(NEGATIVE, side, rng, sorted(facts.absent)[0], denied=True))
    if not said:
        raise ValueError("nothing is known of this breast (no finding, density or category): leave it out of the training")
    return said


def _said(templates: Sequence[str], side: str, rng: np.random.Generator, finding: str = "", denied: bool = False) -> Sentence:
    """A sentence about a finding, or that there is none; without a known side one that names none."""
    template = _pick([one for one in templates if side or "{side}" not in one], rng)
    noun, article, verb = grammar(finding)
    text = template.format(finding=noun, Finding=_capital(noun), a=article, A=_capital(article), side=side, **{"is": verb})
    fact = frozenset({finding or NORMAL_FACT})
    sided = frozenset({f"side={side}"}) if "{side}" in template else frozenset()
    return Sentence(_capital(text), sided if denied else sided | fact, fact if denied else frozenset())


def grammar(finding: str) -> tuple[str, str, str]:
    """A finding as a noun within a sentence, its indefinite article with a blank ("" for none), and "is" or "are".

    >>> grammar("Intramammary_Lymph_Node"), grammar("surgical clips"), grammar("skin thickening")
    (('intramammary lymph node', 'an ', 'is'), ('surgical clips', '', 'are'), ('skin thickening', '', 'is'))
    """
    noun = " ".join(finding.replace("_", " ").lower().split())
    last = noun.split()[-1] if noun else ""
    if last.endswith("s") and not last.endswith(("ss", "sis", "us")):
        return noun, "", "are"
    return noun, "" if last in UNCOUNTED or not noun else "an " if noun[0] in "aeiou" else "a ", "is"


def findings_in(cell: object) -> tuple[str, ...]:
    """The findings in a cell of a probe's table, joined by "; "."""
    parts = [part.strip() for part in cell.split(";")] if isinstance(cell, str) else []
    return tuple(part for part in parts if part.lower() not in NOT_SAID)


def facts_of(row: Mapping, all_findings: Collection[str]) -> Facts:
    """The facts of a row of a mammogram probe's table.

    A column "annotated" says what was looked for; without it that is all that the table names. A focal asymmetry is an
    asymmetry, so that is not denied; whether an asymmetry is a focal one is not known.
    """
    cell, annotated = row.get("findings", ""), row.get("annotated")
    found = frozenset(findings_in(cell))
    looked_for = frozenset(findings_in(annotated)) if isinstance(annotated, str) else frozenset(all_findings)
    looked_for = (
        looked_for if isinstance(cell, str) else frozenset()
    )  # an empty text says that there are none, NaN says nothing
    wider = {name for name in all_findings for one in found if _is_kind_of(one, name)}
    narrower = {name for name in all_findings for one in found if _is_kind_of(name, one)}
    doubtful = {name for name in wider for one in found if one.startswith(DOUBTED) and _is_kind_of(one, name)}
    density, category = row.get("density"), row.get("birads")
    known = isinstance(category, (int, float, np.number)) and category == category and int(category) in BIRADS
    return Facts(
        found,
        frozenset(wider - doubtful) - found,
        looked_for - found - wider - narrower,
        SIDES.get(str(row.get("laterality", "")), ""),
        density if isinstance(density, str) and density in DENSITY else "",
        int(category) if known else None,
    )


def joined_facts(several: Sequence[Facts]) -> Facts:
    """The facts of a breast from those of its images: what one shows is there; what one leaves open, and none shows, is open.

    A side or density that the images disagree on is not known; of several categories the most abnormal counts.
    """
    findings, implied = (frozenset().union(*(getattr(one, name) for one in several)) for name in ("findings", "implied"))
    absent = frozenset.intersection(*(one.absent for one in several))
    sides, densities = ({getattr(one, name) for one in several} - {""} for name in ("side", "density"))
    return Facts(
        findings,
        implied - findings,
        absent - findings - implied,
        sides.pop() if len(sides) == 1 else "",
        densities.pop() if len(densities) == 1 else "",
        most_abnormal(one.birads for one in several),
    )


def _is_kind_of(one: str, other: str) -> bool:
    """Whether a finding is a kind of another by its last words: a focal asymmetry of an asymmetry."""
    return one != other and one.split()[-len(other.split()) :] == other.split()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))]
