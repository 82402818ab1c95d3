"""Reports made of labels: their grammar, what they assert and deny, and what is unknown."""

import re

import numpy as np
import pytest

from mdissect.train import templates as room
from mdissect.train.templates import Facts, facts_of, findings_in, grammar, joined_facts, report

VINDR = (
    "mass", "suspicious calcification", "asymmetry", "focal asymmetry", "global asymmetry", "architectural distortion",
    "suspicious lymph node", "skin thickening", "skin retraction", "nipple retraction",
)  # fmt: skip
OTHERS = (
    "calcification", "calcifications", "implant", "biopsy clip", "surgical clips", "pacemaker", "nipple marker", "scar marker",
    "lymph node", "intramammary lymph node", "developing asymmetry", "questioned architectural distortion", "dilated duct",
    "spiculated region",
)  # fmt: skip
ALL = (*VINDR, *OTHERS)


class Nth:
    """Random numbers that always choose the same of several."""

    def __init__(self, n: int):
        self.n = n

    def integers(self, low, high=None):
        return self.n % (low if high is None else high)

    def permutation(self, n):
        return np.arange(n)


@pytest.mark.parametrize("finding", ALL)
@pytest.mark.parametrize("side", ["left", "right", ""])
def test_sentences_read_well(finding, side):
    for templates, denied in ((room.POSITIVE, False), (room.NEGATIVE, True)):
        for n in range(len(templates)):
            said = room._said(templates, side, Nth(n), finding, denied)
            text, noun = said.text, finding.lower()
            assert text[0].isupper()
            assert text.endswith(".")
            assert "  " not in text
            assert noun in text.lower()
            assert not re.search(r"[{}_]|\ba [aeiou]|\ban [^aeiou]|\b(a|an) \w+( \w+)*s\b(?<!mass) (is|are)", text.lower()), (
                text
            )
            if re.search(r"\b(is|are)\b", text.lower()) and "no evidence" not in text:
                assert ("are" in text.lower().split()) == noun.endswith("s") * (noun != "mass")
            assert (f"side={side}" in said.present) == (bool(side) and side in text.split() + text.rstrip(".").split())
            assert said.absent == (frozenset({finding}) if denied else frozenset())
            assert (finding in said.present) != denied


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        ("mass", ("mass", "a ", "is")),
        ("implant", ("implant", "an ", "is")),
        ("Skin_Thickening", ("skin thickening", "", "is")),
        ("surgical clips", ("surgical clips", "", "are")),
        ("suspicious calcification", ("suspicious calcification", "", "is")),
        ("", ("", "", "is")),
    ],
)
def test_grammar(finding, expected):
    assert grammar(finding) == expected


def test_a_report_says_all_findings_and_some_of_what_is_absent():
    facts = Facts(frozenset({"mass", "skin thickening"}), frozenset(), frozenset({"implant", "asymmetry"}), "left", "C", 4)
    denied = set()
    for seed in range(40):
        said = report(facts, np.random.default_rng(seed))
        present = frozenset().union(*(one.present for one in said))
        assert present - {"side=left"} == {"mass", "skin thickening", "density=C", "birads=4"}
        denied |= frozenset().union(*(one.absent for one in said))
        assert len({one.text for one in said}) == len(said)
    assert denied == {"implant", "asymmetry"}
    assert any(len(report(facts, np.random.default_rng(seed), most_denied=0)) == 4 for seed in range(2))


def test_normal_is_said_where_nothing_contradicts_it():
    absent = frozenset({"mass"})
    cases = {
        (frozenset(), absent, None): True,
        (frozenset(), absent, 1): True,
        (frozenset(), frozenset(), 1): True,
        (frozenset(), absent, 2): False,
        (frozenset(), frozenset(), None): None,
        (frozenset({"mass"}), frozenset(), None): False,
    }
    for (findings, without, birads), normal in cases.items():
        facts = Facts(findings, frozenset(), without, birads=birads)
        assert facts.normal is normal
        assert ("normal" in facts.holding()) == (normal is True)
        assert ("normal" in facts.unknown(["normal", "mass"])) == (normal is None)
    said = report(Facts(absent=absent, side="right"), np.random.default_rng(0))
    assert any("normal" in one.present for one in said)


def test_only_absences_make_a_report_too():
    for seed in range(10):
        assert report(Facts(absent=frozenset({"mass"}), birads=None, density=""), np.random.default_rng(seed))
    with pytest.raises(ValueError, match="nothing is known of this breast"):
        report(Facts(side="left"), np.random.default_rng(0))


def test_a_row_of_a_table():
    known = {"mass", "asymmetry", "focal asymmetry", "global asymmetry", "skin thickening"}
    row = {"findings": "mass; focal asymmetry", "laterality": "R", "density": "C", "birads": 4.0}
    facts = facts_of(row, known)
    assert facts == Facts(
        frozenset({"mass", "focal asymmetry"}), frozenset({"asymmetry"}), frozenset({"skin thickening", "global asymmetry"}),
        "right", "C", 4,
    )  # fmt: skip
    vague = facts_of({"findings": "asymmetry"}, known)
    assert vague.absent == {"mass", "skin thickening"}  # whether it is focal or global is not known
    assert vague.unknown(known) == {"focal asymmetry", "global asymmetry"}
    looked = facts_of({"findings": "mass", "annotated": "mass; skin thickening"}, known)
    assert looked.absent == {"skin thickening"}
    assert facts_of({"findings": "", "annotated": "nothing"}, known) == Facts()
    doubted = facts_of({"findings": "questioned architectural distortion"}, {"architectural distortion", "mass"})
    assert (doubted.implied, doubted.absent) == (frozenset(), {"mass"})
    assert facts_of({"findings": float("nan")}, known) == Facts()
    assert facts_of({"findings": ""}, known).absent == known
    for birads in (None, float("nan"), "4", 9):
        assert facts_of({"birads": birads}, ()).birads is None
    assert facts_of({"density": float("nan"), "laterality": None}, ()) == Facts()


def test_a_breast_from_its_images():
    one = Facts(frozenset({"mass"}), frozenset(), frozenset({"implant", "asymmetry"}), "left", "C", 2)
    other = Facts(frozenset({"focal asymmetry"}), frozenset({"asymmetry"}), frozenset({"implant", "mass"}), "left", "D", 0)
    joined = joined_facts([one, other])
    assert joined.findings == {"mass", "focal asymmetry"}
    assert joined.implied == {"asymmetry"}
    assert joined.absent == {"implant"}
    assert (joined.side, joined.density, joined.birads) == ("left", "", 0)  # 0 asks for more than 2
    assert joined_facts([one]) == one


def test_findings_of_a_cell():
    assert findings_in("mass; skin thickening ;No Finding; other") == ("mass", "skin thickening")
    assert findings_in("") == findings_in(None) == findings_in(float("nan")) == ()
