"""Fidelity: explained variance, active and dead latents against literal sums, by patients."""

import numpy as np
import pytest
import torch
from autoencoders import random_sae
from toys import SMALL, TinyCNN, toy_probe, toy_target

from mdissect.sae import SAEOptions, fidelity, train
from mdissect.sae.inputs import Wanted, vectors_of


@pytest.fixture(scope="module")
def cnn():
    return toy_target(TinyCNN, layers=("deep",))


@pytest.fixture(scope="module")
def trained(cnn):
    options = SAEOptions(k=2, steps=80, batch_size=128, places=3, progress=False, passing=SMALL)
    return train(cnn, "deep", toy_probe(80), 24, options=options)


def test_against_literal_sums(cnn, trained):
    probe = toy_probe(24)
    table = fidelity(trained, cnn, probe, n_boot=50, passing=SMALL).set_index("measure")
    values = vectors_of(Wanted(cnn, "deep", "places", 3, 0, SMALL), probe, None, "cpu").values.reshape(-1, 6)
    x = torch.from_numpy(values)
    latents = trained.encode(x)
    error = float((x - trained.decode(latents)).square().sum())
    spread = float((x - x.mean(dim=0)).square().sum())
    assert table.value["explained variance"] == pytest.approx(1 - error / spread, abs=1e-4)
    assert table.value["active latents"] == pytest.approx(float((latents > 0).sum()) / len(x))
    assert table.value["dead latents"] == pytest.approx(float((latents <= 0).all(dim=0).float().mean()))
    low, value, high = table.loc["explained variance", ["low", "value", "high"]]
    assert low < value < high


def test_a_training_explains_more_than_random_weights(cnn, trained):
    random = random_sae(0, width=6, n_latents=24, k=2)
    random.settings = trained.settings
    probe = toy_probe(24)
    shares = [fidelity(sae, cnn, probe, n_boot=5, passing=SMALL).value[0] for sae in (trained, random)]
    assert shares[0] > 0.5 > shares[1]


def test_the_interval_is_over_patients(cnn, trained):
    """Images of one patient are drawn together, so that the interval of few patients is wide; of one there is none."""
    of_few = toy_probe(24)
    of_few.table["patient"] = ["a"] * 12 + ["b"] * 12
    own = fidelity(trained, cnn, toy_probe(24), passing=SMALL, n_boot=300)
    few = fidelity(trained, cnn, of_few, passing=SMALL, n_boot=300)
    assert own.value.equals(few.value)
    one = fidelity(trained, cnn, toy_probe(4), passing=SMALL)
    assert np.isnan(one.low).all()


def test_the_probe_of_the_training_is_a_warning(cnn, trained):
    with pytest.warns(UserWarning, match="trained on this very probe"):
        fidelity(trained, cnn, toy_probe(80), n_boot=5, passing=SMALL)


def test_another_width_is_refused(cnn, trained):
    other = random_sae(0, width=4)
    other.settings = trained.settings
    with pytest.raises(ValueError, match="does not say of which layer it is"):
        fidelity(random_sae(0), cnn, toy_probe(8))
    with pytest.raises(ValueError, match="layer 'deep' has 6 neurons, the autoencoder was made for 4"):
        fidelity(other, cnn, toy_probe(8), passing=SMALL)
