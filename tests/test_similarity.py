"""Tests of the similarity functions: against published values, a literal loop, and the laws they obey."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdissect import rankings
from mdissect import similarity as module
from mdissect.similarity import (
    SIMILARITIES,
    cos_similarity,
    cos_similarity_cubed,
    has_contrast,
    log_likelihood,
    rank_reorder,
    soft_wpmi,
    subtract_prior,
    tied_neurons,
    top_images,
    wpmi,
)

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "similarity.npz"
OPTIONS = {
    "soft_wpmi": {"top_k": 7},
    "wpmi": {"top_k": 5},
    "rank_reorder": {"top_fraction": 0.3},
    "contrastive": {"top_k": 7},
    "top_auc": {"top_k": 7},
}


def random_inputs(n_images=30, n_concepts=9, n_neurons=6, seed=0, dtype=torch.float32):
    """Similarities like a dissector's cosines, and activations without ties."""
    rng = np.random.default_rng(seed)
    sims = rng.uniform(-0.2, 0.6, (n_images, n_concepts))
    activations = rng.permuted(np.tile(np.linspace(-1, 2, n_images), (n_neurons, 1)), axis=1).T * rng.uniform(0.5, 2, n_neurons)
    return torch.tensor(sims, dtype=dtype), torch.tensor(activations, dtype=dtype)


def literal_pmi(sims, activations, top_k, a, lam, weights, min_prob):
    """Equation 1, neuron by neuron, concept by concept, rank by rank, in double precision."""
    sims, activations = sims.double().numpy(), activations.double().numpy()
    p = np.exp(a * sims) / np.exp(a * sims).sum(axis=1, keepdims=True)
    likelihood = np.zeros((activations.shape[1], sims.shape[1]))
    for k, m in np.ndindex(*likelihood.shape):
        for r, i in enumerate(sorted(range(len(sims)), key=lambda i: -activations[i, k])[:top_k]):
            likelihood[k, m] += np.log(1 + weights[r] * (p[i, m] - 1) + min_prob)
    prior = np.log(np.exp(likelihood - likelihood.max(axis=0)).sum(axis=0)) + likelihood.max(axis=0) - np.log(len(likelihood))
    return likelihood - lam * prior


def literal_rank_reorder(sims, activations, top_fraction, p, scale_p):
    """The method's steps for one neuron and concept at a time; the chance error as the mean over all pairs."""
    sims, activations = sims.double().numpy(), activations.double().numpy()
    n_top = max(2, int(len(sims) * top_fraction))
    result = np.zeros((activations.shape[1], sims.shape[1]))
    for k, m in np.ndindex(*result.shape):
        top = sorted(range(len(sims)), key=lambda i: -activations[i, k])[:n_top]
        values = [activations[i, k] for i in top]
        reordered = np.zeros(n_top)
        for rank, position in enumerate(sorted(range(n_top), key=lambda j: -sims[top[j], m])):
            reordered[position] = values[rank]
        error = np.mean(np.abs(np.array(values) - reordered) ** p)
        chance = np.mean([abs(v - w) ** p for v in values for w in values])
        result[k, m] = -error / chance / max(np.mean([sims[i, m] for i in top]), 1e-6) ** scale_p
    return result


@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden values beside the repository")
@pytest.mark.parametrize("name", ["soft_wpmi", "wpmi", "cos_similarity", "cos_similarity_cubed"])
def test_equals_the_published_implementation(name):
    golden = np.load(GOLDEN)
    sims, activations = torch.from_numpy(golden["clip_feats"]), torch.from_numpy(golden["activations"])
    options = {"top_k": int(golden["top_k"])} if name == "soft_wpmi" else {}
    found = SIMILARITIES[name](sims, activations, **options).numpy()
    np.testing.assert_allclose(found, golden[name], rtol=1e-5, atol=2e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), golden[name].argmax(axis=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("top_k", "a", "lam", "p_start", "p_end"),
    [
        (7, 10.0, 1.0, 0.998, 0.97),  # the defaults
        (13, 2.0, 0.6, 0.998, 0.97),  # a number of ranks that no power of two divides
        (1, 10.0, 1.0, 0.998, 0.97),
        (30, 10.0, 1.0, 0.998, 0.97),  # every image is a top image
        (7, 10.0, 0.0, 0.5, 0.1),
        (7, 60.0, 1.0, 1.0, 1.0),  # probabilities near 0 with nothing but min_prob to hold the logarithm
        (7, 10.0, 1.0, 1.0, 0.0),
        (7, 10.0, 1.0, 0.0, 0.0),  # no image says anything
    ],
)
def test_soft_wpmi_equals_a_literal_loop(top_k, a, lam, p_start, p_end, dtype):
    sims, activations = random_inputs(dtype=dtype)
    weights = [p_start - r / top_k * (p_start - p_end) for r in range(top_k)]
    found = soft_wpmi(sims, activations, top_k, a, lam, p_start, p_end)
    assert found.dtype == dtype
    expected = literal_pmi(sims, activations, top_k, a, lam, weights, 1e-7)
    np.testing.assert_allclose(found, expected, atol=1e-9 if dtype == torch.float64 else 2e-4)


@pytest.mark.parametrize(("top_k", "a", "lam"), [(28, 2.0, 0.6), (5, 40.0, 1.0)])
def test_wpmi_equals_a_literal_loop(top_k, a, lam):
    sims, activations = random_inputs(dtype=torch.float64)
    expected = literal_pmi(sims, activations, top_k, a, lam, np.ones(top_k), 1e-7)
    np.testing.assert_allclose(wpmi(sims, activations, top_k, a, lam), expected, atol=1e-9)


@pytest.mark.parametrize(("top_fraction", "p", "scale_p"), [(0.05, 3.0, 0.5), (0.3, 3.0, 0.5), (1.0, 1.0, 0.0)])
def test_rank_reorder_equals_a_literal_loop(top_fraction, p, scale_p):
    sims, activations = random_inputs(dtype=torch.float64)
    expected = literal_rank_reorder(sims, activations, top_fraction, p, scale_p)
    np.testing.assert_allclose(rank_reorder(sims, activations, top_fraction, p, scale_p), expected, atol=1e-9)


def test_rank_reorder_knows_nothing_better_than_the_same_order():
    activations = torch.linspace(-1, 1, 20)[:, None]
    sims = torch.stack([torch.linspace(0.1, 0.5, 20), torch.linspace(0.5, 0.1, 20)], dim=1)
    same, reverse = rank_reorder(sims, activations, top_fraction=0.5)[0]
    assert same == 0 > reverse
    assert rank_reorder(sims, torch.ones(20, 1)).tolist() == [[-torch.inf, -torch.inf]]


def test_cosines_by_hand():
    sims = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    activations = torch.tensor([[3.0, 0.0, 2.0], [4.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    np.testing.assert_allclose(cos_similarity(sims, activations), [[0.6, 0], [0, 0], [3**-0.5, 0]], rtol=1e-6)
    centred, wanted = np.array([2 / 3, 5 / 3, -7 / 3]) ** 3, np.array([2 / 3, -1 / 3, -1 / 3]) ** 3
    expected = centred @ wanted / np.linalg.norm(centred) / np.linalg.norm(wanted)
    np.testing.assert_allclose(cos_similarity_cubed(sims, activations), [[expected, 0], [0, 0], [0, 0]], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", SIMILARITIES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_permuting_images_neurons_or_concepts_permutes_the_result(name, data):
    seed, n_images = data.draw(st.integers(0, 10**6)), data.draw(st.integers(8, 40))
    n_concepts, n_neurons = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 7))
    sims, activations = random_inputs(n_images, n_concepts, n_neurons, seed, torch.float64)
    images, concepts, neurons = (
        data.draw(st.permutations(range(n)).map(torch.tensor)) for n in (n_images, n_concepts, n_neurons)
    )
    function, options = SIMILARITIES[name], OPTIONS.get(name, {})
    expected = function(sims, activations, **options)[neurons][:, concepts]
    permuted = function(sims[images][:, concepts], activations[images][:, neurons], **options)
    np.testing.assert_allclose(permuted, expected, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_extreme_options_give_finite_numbers(data):
    n_images, top_k = data.draw(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
    sims, activations = random_inputs(n_images, data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    activations += data.draw(st.sampled_from([0, 1e30]))
    options = {"a": data.draw(st.sampled_from([1e-3, 10.0, 1000.0])), "lam": data.draw(st.sampled_from([0.0, 1.0]))}
    ends = {"p_start": data.draw(st.sampled_from([0.0, 0.998, 1.0])), "p_end": data.draw(st.sampled_from([0.0, 0.97, 1.0]))}
    found = soft_wpmi(sims, activations, top_k, **options, **ends)
    assert found.shape == (activations.shape[1], sims.shape[1])
    assert found.isfinite().all()
    assert wpmi(sims, activations, top_k, **options).isfinite().all()


@pytest.mark.parametrize("name", ["soft_wpmi", "wpmi", "rank_reorder"])
def test_the_size_of_blocks_changes_nothing(name, monkeypatch):
    sims, activations = random_inputs(40, 9, 23)
    whole = SIMILARITIES[name](sims, activations, **OPTIONS[name])
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    monkeypatch.setattr(rankings, "NEURONS_AT_A_TIME", 2)
    assert torch.equal(SIMILARITIES[name](sims, activations, **OPTIONS[name]), whole)


def test_the_inputs_stay_as_they_are():
    sims, activations = random_inputs()
    copies = sims.clone(), activations.clone()
    for name, function in SIMILARITIES.items():
        function(sims, activations.requires_grad_(), **OPTIONS.get(name, {}))
    assert torch.equal(sims, copies[0])
    assert torch.equal(activations, copies[1])


def test_likelihood_and_prior_make_soft_wpmi():
    sims, activations = random_inputs()
    likelihood = log_likelihood(sims, activations, top_k=7)
    assert (likelihood < 0).all()
    assert likelihood.dtype == torch.float64
    assert torch.equal(subtract_prior(likelihood, 0.5).float(), soft_wpmi(sims, activations, top_k=7, lam=0.5))
    assert torch.equal(subtract_prior(likelihood[:1], 1.0), torch.zeros(1, 9))  # a layer's only neuron is its own prior


def test_the_concept_of_a_neurons_images_wins():
    sims = torch.full((40, 5), 0.1)
    activations = torch.rand(40, 5, generator=torch.Generator().manual_seed(0))
    for concept in range(5):
        sims[concept * 8 : concept * 8 + 8, concept] = 0.4
        activations[concept * 8 : concept * 8 + 8, concept] += 1
    for name in ("soft_wpmi", "wpmi"):
        assert SIMILARITIES[name](sims, activations, top_k=8).argmax(dim=1).tolist() == [0, 1, 2, 3, 4], name


def test_top_images_fall_in_activation():
    activations = torch.tensor([[0.5, -1.0], [2.0, -4.0], [-3.0, -2.0], [1.0, -3.0]])
    assert top_images(activations, 3).tolist() == [[1, 3, 0], [0, 2, 3]]
    assert top_images(activations, 4).tolist() == [[1, 3, 0, 2], [0, 2, 3, 1]]


@pytest.mark.parametrize("top_k", [1, 3, 7, 40, 300])
def test_of_tied_images_the_earlier_one_comes_first(top_k):
    """Whole numbers, rectified: many exact ties, at the last place too; numpy's partition leaves them in any order."""
    activations = torch.randint(-6, 4, (300, 50), generator=torch.Generator().manual_seed(3)).float().clamp(min=0)
    expected = activations.T.argsort(dim=1, descending=True, stable=True)[:, :top_k]
    assert top_images(activations, top_k).equal(expected)


@pytest.mark.parametrize("top_k", [20, 300])
def test_single_precision_inputs_give_the_exact_value(top_k):
    generator = torch.Generator().manual_seed(0)
    sims, activations = torch.randn(300, 40, generator=generator) / 8, torch.randn(300, 64, generator=generator)
    exact = soft_wpmi(sims.double(), activations.double(), top_k)
    found = soft_wpmi(sims, activations, top_k)
    assert found.dtype == torch.float32
    assert float((found.double() - exact).abs().max() / exact.abs().max()) < 1e-6  # 1e-7 to 2e-7 over seeds


def test_tied_neurons_are_those_whose_choice_was_arbitrary():
    activations = torch.tensor([[5.0, 5.0, 0.0], [4.0, 0.0, 0.0], [4.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    expected = {1: [False, False, True], 2: [True, True, True], 3: [False, True, True], 4: [False, False, False]}
    assert {top_k: tied_neurons(activations, top_k).tolist() for top_k in expected} == expected


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("activations", torch.nan, "activations holds NaN or infinite values in 1 of 6 columns: 3"),
        ("activations", -torch.inf, "activations holds NaN or infinite values in 1 of 6 columns: 3"),
        ("sims", torch.inf, "image_concept_sims holds NaN or infinite values in 1 of 9 columns: 3"),
        ("sims", torch.nan, "image_concept_sims holds NaN or infinite values in 1 of 9 columns: 3"),
    ],
)
def test_values_that_are_no_numbers_are_refused(name, where, value, message):
    sims, activations = random_inputs()
    {"sims": sims, "activations": activations}[where][17, 3] = value
    with pytest.raises(ValueError, match=message):
        SIMILARITIES[name](sims, activations, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize(
    ("sims", "activations", "message"),
    [
        ((30, 9), (29, 6), "image_concept_sims has 30 images, activations 29"),
        ((30, 9), (30,), r"activations must be \(n_images, n\) and not empty, got shape \(30,\)"),
        ((30, 0), (30, 6), r"image_concept_sims must be \(n_images, n\) and not empty, got shape \(30, 0\)"),
        ((0, 9), (0, 6), r"image_concept_sims must be .* got shape \(0, 9\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, sims, activations, message):
    with pytest.raises(ValueError, match=message):
        SIMILARITIES[name](torch.zeros(sims), torch.zeros(activations), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float16,) * 2, (torch.int64,) * 2])
def test_other_types_than_single_and_double_precision_are_refused(name, dtypes):
    sims, activations = random_inputs()
    with pytest.raises(TypeError, match=f"both be float32 or both float64, got {dtypes[0]} and {dtypes[1]}"):
        SIMILARITIES[name](sims.to(dtypes[0]), activations.to(dtypes[1]), **OPTIONS.get(name, {}))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (soft_wpmi, {"top_k": 31}, "top_k=31 exceeds the 30 probe images; lower top_k"),
        (wpmi, {"top_k": 31}, "top_k=31 exceeds the 30 probe images; lower top_k"),
        (soft_wpmi, {"top_k": 0}, "top_k=0 must be a whole number, 1 or more"),
        (soft_wpmi, {"top_k": 3, "p_start": 1.1}, "p_start=1.1 must be a number at least 0 and at most 1"),
        (soft_wpmi, {"top_k": 3, "p_end": -0.1}, "p_end=-0.1 must be a number at least 0 and at most 1"),
        (rank_reorder, {"top_fraction": 1.5}, "top_fraction=1.5 must be a number above 0 and at most 1"),
    ],
)
def test_options_out_of_range_are_refused(function, options, message):
    with pytest.raises(ValueError, match=message):
        function(*random_inputs(), **options)


@pytest.mark.parametrize("n_images", [5, 200])
def test_contrast_is_what_images_say_of_concepts(n_images):
    generator = torch.Generator().manual_seed(0)
    of_images = torch.rand(n_images, 1, generator=generator)
    of_concepts = torch.rand(7, generator=generator)
    assert has_contrast(torch.rand(n_images, 7, generator=generator))
    assert has_contrast(of_images)  # a single concept
    assert not has_contrast(of_images + of_concepts)  # the same concept is ahead in every image
    assert not has_contrast(torch.full((n_images, 7), 0.3))
    last = of_images + of_concepts
    last[-1, 0] += 0.01  # one image tells one concept from the others
    assert has_contrast(last)
