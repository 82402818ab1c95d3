"""Texts whose numbers agree as far as they are printed."""

import pytest

from mdissect.plots.rounding import Tolerance, first_difference

SAME = [
    ("", ""),
    ("tau 3.28", "tau 3.29"),
    ("tau 0.5", "tau 0.501"),  # pandas prints as few digits as a column needs
    ("  1.0   9.99\nbn2  2.0", "1.0 10.00\n bn2 2.0"),
    ("38%", "39%"),
    ("50 %", "51 %"),
    ("-0.00", "0.00"),
    ("+4.4 nats (-0.1 to 8.3)", "+4.5 nats (+0.0 to 8.2)"),
    ("p = 3e-05", "p = 4e-05"),
    ("123456.78", "123457.5"),
    ("<td>0.696</td>", "<td>0.695</td>"),
]
OTHER = [
    ("tau 3.28", "tau 3.30"),
    ("tau 3.28", "tau 3"),
    ("38%", "40%"),
    ("38%", "38"),
    ("97 concepts", "98 concepts"),
    ("3 of 3 layers", "2 of 3 layers"),
    ("**seen**", "not seen"),
    ("blocks.1 2.67", "blocks.2 2.67"),
    ("C1 0.5", "C2 0.5"),
    ("01_fig4a_threshold.png", "01_fig4b_threshold.png"),
    ("Fig. 4a", "Fig. 4b"),
    ("63 x 63", "63 x 64"),
    ("2.67, 0.98", "0.98, 2.67"),
    ("1.5", "nan"),
    ("1.5", "-1.5"),
    ("1.5", "1.5 1.6"),
    ("1.5 a", "1.5"),
    ("p = 3e-05", "p = 3e-04"),
    ("None", ""),
    ("#1e1234", "#1e1235"),
    ("1e5000", "1e6000"),
]


@pytest.mark.parametrize(("committed", "now"), SAME)
def test_texts_that_agree(committed, now):
    assert first_difference(committed, now) is None
    assert first_difference(now, committed) is None


@pytest.mark.parametrize(("committed", "now"), OTHER)
def test_texts_that_do_not(committed, now):
    assert first_difference(committed, now)
    assert first_difference(now, committed)


@pytest.mark.parametrize(
    ("tolerance", "same", "other"),
    [
        (Tolerance(within=0.01), ("share 0.504", "share 0.512"), ("share 0.504", "share 0.515")),
        (Tolerance(within=0.05), ("38%", "43%"), ("38%", "44%")),
        (Tolerance(within=0.05), ("3 and 0.50", "3 and 0.55"), ("3 and 0.50", "4 and 0.50")),
        (Tolerance(counts=1), ("82 of 256", "83 of 256"), ("82 of 256", "84 of 256")),
        (Tolerance(counts=1), ("82 and 0.50", "81 and 0.51"), ("82 and 0.50", "82 and 0.60")),
        (Tolerance(relative=0.1), ("5.00", "5.40"), ("5.00", "5.60")),
    ],
)
def test_wider_tolerances(tolerance, same, other):
    assert first_difference(*same, tolerance) is None
    assert first_difference(*other, tolerance)


def test_the_first_difference_is_described():
    assert first_difference("in G 0.50 and in M 0.61", "in G 0.50 and in M 0.71") == (
        "in G 0.50 and in M >>0.61<< was committed, now in G 0.50 and in M >>0.71<<: 0.1 apart, 0.01 allowed"
    )
    assert first_difference("| Fig. 8 | **seen** | 3 |", "| Fig. 8 | not seen | 3 |") == (
        "| Fig. 8 | >>**seen** | 3 |<< was committed, now | Fig. 8 | >>not seen | 3 |<<"
    )
    assert first_difference("tau 2.5, 3 layers", "tau 2.5") == "tau 2.5>>, 3 layers<< was committed, now tau 2.5>><<"
