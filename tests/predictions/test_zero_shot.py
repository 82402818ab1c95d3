"""Findings told from pairs of texts: cosines, their softmax without a scale, ensembles, and the truth."""

import numpy as np
import pytest
import torch
import toys
from predicted import breasts
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from mdissect.embed import embed_probe
from mdissect.models import load_dissector
from mdissect.predictions import zero_shot
from mdissect.probes import load_probe

pytestmark = pytest.mark.slow

PAIR = {"first": ("row 0", "row 1")}


def of(probe=None, prompts=PAIR, dissector=None, **options):
    given = {"options": toys.SMALL, "device": "cpu"} | options
    return zero_shot(dissector or toys.RowDissector(), breasts() if probe is None else probe, prompts, **given)


def embeddings(probe) -> np.ndarray:
    """Each image alone, (n, 8) float64."""
    dissector = toys.RowDissector()
    return np.concatenate([dissector.embed_images(dissector.preprocess(probe[i])[None]).double() for i in range(len(probe))])


def test_scores_are_differences_of_cosines_and_their_softmax():
    probe = breasts()
    found, rows = of(probe), embeddings(probe)
    np.testing.assert_allclose(found.images.difference_first, rows[:, 0] - rows[:, 1], atol=1e-6)
    exps = np.exp(rows[:, :2])
    np.testing.assert_allclose(found.images.probability_first, exps[:, 0] / exps.sum(axis=1), atol=1e-6)
    assert (found.images.difference_first.rank() == found.images.probability_first.rank()).all()
    assert found.images.index.tolist() == probe.ids
    assert found.images.columns.tolist() == ["patient", "laterality", "view", "difference_first", "probability_first"]


@pytest.mark.parametrize(
    "prompts",
    [
        {"first": (["row 0", "row 2"], "row 1")},
        "first = row 0; row 2 | row 1",
        ["first=row 0;row 2|row 1"],
        [(("row 0", "row 2"), ["row 1"])],
    ],
)
def test_of_several_texts_a_side_the_mean_direction_counts(prompts):
    probe = breasts()
    found, rows = of(probe, prompts), embeddings(probe)
    name = "first" if "first" in str(prompts) else "row_0"
    side = (rows[:, 0] + rows[:, 2]) / np.sqrt(2)
    np.testing.assert_allclose(found.images[f"difference_{name}"], side - rows[:, 1], atol=1e-6)


def test_a_table_of_prompts_is_read(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("finding,positive,negative\nfirst,row 0,row 1\nfirst,row 2,\n,row 4,row 5\n")
    found = of(prompts=path)
    assert found.settings["prompts"] == {
        "first": {"positive": ["row 0", "row 2"], "negative": ["row 1"]},
        "row 4": {"positive": ["row 4"], "negative": ["row 5"]},
    }
    whole = of(prompts={"first": (["row 0", "row 2"], "row 1"), "row 4": ("row 4", "row 5")})
    assert found.images.equals(whole.images)
    assert of(prompts=str(path)).images.equals(whole.images)


def test_each_finding_has_its_own_truth():
    probe = breasts(80, second=np.arange(80) % 8 == 1)
    found = of(probe, {"first": ("row 0", "row 3"), "second": ("row 1", "row 3")}, truth={"second": "second"})
    assert set(found.scores.question) == {"second"}
    scores = found.scores.set_index(["level", "by"])
    truth, score = probe.table["second"].to_numpy(), found.images.difference_second
    assert scores.auc["image", ""] == pytest.approx(roc_auc_score(truth, score))
    assert scores.n.tolist() == [80, 40, 40, 20, 20]
    alone = of(probe, PAIR, truth="first")
    assert len(alone.scores) == 5
    assert alone.breasts.columns.tolist() == [
        "patient",
        "laterality",
        "images",
        "probability_first_mean",
        "probability_first_max",
    ]


def test_image_embeddings_are_those_of_a_dissection(tmp_path):
    probe, dissector = toys.toy_probe(150), toys.RowDissector()
    embed_probe(toys.toy_target(), dissector, probe, ["neurons"], store=tmp_path, device="cpu", options=toys.SMALL)
    dissector.batches.clear()
    found = of(probe, dissector=dissector, store=tmp_path)
    assert dissector.batches == []
    other = of(probe, {"third": ("row 2", "row 3")}, dissector, store=tmp_path)
    assert dissector.batches == []
    assert found.images.equals(of(probe).images)
    np.testing.assert_allclose(other.images.difference_third, np.diff(embeddings(probe)[:, [3, 2]]).ravel(), atol=1e-6)


def test_the_published_prompts_are_the_default():
    found = of(load_probe("phantom", n_images=2, size=(64, 48), cache=False), None, load_dissector("demo/mammo"))
    assert found.settings["prompts"] == {
        "mass": {"positive": ["mass"], "negative": ["no mass"]},
        "suspicious calcification": {"positive": ["suspicious calcification"], "negative": ["no suspicious calcification"]},
        "malignancy": {"positive": ["malignancy"], "negative": ["no malignancy"]},
    }
    assert found.images.columns[-2:].tolist() == ["difference_malignancy", "probability_malignancy"]


def test_towers_that_were_never_aligned_are_told():
    found = of(load_probe("phantom", n_images=2, size=(64, 48), cache=False), ["cat | dog"], load_dissector("demo/general"))
    assert "the two towers of demo/general were never aligned: the predictions are random" in found.notes


class Same(toys.RowDissector):
    def alike(self, texts):
        return [("row 0", "row 1")] if {"row 0", "row 1"} <= set(texts) else []


class Opposite(toys.RowDissector):
    def embed_texts(self, texts):
        return torch.stack([F.one_hot(torch.tensor(0), 8) * (-1.0) ** i for i in range(len(texts))])


class Broken(toys.RowDissector):
    def embed_images(self, batch):
        return super().embed_images(batch) * torch.nan


WRONG = [
    ({"prompts": "mass"}, "prompts='mass' is neither a pair such as 'mass | no mass'"),
    ({"prompts": "a|b|c"}, "prompts[0]='a|b|c' must be a pair of texts"),
    ({"prompts": "row 0|"}, "prompts[0], negative side=[] must be a list of str, at least one"),
    ({"prompts": "|row 0"}, "prompts[0], positive side=[] must be a list of str, at least one"),
    ({"prompts": " = row 0|row 1"}, "prompts[0]: a finding is named by a text"),
    ({"prompts": ["row 0 | row 0"]}, "'row 0' stands on both sides"),
    ({"prompts": []}, "prompts=[] must hold one pair at least"),
    ({"prompts": {}}, "prompts={} must hold one pair at least"),
    ({"prompts": 5}, "prompts=5 must be texts such as 'mass | no mass'"),
    ({"prompts": [5]}, "prompts[0]=5 must be (positive, negative), or a text"),
    ({"prompts": {"a": ("row 0",)}}, "prompts['a']=('row 0',) must be (positive, negative)"),
    ({"prompts": {"a": ("row 0", 3)}}, "prompts['a'], negative side=3 must be a list of str"),
    ({"prompts": {"": ("row 0", "row 1")}}, "a finding is named by a text"),
    ({"prompts": {3: ("row 0", "row 1")}}, "a finding is named by a text"),
    ({"prompts": ["row 0|row 1", "row 0|row 2"]}, "prompts has the finding 'row 0' twice"),
    ({"prompts": ["a=row 0|row 1", "A=row 0|row 2"]}, "prompts has the finding 'a' twice"),
    ({"truth": "cancer"}, "truth='cancer' is no column of probe 'breasts'"),
    ({"truth": {"second": "first"}}, "truth names 'second', but the findings are first"),
    ({"truth": {"first": 3}}, "truth['first']=3 must be a str"),
    ({"truth": 3}, "truth=3 must be a str or Mapping"),
    ({"truth": "row"}, "'2' is not one of the classes no first, first, or yes or no"),
    ({"prompts": None, "truth": "first"}, "truth='first' is one column for 3 findings; give a mapping"),
    ({"dissector": "demo/mammo"}, "dissector='demo/mammo' must be a Dissector"),
    ({"dissector": Same()}, "prompts of 'first': 'row 0' and 'row 1' are the same to dissector 'rows'; reword one of them"),
    ({"dissector": Opposite(), "prompts": "row 0;row 1|row 2"}, "the embeddings of one side cancel out"),
    ({"dissector": Broken()}, "dissector 'rows' gives embeddings that are not finite, the first for image 'DOE-000_0.png'"),
    ({"probe": 3}, "probe=3 must be a Probe"),
    ({"device": "gpu"}, "device='gpu' must be one of"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_inputs_are_one_error(given, message):
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        of(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding,positive\na,row 0\n", "has no column negative; it has finding, positive"),
        ("finding,positive,negative\na,row 0,\n", "finding 'a' has no negative text"),
        ("finding,positive,negative\na,,row 0\n", "finding 'a' has no positive text"),
        ("finding,positive,negative\n,,row 0\n", "line 2: neither finding nor positive is given"),
        ("positive,negative\n", "has columns, but no rows"),
        ("", "is empty"),
    ],
)
def test_wrong_tables_of_prompts(tmp_path, text, message):
    (tmp_path / "prompts.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        of(prompts=tmp_path / "prompts.csv")
