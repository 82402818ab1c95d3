"""Reports made of labels: sentences in our own wording, with what each asserts and denies.

A study whose images have labels but no report gets one: its findings as positive sentences with the side and, where they are
known, view-independent attributes; what was looked for and not found as negative sentences.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SIDES = {"L": "left", "R": "right"}
NOTHING = "no finding"
POSITIVE = (
    "There is {a} {finding} in the {side} breast.",
    "{Finding} is seen in the {side} breast.",
    "The {side} breast shows {a} {finding}.",
    "{Finding}, {side} side.",
    "In the {side} breast, {a} {finding} is noted.",
    "{Finding} on the {side}.",
)
NEGATIVE = (
    "No {finding} in the {side} breast.",
    "There is no evidence of {finding} on the {side}.",
    "The {side} breast has no {finding}.",
    "No {finding} is seen.",
    "Negative for {finding}.",
)
NORMAL = (
    "The {side} breast is unremarkable.",
    "No abnormality in the {side} breast.",
    "Negative mammogram of the {side} breast.",
)
DENSITY = {
    "A": ("The breast is almost entirely fatty.", "Almost entirely fatty tissue.", "Breast density A."),
    "B": ("There are scattered fibroglandular densities.", "Scattered areas of fibroglandular density.", "Breast density B."),
    "C": ("The breast is heterogeneously dense.", "Heterogeneously dense tissue.", "Breast density C."),
    "D": ("The breast is extremely dense.", "Extremely dense tissue.", "Breast density D."),
}
BIRADS = {
    1: ("BI-RADS 1: negative.", "Assessment: negative."),
    2: ("BI-RADS 2: benign.", "Assessment: benign finding."),
    3: ("BI-RADS 3: probably benign.", "Assessment: probably benign, short-interval follow-up."),
    4: ("BI-RADS 4: suspicious.", "Assessment: suspicious abnormality, biopsy advised."),
    5: ("BI-RADS 5: highly suggestive of malignancy.", "Assessment: highly suggestive of malignancy."),
}
PLURAL = ("calcification", "calcifications")
WITHOUT_ARTICLE = ("thickening", "retraction", "distortion", "asymmetry", "calcification", "calcifications")


@dataclass(frozen=True)
class Sentence:
    """A sentence with the facts that it asserts (`present`) and denies (`absent`)."""

    text: str
    present: frozenset[str]
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Facts:
    """What is known of a breast: its findings, which others were looked for, side, density (A to D) and BI-RADS category."""

    findings: frozenset[str]
    looked_for: frozenset[str]
    side: str = ""
    density: str = ""
    birads: int | None = None

    def keys(self) -> frozenset[str]:
        """The facts by name, such as "mass", "density=C", "side=left", "birads=4" and "normal"."""
        known = set(self.findings)
        for name, value in (("side", self.side), ("density", self.density), ("birads", self.birads)):
            if value not in ("", None):
                known.add(f"{name}={value}")
        if not self.findings and self.looked_for:
            known.add("normal")
        return frozenset(known)

    def unknown(self, all_findings: Collection[str]) -> frozenset[str]:
        """Findings that nobody looked for: a text about them is neither true nor false."""
        return frozenset(all_findings) - self.findings - self.looked_for


def report(facts: Facts, rng: np.random.Generator, most_denied: int = 3) -> list[Sentence]:
    """The sentences of a report, in a random order of the findings: findings, denials, density, category.

    >>> [one.text for one in report(Facts(frozenset({"mass"}), frozenset({"mass"}), "left"), np.random.default_rng(0))][:1]
    ['There is a mass in the left breast.']

    ValueError where nothing at all is known.
    """
    said = [_about(finding, POSITIVE, facts.side, rng) for finding in _shuffled(sorted(facts.findings), rng)]
    said = [Sentence(text, frozenset({finding, *_side_of(text, facts.side)})) for text, finding in said]
    denied = _shuffled(sorted(facts.looked_for - facts.findings), rng)[: int(rng.integers(0, most_denied + 1))]
    for text, finding in (_about(finding, NEGATIVE, facts.side, rng) for finding in denied):
        said.append(Sentence(text, _side_of(text, facts.side), frozenset({finding})))
    if not facts.findings and facts.looked_for:
        text = _pick(NORMAL, rng).format(side=facts.side or "imaged")
        said.append(Sentence(text, frozenset({"normal", *_side_of(text, facts.side)})))
    if facts.density in DENSITY:
        said.append(Sentence(_pick(DENSITY[facts.density], rng), frozenset({f"density={facts.density}"})))
    if facts.birads in BIRADS:
        said.append(Sentence(_pick(BIRADS[facts.birads], rng), frozenset({f"birads={facts.birads}"})))
    if not said:
        raise ValueError("nothing is known of this breast (no finding, density or category): leave it out of the training")
    return said


def _about(finding: str, templates: Sequence[str], side: str, rng: np.random.Generator) -> tuple[str, str]:
    plain = finding.replace("_", " ").casefold()
    article = "" if plain.split()[-1] in WITHOUT_ARTICLE else "an" if plain[0] in "aeiou" else "a"
    text = _pick(templates, rng).format(finding=plain, Finding=plain.capitalize(), a=article, side=side or "imaged")
    return " ".join(text.split()), finding


def _side_of(text: str, side: str) -> frozenset[str]:
    return (
        frozenset({f"side={side}"})
        if side and side in text.split() + [word.strip(".,") for word in text.split()]
        else frozenset()
    )


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))]


def facts_of(row: Mapping, all_findings: Collection[str]) -> Facts:
    """The facts of a row of a mammogram probe's table; a column "annotated" says what was looked for, without it everything."""
    from mdissect.probes import findings_in

    findings = frozenset(findings_in(row.get("findings", "")))
    annotated = row.get("annotated")
    looked_for = frozenset(all_findings) if not isinstance(annotated, str) else frozenset(findings_in(annotated))
    category = row.get("birads")
    known = category is not None and category == category and int(category) in BIRADS
    return Facts(
        findings,
        looked_for,
        SIDES.get(str(row.get("laterality", "")), ""),
        str(row.get("density", "") or ""),
        int(category) if known else None,
    )
