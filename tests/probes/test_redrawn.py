"""Phantoms of given truths: the images of `load_phantom` where the truth is its own, kept and keyed by what they show."""

from dataclasses import replace

import numpy as np
import pytest

from mdissect.phantom.mammograms import sample_truth
from mdissect.probes import load_probe, redrawn_phantoms

SIZE = (64, 40)
TRUTHS = [sample_truth(4, i) for i in range(6)]


def redrawn(truths=TRUTHS, seed: int = 4, **options):
    return redrawn_phantoms(truths, [seed] * len(truths), [f"one {i}" for i in range(len(truths))], SIZE, **options)


def test_unchanged_truths_give_the_images_of_the_phantom_probe():
    probe, own = load_probe("phantom", n_images=6, seed=4, size=SIZE, cache=False), redrawn(cache=False)
    for i in range(6):
        assert np.array_equal(probe[i], own[i])
        assert probe.boxes(i) == own.boxes(i)
    assert (own.table.to_numpy() == probe.table.to_numpy()).all()


def test_the_key_follows_truths_and_seeds():
    changed = [replace(TRUTHS[0], density="A" if TRUTHS[0].density != "A" else "B"), *TRUTHS[1:]]
    keys = {redrawn(cache=False).key(), redrawn(changed, cache=False).key(), redrawn(seed=5, cache=False).key()}
    assert len(keys) == 3
    assert redrawn(cache=False).key() == redrawn(cache=False).key()


def test_images_are_kept(tmp_path):
    probe = redrawn(cache=tmp_path)
    probe.warm(workers=1, progress=False)
    assert list(tmp_path.glob("redrawn-*/block-*.npy"))
    assert all(np.array_equal(redrawn(cache=tmp_path)[i], redrawn(cache=False)[i]) for i in range(6))


def test_errors():
    with pytest.raises(ValueError, match="truths has 6, seeds 1, ids 1; give as many of each"):
        redrawn_phantoms(TRUTHS, [1], ["one"])
    with pytest.raises(ValueError, match="must hold the truth of one phantom at least"):
        redrawn_phantoms([], [], [])
    with pytest.raises(ValueError, match=r"seeds\[0\]=-1"):
        redrawn_phantoms(TRUTHS[:1], [-1], ["one"])
