"""Sentences on sparse autoencoders: numbers from the tables, also where nothing is known."""

import pandas as pd
import pytest

from mdissect.study.sae_sentences import kept_by_autoencoder, latents_against_channels

NAN = float("nan")
FIDELITY = pd.DataFrame(
    [("explained variance", 0.912, 0.9, 0.925), ("active latents", 15.96, 15.9, 16.0), ("dead latents", 0.25, NAN, NAN)],
    columns=["measure", "value", "low", "high"],
)
COMPARED = pd.DataFrame(
    [
        ("named", 0.9, 0.5, -0.4, -0.5, -0.3),
        ("predicts", 0.5, 0.6, 0.1, 0.02, 0.2),
        ("auc", 0.8, 0.81, 0.01, -0.02, 0.03),
        ("best_auc", NAN, NAN, NAN, NAN, NAN),
    ],
    columns=["measure", "channels", "latents", "difference", "low", "high"],
)


def test_what_an_autoencoder_keeps():
    text = kept_by_autoencoder(FIDELITY, "bn2")
    assert "**91.2 %** of the variance" in text
    assert "(95 % interval 90.0 % to 92.5 %)" in text
    assert "with 16.0 active latents per input; 25.0 % of its latents are 0" in text
    one_patient = FIDELITY.assign(low=NAN, high=NAN)
    assert "unknown to unknown" in kept_by_autoencoder(one_patient, "bn2")


def test_latents_against_channels():
    text = latents_against_channels(COMPARED, "bn2")
    assert "Of 3 measures the latents of bn2 are better in **1** (predicts), worse in **1** (named); in the other 1" in text
    assert "- share named (better than chance): channels 0.900, latents 0.500, difference **-0.400** (-0.500 to -0.300)" in text
    assert "best one for each concept" not in text
    assert "better in **0** (none), worse in **0** (none); in the other 0" in latents_against_channels(COMPARED[3:], "bn2")


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="table has no column channels"):
        latents_against_channels(FIDELITY, "bn2")
    with pytest.raises(ValueError, match="table has no column value"):
        kept_by_autoencoder(COMPARED, "bn2")
