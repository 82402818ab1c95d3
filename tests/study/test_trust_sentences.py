"""The sentences of notebook 06 say what their tables hold, and no more where nothing is known."""

import numpy as np
import pandas as pd
import pytest

from mdissect.study import trust_sentences as sentences


def checked(**columns) -> pd.DataFrame:
    rows = {
        "neuron": [7, 3, 5, 1],
        "concept": ["no interval change", "mass", "clip", "cyst"],
        "needs": ["prior exam", "", "", "several views"],
        "shared": ["skin thickening 20 of 20 (11 % of all)", "", "", ""],
        "stability": [0.95, 0.9, 0.5, 0.25],
        "precision": [np.nan, 0.9, 0.5, 0.8],
        "prevalence": [np.nan, 0.3, 0.2, 0.1],
        "right": [False, True, False, True],
        "stable": [True, True, False, False],
    }
    return pd.DataFrame(rows | columns)


def test_labels_in_short_count_what_is_better_right_stable_and_visible():
    text = sentences.labels_in_short(checked(), 8, "M's bn2", 20, 200)
    for part in (
        "**4 of 8** (50 %) neurons of M's bn2",
        "presence of 3 of these labels is known; **2 of 3** (67 %) are shown by 80 % or more of the neuron's top 20 images",
        "On average 73 % of the top images show the label, of all images 20 %",
        "**50 %** of the labels return in at least 50 % of 200 resamples",
        "needed to see what 2 labels say",
        "**33 %** of the labels of known presence",  # only "mass" is right, stable and visible
    ):
        assert part in text


def test_labels_in_short_of_unknown_presence_are_not_called_right_or_wrong():
    unknown = checked(precision=np.nan, prevalence=np.nan, right=False)
    text = sentences.labels_in_short(unknown, 4, "M's bn2", 20, 200)
    assert "presence of 0 of these labels is known; **0 of 0** (unknown)" in text
    assert "nan" not in text


def test_labels_that_need_more_are_counted_by_what_they_need():
    published = pd.DataFrame({"needs": ["", "MRI", "MRI", "", ""]})
    text = sentences.labels_that_need_more(checked(), published, "M's bn2")
    assert "**2 of the 4** labels of M's bn2" in text
    assert "(prior exam 1, several views 1); so do 2 of the 5 published labels" in text
    assert "2 labels better than chance are left, and 3 published ones" in text
    assert "show;" in sentences.labels_that_need_more(checked(needs=""), published, "M's bn2")


def test_the_most_stable_labels_name_what_they_need_and_what_their_images_share():
    text = sentences.most_stable(checked(), 200, most=3)
    assert "share of 200 resamples" in text
    assert "**1 of the 3** most stable labels" in text
    assert (
        "- neuron 7, “no interval change” (stability 0.95), needs prior exam; its top images share: skin thickening 20 of"
        in text
    )
    assert "cyst" not in text
    assert "its top images share: nothing known" in sentences.most_stable(checked(), 200)
    assert sentences.most_stable(checked(needs=""), 200).endswith("name what one mammogram cannot show.")


def planted() -> pd.DataFrame:
    rows = [(2, "calibrated", 1, 0.99, 0.021), (2, "soft_wpmi", 1, 0.8, 0.2), (2, "cos_similarity", 1, 0.97, 0.01)]
    table = pd.DataFrame(rows, columns=["snr", "rule", "named", "right", "false_labels"])
    return pd.concat([table.assign(snr=1, right=0), table])


def test_planted_neurons():
    text = sentences.planted_neurons(planted())
    assert "**100 %** of the neurons that follow a concept, **99 %** of them correctly, and **2.1 %** of the noise" in text
    assert "published score is correct for 80 %, and 20 % of the noise reaches tau" in text
    assert "correct for 97 % here" in text


def test_neuron_kinds():
    columns = ["snr", "rule", "right_of_two", "negative_labels", "noise_labels"]
    kinds = pd.DataFrame([(2, "calibrated", 1.0, 0.08, 0.02), (2, "soft_wpmi", 0.77, 0.16, 0.15)], columns=columns)
    text = sentences.neuron_kinds(kinds)
    assert "**100 %** are labelled with one of the two (published score: 77 %)" in text
    assert "8 % of those that respond to the absence of a concept get a label" in text
    assert "2 % of the noise (published: 15 %)" in text


def test_few_images():
    table = pd.DataFrame({"rule": ["calibrated", "soft_wpmi"], "named": [0.5, 1.0], "right": [0.98, 0.82]})
    assert sentences.few_images({5: table, "auto": table}).splitlines()[2:] == [
        "- top_k 5: 50 % get a label better than chance, **98 %** of these correctly (published score: 82 % of all)",
        "- top_k auto: 50 % get a label better than chance, **98 %** of these correctly (published score: 82 % of all)",
    ]


def test_digit_names_leave_out_an_auc_that_is_unknown():
    table = pd.DataFrame({"top_1": [1.0, 0.38], "auc": [np.nan, 0.86]}, index=["published", "calibrated"])
    expected = "- ten: correct **100 %** by the published rule, **38 %** by the calibrated rule (AUC of the score 0.86)"
    assert sentences.digit_names({"ten": table}) == expected


def shares() -> pd.DataFrame:
    row = {"setup": "G", "layer": "bn2", "published": 0.4, "calibrated": 0.9, "agree": 0.44}
    return pd.DataFrame([row | {"layer": "bn1", "published": 0.1}, row | {"known": 91, "precision": 0.4, "prevalence": 0.41}])


def test_better_than_chance_comes_with_precision_and_what_q_means():
    text = sentences.better_than_chance(shares())
    assert text.startswith(
        "- G, last layer: 40 % of the neurons reach tau, **90 %** are better than chance; both rules give 44 %"
    )
    assert "**40 %** of the top images show the label (all images: 41 %; 91 labels of known presence)." in text
    assert "follows some direction of the dissector's space, not that the word is right" in text


@pytest.mark.parametrize(
    ("columns", "said"), [({"known": 0}, "presence of none of these is known"), ({"calibrated": 0.0}, "**0 %**")]
)
def test_better_than_chance_says_what_is_unknown(columns, said):
    text = sentences.better_than_chance(shares().assign(**columns))
    assert said in text
    assert "nan" not in text
    assert ("the same label" in text) == ("calibrated" not in columns)


def test_baselines_come_with_precision_and_what_q_means():
    columns = ["setup", "threshold", "better", "concepts", "precision", "prevalence"]
    rows = [("M random dissector", 2.0, 0.77, 90, 0.08, 0.11), ("M mine", 2.5, 0.5, 3, np.nan, np.nan)]
    rows += [("M constant", -1.0, np.nan, np.nan, np.nan, np.nan)]
    text = sentences.baselines(pd.DataFrame(rows, columns=columns))
    scrambled, mine, _, meaning = text.split("\n")
    assert "**77 %** better than chance, by **90** different concepts" in scrambled
    assert scrambled.endswith("the published labels have a precision of **8 %**, random labels of 11 %")
    assert mine.endswith("**3** different concepts")
    assert meaning == sentences.MEANING_OF_Q


def test_tau_overlap():
    own = pd.DataFrame({"low": [1.0, 2.0], "high": [1.5, 2.5]})
    other = pd.DataFrame({"low": [1.5, 2.6], "high": [1.9, 2.7]})
    text = sentences.tau_overlap({"G": other, "M": own}, "M")
    assert text == "The widest interval spans 0.50. The intervals of M overlap with those of G in **1 of 2** layers."
    assert sentences.tau_overlap({"M": own}, "M") == "The widest interval spans 0.50."


def test_report_cards_name_the_few_that_are_unknown():
    card, labels = pd.DataFrame({"auc": [0.9, 0.5, np.nan]}), pd.DataFrame({"concept": ["mass", "mass", "clip"]})
    text = sentences.report_cards({"M": card}, {"M": ["mass"]}, {"M": labels})
    assert "of 2 concepts with known presence it cannot tell **1** from chance or tells them the wrong way round (mass)" in text
    assert "median AUC 0.70; 2 of 3 neurons" in text
    many = [f"concept {i}" for i in range(30)]
    assert "concept 1" not in sentences.report_cards({"M": card}, {"M": many}, {"M": labels})
    assert "**0** from chance or tells them the wrong way round; median" in sentences.report_cards(
        {"M": card}, {"M": []}, {"M": labels}
    )


def test_label_stability_says_how_many_resamples():
    table = pd.DataFrame({"same_concept": [0.2, 0.6], "same_category": [0.5, 0.7], "same_broad_category": [0.9, 0.9]})
    text = sentences.label_stability({"calibrated": table}, "M's bn2", 30)
    assert text == (
        "- calibrated: in 40 % of 30 resamples a neuron of M's bn2 gets the same concept, in 60 % one of the same category, in "
        "90 % of the same broad category."
    )


def test_other_settings_leave_out_the_reference():
    columns = ["top_k", "a", "lam", "own", "same_category"]
    grid = pd.DataFrame(
        [(20, 10.0, 1.0, True, 1.0), (40, 5.0, 2.0, False, 0.58), (20, 10.0, 2.0, False, 0.81)], columns=columns
    )
    text = sentences.other_settings(grid)
    assert "(top 20 images, a = 10, lambda = 1) **58 % to 81 %** of the labels" in text
    assert text.endswith("Fewest do with top 40 images, a = 5 and lambda = 2.")
    assert sentences.other_settings(grid.head(1)) == "There are no other settings to compare with."


def test_the_calibrated_rule_is_told_by_fewer_patients():
    columns = ["share", "patients", "images", "own", "same_category"]
    table = pd.DataFrame(
        [(0.25, 25, 100, False, 0.42), (0.5, 50, 200, False, 0.61), (1.0, 100, 400, True, 1.0)], columns=columns
    )
    text = sentences.other_settings(table)
    assert text.startswith("The rule of the calibrated labels has none of the published one's settings")
    assert text.endswith("**42 %** if chosen on 25 % of the patients, **61 %** if chosen on 50 % of the patients.")
    assert sentences.other_settings(table.tail(1)).endswith("(top images, a, lambda).")


def test_mean_auc_of_no_label_is_none():
    truth = {"G, published": pd.DataFrame({"auc": [0.4, 0.6]}), "G, calibrated": pd.DataFrame({"auc": []})}
    assert sentences.mean_auc(truth, ["G"]).endswith("- G: **0.50** (2) by the published rule, none (0) by the calibrated one")
