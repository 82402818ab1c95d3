"""The sentences on several words, clarity and prompts say what their tables hold."""

import numpy as np
import pandas as pd

from mdissect.study import word_sentences as sentences


def layer(**columns) -> pd.DataFrame:
    row = {"layer": "bn2", "neurons": 256, "nothing": 0.01, "one_word": 0.11, "several": 0.88, "one_word_r2": 0.39}
    row |= {"sum_r2": 0.51, "gain": 0.12, "gain_low": 0.115, "gain_high": 0.132}
    return pd.DataFrame([row | {"layer": "blocks.1", "several": 0.5}, row | columns])


def test_several_words_are_those_of_the_last_layer():
    text = sentences.several_words({"M": layer(), "C1": layer(neurons=0)})
    assert "M, bn2: **88 %** of the 256 neurons need more than one word, 11 % do with one, 1 % follow no words" in text
    assert "up to 3 words explain 51 % of the variance on unseen patients, one explains 39 %" in text
    assert "(gain **+12 points**, +11.5 to +13.2)" in text
    assert "C1, bn2: no neuron can be explained" in text


def test_clarity_stands_beside_that_of_the_probe():
    numbers = dict.fromkeys(("clarity", "polysemanticity", "redundancy"), 0.45)
    ends = {f"{name}_{end}": value for name in numbers for end, value in (("low", 0.4), ("high", 0.5))}
    table = pd.DataFrame([{"layer": "bn2", **numbers, **ends, "probe_clarity": 0.24}])
    text = sentences.clear_neurons({"M": table})
    assert "clarity **0.45** (0.40 to 0.50; any two images of the probe: 0.24)" in text
    assert "redundancy 0.45 (0.40 to 0.50)" in text
    assert "redundancy unknown" in sentences.clear_neurons({"M": table.assign(redundancy=np.nan)})


def test_prompts_are_called_better_or_worse_only_by_their_interval():
    rows = [
        ("bare phrase", np.nan, np.nan, np.nan),
        ("a", 0.02, 0.01, 0.03),
        ("b", -0.02, -0.03, -0.01),
        ("c", 0.01, -0.01, 0.03),
    ]
    card = pd.DataFrame(rows, columns=["prompts", "change", "change_low", "change_high"])
    text = sentences.prompt_effects(card.assign(auc=0.88, low=0.87, high=0.89, concepts=245, better=0.5))
    assert "Mean AUC of 245 concepts of known presence as bare phrases: **0.880** (0.870 to 0.890)." in text
    assert "a: 0.880, change **+0.020** (+0.010 to +0.030): better; 50 % of the concepts gain" in text
    assert "b: 0.880, change **-0.020** (-0.030 to -0.010): worse" in text
    assert "c: 0.880, change **+0.010** (-0.010 to +0.030): no clear change" in text
