"""Shares and labels in words."""

import pytest

from mdissect.wording import percent, which_label


@pytest.mark.parametrize(
    ("share", "digits", "words"),
    [(0, 0, "0 %"), (0.256, 0, "26 %"), (0.256, 1, "25.6 %"), (1.0, 0, "100 %"), (float("nan"), 0, "unknown")],
)
def test_shares(share, digits, words):
    assert percent(share, digits) == words


@pytest.mark.parametrize(
    ("labels", "reaches", "words"),
    [
        (("view", "implant"), None, "better than chance: implant (calibrated); the published rule says view"),
        (("view", "implant"), True, "better than chance: implant (calibrated); the published rule says view"),
        (
            ("view", "implant"),
            False,
            "better than chance: implant (calibrated); the published rule says view, below its threshold",
        ),
        (("view", "view"), None, "better than chance: view"),
        (("view", ""), None, "no label better than chance (calibrated); the published rule says view"),
        (("", "implant"), None, "better than chance: implant (calibrated)"),
        (("", ""), None, "no label better than chance (calibrated)"),
    ],
)
def test_which_label_to_trust(labels, reaches, words):
    assert which_label(*labels, reaches) == words
