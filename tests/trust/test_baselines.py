"""Baselines that must mean nothing: untrained targets, a scrambled dissector, one label for all neurons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import toys
from torch import nn

from mdissect import load_concepts, load_probe
from mdissect.analysis import compare, count_concepts, learned, missed, thresholds, with_verdict
from mdissect.method import dissect
from mdissect.models import load_dissector, load_target, random_projection, weights_fingerprint
from mdissect.models.untrained import untrained
from mdissect.preprocess import Preprocess
from mdissect.study import Setup
from mdissect.study.profiles import baseline_setup
from mdissect.trust import constant_label
from mdissect.trust.baselines import compare_baselines

pytestmark = pytest.mark.slow

PIXELS = Preprocess(size=(32, 32), channels=3)


class Odd(nn.Module):
    """What reset_parameters does not reach: a token, a scale of one number, buffers, frozen statistics, attention."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.token = nn.Parameter(torch.arange(60.0).view(1, 5, 12))
        self.temperature = nn.Parameter(torch.tensor(7.0))
        self.attention = nn.MultiheadAttention(4, 2)
        self.register_buffer("typical", torch.full((4,), 3.0))
        self.register_buffer("position", torch.arange(4))
        self.register_buffer("grid", torch.ones(4), persistent=False)
        self.frozen = nn.Module()
        for name, value in (("weight", 2.0), ("bias", 3.0), ("running_mean", 4.0), ("running_var", 5.0)):
            self.frozen.register_buffer(name, torch.full((4,), value))


def own(module: nn.Module, **options):
    return load_target(module, preprocess=Preprocess(size=(8, 8), channels=1), layers=["conv"], name="own", **options)


def test_every_part_starts_anew_and_the_original_stays():
    module = toys.seeded(toys.TinyCNN)
    with torch.no_grad():
        module.deep[1].running_mean.fill_(3)
    target = toys.toy_target(toys.TinyCNN, layers=("stem", "deep"))
    before = weights_fingerprint(target.module)
    fresh = untrained(target, seed=1)
    assert weights_fingerprint(target.module) == before == target.fingerprint
    assert fresh.name == "TinyCNN (untrained)"
    assert fresh.notes == ("untrained: every part initialised anew, seed 1",)
    assert (fresh.layers, fresh.preprocess) == (target.layers, target.preprocess)
    assert fresh.fingerprint == weights_fingerprint(fresh.module) != target.fingerprint
    for (name, old), new in zip(target.module.named_parameters(), fresh.module.parameters(), strict=True):
        if old.ndim > 1:
            assert not torch.equal(old, new), name
    assert not fresh.module.training
    again = load_target(toys.seeded(toys.TinyCNN), preprocess=toys.PREPROCESS, untrained=1)
    assert again.fingerprint == fresh.fingerprint  # whatever it had learnt
    assert untrained(target, seed=2).fingerprint != fresh.fingerprint


def test_statistics_of_batch_norm_start_anew_and_the_random_state_stays():
    module = toys.seeded(toys.TinyCNN)
    module.deep[1].running_mean.fill_(3)
    module.deep[1].num_batches_tracked.fill_(9)
    state = torch.random.get_rng_state()
    fresh = load_target(module, preprocess=toys.PREPROCESS, untrained=0).module.deep[1]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (fresh.running_mean.tolist(), fresh.running_var.tolist()) == ([0.0] * 6, [1.0] * 6)
    assert fresh.num_batches_tracked == 0


def test_what_no_reset_reaches_is_shuffled_or_told():
    module = Odd()
    fresh = own(module, untrained=3)
    token = fresh.module.token.flatten()
    assert not torch.equal(token, module.token.flatten())
    assert torch.equal(token.sort().values, torch.arange(60.0))
    assert fresh.notes[1:] == (
        "untrained: no reset_parameters sets token; trained values in random order",
        "untrained: kept as trained: temperature, typical",
    )
    frozen = fresh.module.frozen
    assert [float(b[0]) for b in (frozen.weight, frozen.bias, frozen.running_mean, frozen.running_var)] == [1, 0, 0, 1]
    assert not torch.equal(fresh.module.attention.in_proj_weight, module.attention.in_proj_weight)
    assert fresh.module.position.tolist() == [0, 1, 2, 3]
    assert all(parameter.isfinite().all() for parameter in fresh.module.parameters())


@pytest.mark.parametrize(
    ("name", "shuffled"), [("timm/efficientnet_b0", 0), ("timm/resnet10t", 0), ("timm/vit_tiny_patch16_224", 2)]
)
def test_networks_of_timm(name, shuffled):
    options = {"img_size": 32} if "vit" in name else {}
    trained = load_target(name, preprocess=PIXELS, **options)
    with torch.no_grad():
        for parameter in trained.module.parameters():
            parameter.fill_(0.5)  # as a training might have left it
    fresh = untrained(trained, seed=0)
    left = [name for name, parameter in fresh.module.named_parameters() if bool((parameter == 0.5).all())]
    assert len(left) == shuffled  # a shuffled half stays a half
    assert bool(shuffled) == ("trained values in random order" in " ".join(fresh.notes))
    assert fresh.module(torch.rand(2, 3, 32, 32)).isfinite().all()


def test_mammo_clips_tower_can_be_named_untrained():
    """Signals fade to 1e-11 through its 23 blocks; neurons still differ from image to image, which is all a ranking needs."""
    from mdissect.hooks import record
    from mdissect.models.efficientnet import VARIANTS, build_tower
    from mdissect.similarity import nameable

    target = load_target(build_tower(VARIANTS["b2"]), preprocess=PIXELS, layers=["blocks.6.1"])
    fresh = untrained(target, seed=0)
    assert fresh.notes == ("untrained: every part initialised anew, seed 0",)
    with torch.inference_mode(), record(fresh.module, ["blocks.6.1"]) as recorded:
        fresh.module(torch.rand(4, 3, 64, 64))
    finite, constant = nameable(recorded["blocks.6.1"])
    assert finite.all()
    assert not constant.any()


def test_seeds_and_empty_networks():
    target = toys.toy_target()
    with pytest.raises(ValueError, match="untrained=True must be a whole number, 0 or more"):
        load_target(target, untrained=True)
    with pytest.raises(ValueError, match=r"random_projection=0\.5 must be a whole number, 0 or more"):
        load_dissector(toys.RowDissector(), random_projection=0.5)
    with pytest.raises(ValueError, match="target 'own' has no parameters"):
        load_target(nn.Identity(), preprocess=PIXELS, layers=["own"], name="own", untrained=0)


def test_a_random_projection_keeps_likeness_within_a_side_and_loses_it_across():
    rows = toys.RowDissector()
    scrambled, batch = random_projection(rows, seed=0), torch.rand(40, 1, toys.SIDE, toys.SIDE) ** 4
    before, images = rows.embed_images(batch), scrambled.embed_images(batch)
    texts = scrambled.embed_texts(toys.CONCEPTS)
    for unit in (images, texts):
        torch.testing.assert_close(unit.norm(dim=1), torch.ones(len(unit)))
    within = np.corrcoef((images @ images.T).flatten(), (before @ before.T).flatten())[0, 1]
    across = np.corrcoef((images @ texts.T).flatten(), (before @ rows.embed_texts(toys.CONCEPTS).T).flatten())[0, 1]
    assert within > 0.5
    assert abs(across) < 0.35
    torch.testing.assert_close(random_projection(rows, seed=0).embed_images(batch), images)
    assert not torch.allclose(random_projection(rows, seed=1).embed_images(batch), images, atol=0.1)


def test_a_random_projection_is_known_for_what_it_is(planted, probe):
    rows = toys.RowDissector()
    first, second = (random_projection(rows, seed) for seed in (0, 1))
    assert not first.aligned
    assert first.name == "rows (random projection)"
    assert "seed 0" in first.notes[-1]
    prints = [one for d in (rows, first, second) for one in (d.fingerprint, d.text_fingerprint)]
    assert len(set(prints)) == 6
    found = toys.toy_dissect(planted, first, probe)
    assert found.settings["dissector_aligned"] is False
    assert first.to("cpu") is first


def test_the_oracle_can_be_scrambled_too(probe):
    oracle = load_dissector("labels", probe=probe, column="row", random_projection=4)
    assert not oracle.needs_pixels
    assert oracle.encode_ids(probe.ids[:3]).shape == (3, toys.SIDE + 1)


@pytest.mark.slow
def test_labels_of_a_scrambled_dissector_are_right_by_chance(planted, probe):
    """Over 20 seeds: the rows that the planted neurons answer to are found as often as a guess finds them."""
    true = toys.toy_dissect(planted, probe=probe)
    rows = [f"row {i}" for i in toys.PLANTED]
    assert true.labels().concept[:8].tolist() == rows
    right = []
    for seed in range(20):
        found = toys.toy_dissect(planted, random_projection(toys.RowDissector(), seed), probe)
        right.append((found.labels().concept[:8].to_numpy() == rows).mean())
    assert np.mean(right) == pytest.approx(1 / 8, abs=0.1)


def test_one_label_for_all(planted, probe):
    found = toys.toy_dissect(planted, probe=probe)
    same = constant_label(found, "row 3")
    named = same.labels().query("concept != ''")
    assert set(named.concept) == {"row 3"}
    calibrated = replace(found, trusted=found.labels(), settings={**found.settings, "calibrated": {"q": 0.05}})
    pd.testing.assert_frame_equal(constant_label(calibrated, "row 3").labels(), same.labels())
    assert named.neuron.tolist() == found.labels().query("concept != ''").neuron.tolist()
    np.testing.assert_array_equal(same.similarity["neurons"][:, 3], found.similarity["neurons"][:, 3])
    tau = thresholds(same)
    assert learned(same, tau).concept.tolist() == ["row 3"]
    assert missed(same, tau).concept.tolist() == [name for name in toys.CONCEPTS if name != "row 3"]
    assert count_concepts(same, tau).concepts.sum() == 1
    shared = compare(same, found, tau).set_index("concept")["in"]
    assert (shared["row 3"], shared.drop("row 3").unique().tolist()) == ("both", ["second"])
    with pytest.raises(ValueError, match="these are by 'constant label'"):
        same.labels(q=0.05)
    with pytest.raises(ValueError, match=r"the concept set has no 'row 33' \(closest: row 3,"):
        constant_label(found, "row 33")


def test_by_default_the_most_common_passing_label(planted, probe):
    found = toys.toy_dissect(planted, probe=probe)
    found.similarity["neurons"][:, 5] += 100
    found.similarity["neurons"][0, 2] += 300
    passing = with_verdict(found, thresholds(found)).query("passes")
    assert passing.concept.value_counts()["row 5"] > 1
    assert constant_label(found).settings["constant_label"] == "row 5"


def test_setups_of_a_study():
    setup = Setup("demo/mammo", "demo/mammo", "implants", target_options={"layers": ["bn2"]}, top_k=7)
    setups = {"M": setup, "M on implants": replace(setup, probe="mammograms")}
    assert baseline_setup("M untrained", setups, seed=3) == replace(setup, target_options={"layers": ["bn2"], "untrained": 3})
    assert baseline_setup("M random dissector", setups, seed=3) == replace(setup, dissector_options={"random_projection": 3})
    assert baseline_setup("M on implants constant", setups) == replace(setup, probe="mammograms", constant=True)
    for wrong in ("M", "untrained", "G untrained", "Muntrained"):
        with pytest.raises(ValueError, match=f"baseline '{wrong}' is not of a setup: .* M, M on implants, .* 'M untrained'"):
            baseline_setup(wrong, setups)


@pytest.mark.slow
def test_the_demo_beside_its_baselines():
    """Trained neurons have more labels better than chance than untrained ones; a scrambled dissector is right by chance."""
    probe = load_probe("phantom", n_images=200, seed=7)
    setup = Setup("demo/mammo", "demo/mammo", target_options={"layers": ["bn2"]})
    found = {}
    setups = {"M": setup} | {name: baseline_setup(name, {"M": setup}) for name in ("M untrained", "M random dissector")}
    for name, one in setups.items():
        target = load_target(one.target, **one.target_options)
        dissector = load_dissector(one.dissector, **one.dissector_options)
        found[name] = dissect(target, dissector, probe, load_concepts("mammography"), top_k=10, options=toys.SMALL)
    found["M constant"] = constant_label(found["M"], "dense breast")
    table = compare_baselines(found, "bn2", top=10, n_null=200).set_index("setup")
    assert table.kind.tolist() == ["model", "untrained", "random dissector", "constant"]
    assert table.better["M untrained"] < table.better["M"] - 0.2
    assert table.concepts["M untrained"] < table.concepts["M"] / 2
    assert table.threshold["M untrained"] < table.threshold["M"]
    assert table.lift["M"] > 2
    assert table.lift["M random dissector"] < 1.5
    assert np.isnan(table.better["M constant"])
    assert table.prevalence["M constant"] == pytest.approx(probe.table.density.isin(["C", "D"]).mean())
    with pytest.raises(ValueError, match="no layer 'bn3'; there are bn2"):
        compare_baselines(found, "bn3")
