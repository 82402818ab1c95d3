"""Bad arguments of every public function: one error that names the argument, whatever was given in its place."""

import importlib
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import toys
from made_up import dissected
from torch import nn

import mdissect
from mdissect import analysis, calibrate, localize, plots, similarity, study, trust
from mdissect.chance import random_rankings
from mdissect.concepts import ConceptSet, load_concepts
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.explorers import Notes
from mdissect.hooks import record
from mdissect.models import load_dissector, load_target, resolve_device
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe, load_probe
from mdissect.similarity import SoftWPMIOptions, rank_reorder, soft_wpmi, wpmi
from mdissect.store import open_store
from mdissect.study.pairs import compare_pair
from mdissect.train.recipe import Augment, Recipe, Running
from mdissect.trust import planted

NAN, INF = float("nan"), float("inf")
FACES = (
    "mdissect", "mdissect.analysis", "mdissect.atlas", "mdissect.calibrate", "mdissect.chance", "mdissect.concepts",
    "mdissect.evaluate", "mdissect.explorers", "mdissect.hooks", "mdissect.labels", "mdissect.localize", "mdissect.metrics",
    "mdissect.models", "mdissect.plots", "mdissect.predictions", "mdissect.probes", "mdissect.sae", "mdissect.similarity",
    "mdissect.streaming", "mdissect.study", "mdissect.study.cases", "mdissect.study.claims", "mdissect.study.coverage",
    "mdissect.study.evaluation_sentences", "mdissect.study.findings", "mdissect.study.prediction_sentences", "mdissect.train",
    "mdissect.trust", "mdissect.trust.planted",
)  # fmt: skip
PARTS_OF_LOADERS = "a part of the loaders, which check what they are given"
UNCHECKED = {
    "as_layers": "is itself a check",
    "build_image_text": PARTS_OF_LOADERS,
    "closest": "a hint within messages",
    "dataset_folder": PARTS_OF_LOADERS,
    "default_config": PARTS_OF_LOADERS,
    "demo_folder": PARTS_OF_LOADERS,
    "dissector_options": PARTS_OF_LOADERS,
    "files_digest": PARTS_OF_LOADERS,
    "has_word": "called for every word of every concept; any text will do",
    "joint_fingerprint": PARTS_OF_LOADERS,
    "load_weights": PARTS_OF_LOADERS,
    "most_abnormal": "a part of the readers of tables",
    "locations_file": "takes nothing",
    "percent": "called for every cell of a table; any number will do",
    "pool_neurons": "called for every batch; `record` checks",
    "read_checkpoint": PARTS_OF_LOADERS,
    "read_config": PARTS_OF_LOADERS,
    "read_state_dict": PARTS_OF_LOADERS,
    "recognise": PARTS_OF_LOADERS,
    "register_dissector": "for authors of loaders",
    "register_target": "for authors of loaders",
    "released_name": PARTS_OF_LOADERS,
    "resolve_device": "is itself a check",
    "same_as": "a part of `known_presence`",
    "save_demo": PARTS_OF_LOADERS,
    "save_demo_classifier": PARTS_OF_LOADERS,
    "store_dir": "takes nothing",
    "target_options": PARTS_OF_LOADERS,
    "top_k_or_auto": "is itself a check",
    "variant_key": "called for every word of every concept; any text will do",
    "weights_fingerprint": PARTS_OF_LOADERS,
    "whereabouts": PARTS_OF_LOADERS,
}
CHECKED_WITHIN = {"spec", "calibrated", "values"}  # arguments that a function checks in its own words; see the tables below


class Stranger:
    """Nothing that any function asks for."""


def public_functions() -> dict:
    """Name -> function: all those of the faces."""
    found = {}
    for face in FACES:
        module = importlib.import_module(face)
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == face]
        for name in getattr(module, "__all__", own):
            if inspect.isroutine(value := getattr(module, name)) and not name.startswith("_"):
                found[name] = value
    return found


FUNCTIONS = public_functions()
ARGUMENTS = [
    pytest.param(function, one, id=f"{name}-{one.name}")
    for name, function in FUNCTIONS.items()
    if hasattr(function, "plain")
    for one in inspect.signature(function).parameters.values()
    if one.kind is not one.VAR_KEYWORD and one.name not in CHECKED_WITHIN
]


def test_every_public_function_checks_its_arguments():
    """A new one gets the decorator `validated`, or a reason why not."""
    assert {name for name, function in FUNCTIONS.items() if not hasattr(function, "plain")} == set(UNCHECKED)


@pytest.mark.slow
@pytest.mark.parametrize(("function", "argument"), ARGUMENTS)
def test_nothing_is_taken_for_another_thing(function, argument):
    for bad in (Stranger(), 1j):
        with pytest.raises((TypeError, ValueError), match=argument.name):
            function.plain(argument.name, bad)


@pytest.mark.slow
@pytest.mark.parametrize(("function", "argument"), [one for one in ARGUMENTS if "int" in str(one.values[1].annotation).split()])
@pytest.mark.parametrize("bad", [2.5, True, "5", NAN])
def test_a_whole_number_is_asked_for_by_its_name(function, argument, bad):
    with pytest.raises((TypeError, ValueError), match=f"{argument.name}="):
        function.plain(argument.name, bad)


# Real calls: what was silent or raised errors of other libraries (real_cases.md 8, F3, F4), and more of these kinds.


@pytest.fixture(scope="module")
def found() -> Dissection:
    """A layer of 24 neurons on 80 images of 20 patients."""
    rng = np.random.default_rng(0)
    sims, neurons = rng.standard_normal((80, 6)), rng.standard_normal((80, 24))
    names = [f"concept {i}" for i in range(6)]
    return dissected(sims.astype(np.float32), neurons.astype(np.float32), names, top_k=8, per_patient=4)


@pytest.fixture(scope="module")
def dissect():
    """`mdissect.dissect` of the toys, with whatever else is given."""
    given = {
        "target": toys.toy_target(),
        "dissector": toys.RowDissector(),
        "probe": toys.toy_probe(),
        "concepts": toys.CONCEPTS,
    }
    return lambda **others: mdissect.dissect(**{"top_k": 10, "options": toys.SMALL, **given, **others})


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"target": "demo/mammo"}, "target='demo/mammo' must be a Target: load_target(...) makes one"),
        ({"target": nn.Linear(2, 2)}, "target=<Linear> must be a Target"),
        ({"dissector": toys.toy_target()}, "dissector=<Target> must be a Dissector: load_dissector(...) makes one"),
        ({"probe": "phantom"}, "probe='phantom' must be a Probe: load_probe(...) makes one"),
        ({"probe": np.zeros((3, 8, 8))}, "probe=<ndarray> must be a Probe"),
        ({"concepts": pd.DataFrame({"concept": ["mass"]})}, "concepts=<DataFrame> must be a list of str: ConceptSet(table)"),
        ({"concepts": "mammography"}, "concepts='mammography' must be a ConceptSet, load_concepts('mammography'), or a list"),
        ({"concepts": 5}, "concepts=5 must be a list of str"),
        ({"concepts": []}, "holds no concepts"),
        ({"concepts": ["mass", 3]}, "concepts=['mass', 3] must be a list of str; it holds 3"),
        ({"concepts": {"mass", "nipple"}}, "must be a list of str: a set has no order"),
        ({"concepts": {"mass": 1}}, "concepts={'mass': 1} must be a list of str"),
        ({"layers": []}, "layers=[] must be a list of str, at least one"),
        ({"layers": 3}, "layers=3 must be a list of str"),
        ({"layers": [""]}, "layers=[''] must be a list of str, none of them empty"),
        ({"similarity": soft_wpmi}, "similarity=<function> is not one of 'soft_wpmi', 'wpmi'"),
        ({"top_k": True}, "top_k=True must be a whole number, 1 or more"),
        ({"top_k": 5.0}, "top_k=5.0 must be a whole number, 1 or more"),
        ({"top_k": "5"}, "top_k='5' must be a whole number, 1 or more"),
        ({"top_k": None}, "top_k=None must be a whole number, 1 or more"),
        ({"top_k": "auto"}, "top_k='auto' must be a whole number, 1 or more"),
        ({"pool": ["mean"]}, "pool=['mean'] is not one of 'mean', 'max', 'cls'"),
        ({"store": ""}, "store='' is empty; give a folder or a file"),
        ({"store": 5}, "store=5 must be a Store or MemoryStore or str or PathLike"),
        ({"device": "gpu"}, "device='gpu' must be one of 'auto', 'cpu', 'cuda'"),
        ({"device": 0}, "device=0 must be a str or device"),
        ({"options": {"batch_size": 4}}, "must be a PassOptions: PassOptions(batch_size=...) makes one"),
        *(({"a": bad}, f"a={bad!r} must be a number above 0") for bad in (NAN, INF, -1, "10", True, None)),
        *(({"lam": bad}, f"lam={bad!r} must be a number at least 0") for bad in (NAN, -1, "x")),
        *(({"min_prob": bad}, f"min_prob={bad!r} must be a number at least 0 and below 1") for bad in (NAN, -1, INF)),
        ({"p_start": 1.5}, "p_start=1.5 must be a number at least 0 and at most 1"),
        ({"similarity": "rank_reorder", "p": -1}, "p=-1 must be a number above 0"),
        ({"similarity": "rank_reorder", "scale_p": NAN}, "scale_p=nan must be a finite number"),
    ],
)
def test_dissect_names_what_is_wrong_before_any_model_runs(dissect, others, message):
    target = toys.toy_target()
    seen = toys.Seen(target.module)
    with pytest.raises((TypeError, ValueError)) as caught:
        dissect(**{"target": target, **others})
    assert message in str(caught.value)
    assert not seen.images


def test_numbers_of_numpy_are_numbers(dissect):
    usual = dissect(a=5.0).similarity["neurons"]
    again = dissect(top_k=np.int64(10), a=np.float32(5), lam=np.int8(1), layers="neurons")
    assert np.array_equal(again.similarity["neurons"], usual, equal_nan=True)
    assert type(again.settings["top_k"]) is int


LAYERS = pd.DataFrame({"layer": ["deep"], "tau": [1.0]})
CALLS = [
    *(
        (lambda d, q=q: d.labels(q=q), f"q={q!r} must be a number above 0 and below 1")
        for q in (5, 2, -1, NAN, 0, "0.05", True)
    ),
    *((lambda d, q=q: d.calibrated(q), f"q={q!r} must be a number above 0 and below 1") for q in (5, NAN, None)),
    *((lambda d, top=top: d.labels(top), f"top={top!r} must be a whole number, 1 or more") for top in (0, -1, 1.5, "3", True)),
    *((lambda d, k=k: d.top_images("deep", 0, k), f"k={k!r} must be a whole number, 1 or more") for k in (0, -1, -3, 2.5)),
    (lambda d: d.top_images("deep", 0.5), "neuron=0.5 must be a whole number"),
    (lambda d: d.top_concepts(None), "top=None must be a whole number, 1 or more"),
    (lambda d: d.labels(q=0.05, n_null=2.5), "n_null=2.5 must be a whole number, 1 or more"),
    (lambda d: d.labels(q=0.05, seed=-1), "seed=-1 must be a whole number, 0 or more"),
    (lambda d: d.labels(q=0.05, store=""), "store='' is empty"),
    (lambda d: d.labels(q=0.05, stability=LAYERS), "stability has no column neuron, score; it has layer, tau"),
    (lambda d: d.to_csv(""), "path='' is empty"),
    (lambda d: d.to_csv("x.csv", images=-1), "images=-1 must be a whole number, 0 or more"),
    (lambda d: analysis.thresholds(d, rule=["top"]), "rule=['top'] is not one of 'top', 'all'"),
    (lambda d: analysis.thresholds(d, "top"), "dissections='top' must be a Dissection: dissect(...) makes one"),
    (lambda d: analysis.learned(d, 3.5), "thresholds=3.5 must be a DataFrame: analysis.thresholds(...) makes one"),
    (lambda d: analysis.learned(d, LAYERS), "thresholds has no column threshold; it has layer, tau"),
    (lambda d: analysis.count_concepts(d, analysis.thresholds(d), by=None), "by=None is not one of 'category'"),
    (lambda d: analysis.top_groups(pd.DataFrame({"layer": ["deep"]}), "concept"), "counts has no column concept; it has layer"),
    (lambda d: analysis.find_neurons(d, "concept", top=0), "top=0 must be a whole number, 1 or more"),
    (lambda d: analysis.find_neurons(d, 5), "word=5 must be a str"),
    (lambda d: analysis.share_among_strongest(d, pd.Series([True])), "marked lacks 80 images: image 0, image 1"),
    (lambda d: analysis.activation_auc(d, "deep", 0, pd.Series([True])), "shown has 1 images, the dissection 80"),
    (lambda d: analysis.compare(d, {"M": d}, LAYERS), "must be a Dissection: dissect(...) makes one"),
    (lambda d: analysis.learned(d, pd.concat([analysis.thresholds(d)] * 2)), "thresholds has several rows for layer deep"),
    (lambda d: analysis.learned(d, LAYERS.assign(threshold="high")), "thresholds has the column threshold of type"),
    (lambda d: trust.without_concepts(d, 5), "names=5 must be a list of str"),
    (lambda d: trust.compare_baselines({5: d}, "deep"), "a key of dissections=5 must be a str"),
    (lambda d: trust.agreement(d, labels=LAYERS), "labels has no column neuron, concept; it has layer, tau"),
    (lambda d: trust.label_precision(d, presence=[True]), "presence=[True] must be a DataFrame"),
    (lambda d: study.cases.neuron_case(d, None, None, ("deep", 0), "x", LAYERS), "target=None must be a Target"),
    (lambda d: study.coverage.task_counts({"M": d}, {}), "pairs={} must hold one pair at least"),
    (lambda d: study.coverage.task_counts({"M": d}, {"mass": "MC"}), "pairs['mass']='MC' must be a tuple"),
    (lambda d: study.coverage.covered(d, analysis.thresholds(d), by="kind"), "by='kind' is not one of 'category'"),
    (lambda d: study.classifier_scores(d, {}), "must be a Study: open_study(...) makes one"),
    (lambda d: study.claims.as_markdown([5]), "claims[0]=5 must be a Claim"),
    (lambda d: mdissect.explore(d, state=5), "state=5 must be a Mapping"),
    (lambda d: trust.stability(d, n_boot=2.5), "n_boot=2.5 must be a whole number, 1 or more"),
    (lambda d: trust.stability(d, layers=[]), "layers=[] must be a list of str, at least one"),
    (lambda d: trust.stability("M"), "dissection='M' must be a Dissection"),
    (lambda d: trust.sensitivity(d, "deep", top_k=[]), "top_k=[] must be a list of numbers, one at least"),
    (lambda d: trust.sensitivity(d, "deep", lam=0.5), "lam=0.5 must be a list of numbers"),
    (lambda d: trust.sensitivity(d, "deep", a=[10, NAN]), "a[1]=nan must be a number above 0"),
    (lambda d: trust.sensitivity(d, "shallow"), "layer='shallow' has no activations; there are deep"),
    (lambda d: trust.tau_intervals(d, level=95), "level=95 must be a number above 0 and below 1"),
    (lambda d: trust.tau_intervals(d, n_boot=True), "n_boot=True must be a whole number, 1 or more"),
    (lambda d: trust.count_intervals(d, 3), "thresholds=3 must be a DataFrame"),
    (lambda d: trust.paired(d, d, labels=("published", None)), "labels[0]='published' must be a DataFrame"),
    (lambda d: trust.paired_summary(d, d, n_boot=0), "n_boot=0 must be a whole number, 1 or more"),
    (lambda d: trust.compare_baselines({}, "deep"), "dissections={} must hold one Dissection at least"),
    (lambda d: trust.passing_share(d), "must be a Mapping"),
    (lambda d: trust.passing_share({"M": d}, q=5), "q=5 must be a number above 0 and below 1"),
    (lambda d: trust.passing_share({"M": d}, top=0), "top=0 must be a whole number, 1 or more"),
    (lambda d: study.checked_labels(d, "deep", LAYERS, LAYERS), "stability has no column neuron, same_concept, score"),
    (lambda d: study.by_dissector({"M": 5}), "dissections['M']=5 must be a Dissection"),
    (lambda d: trust.report_card(d, pd.DataFrame({"concept 0": [True]})), "none of which is an image of the dissection"),
    (lambda d: trust.unknown_concepts(LAYERS), "card has no column concept, flag; it has layer, tau"),
    (lambda d: trust.dissect_digits(901), "n_training=901 must be a whole number from 100 to 900"),
    (lambda d: planted.curve("n_image", [100]), "vary='n_image' is not one of 'snr', 'n_images'"),
    (lambda d: study.open_study(setups="M", calibrated="yes"), "calibrated='yes' must be True, False, or a rate above 0"),
    (lambda d: study.open_study(calibrated=5), "calibrated=5 must be a number above 0 and below 1"),
    (lambda d: study.open_study(lam="x"), "lam='x' must be a number at least 0"),
    (lambda d: study.open_study(top_k=2.5), "top_k=2.5 must be a whole number, 1 or more"),
    (lambda d: study.open_study(n_images="200"), "n_images='200' must be a whole number, 1 or more"),
    (lambda d: study.open_study(layers=[]), "layers=[] must be a list of str, at least one"),
    (lambda d: study.open_study(known_only="no"), "known_only='no' must be True or False"),
    (lambda d: study.open_study(targets=["timm/resnet18"]), "targets=['timm/resnet18'] must be a Mapping"),
    (lambda d: study.open_study(concepts=5), "concepts=5 must be a str or PathLike"),
    (
        lambda d: compare_pair({"A": d, "B": d}, count="concept"),
        "count='concept' is not one of 'concepts', 'neurons', 'fraction'",
    ),
    (lambda d: mdissect.explore("M"), "dissection='M' must be a Dissection or Mapping: dissect(...) makes one"),
    (lambda d: mdissect.explore(d, rule="best"), "rule='best' is not one of 'top', 'all'"),
    (lambda d: mdissect.explore(d, export=""), "export='' is empty"),
    (lambda d: mdissect.explore(d, probe=[np.zeros((4, 4))]), "must be a Probe or Mapping"),
    (lambda d: mdissect.explore_concepts([d]), "must be a Mapping or Dissection"),
    (lambda d: mdissect.explore_models({"M": d, "C1": 3}), "dissections['C1']=3 must be a Dissection"),
    (lambda d: Notes(""), "path='' is empty"),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message for _, message in CALLS])
def test_results_and_studies_name_what_is_wrong(found, call, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(found)
    assert message in str(caught.value)


TWO, MAP = torch.rand(8, 3), np.zeros((4, 4))
OTHER_CALLS = [
    (lambda: soft_wpmi(TWO.numpy(), TWO.numpy(), 2), "image_concept_sims=<ndarray> must be a Tensor: torch.as_tensor(...)"),
    (lambda: soft_wpmi(TWO, TWO, 2.0), "top_k=2.0 must be a whole number, 1 or more"),
    (lambda: soft_wpmi(TWO, TWO, 2, a=NAN), "a=nan must be a number above 0"),
    (lambda: wpmi(TWO, TWO, 2, lam=-1), "lam=-1 must be a number at least 0"),
    (lambda: rank_reorder(TWO, TWO, top_fraction=0), "top_fraction=0 must be a number above 0 and at most 1"),
    (lambda: SoftWPMIOptions(min_prob=1), "min_prob=1 must be a number at least 0 and below 1"),
    (lambda: calibrate.calibrate(TWO, TWO, 2, level=NAN), "level=nan must be a number above 0 and below 1"),
    (lambda: calibrate.calibrate(TWO, TWO, "all"), "top_k='all' must be a whole number, 1 or more"),
    (lambda: calibrate.calibrate(TWO, TWO, 2, a=-1), "a=-1 must be a number above 0"),
    (lambda: calibrate.calibrate(TWO, TWO, 2, alpha=1), "calibrate has no option alpha; it has a, lam"),
    (lambda: calibrate.calibrate(TWO, TWO, 2, patients=["P"] * 8), "all 8 images are of one patient"),
    (lambda: calibrate.judge_neurons(TWO, TWO, [], fdr="by"), "fdr='by' is not one of 'bh', 'adaptive'"),
    (lambda: calibrate.judge_neurons(TWO, TWO, []), "nulls=[] must be a list of Null, one at least"),
    (lambda: calibrate.q_values(np.array([0.1]), fdr="bonferroni"), "fdr='bonferroni' is not one of"),
    (lambda: random_rankings(TWO, 2, n_null=INF), "n_null=inf must be a whole number, 1 or more"),
    (lambda: record(None, ["a"]), "module=None must be a Module"),
    (lambda: record(nn.Linear(2, 2), []), "layers=[] must be a list of str, at least one"),
    (lambda: record(nn.Linear(2, 2), ["a"], pool=3), "pool=3 is not one of 'mean', 'max', 'cls'"),
    (lambda: resolve_device("gpu"), "device='gpu' must be one of 'auto', 'cpu', 'cuda', 'cuda:<number>', 'mps'"),
    (lambda: resolve_device("meta"), "device='meta' must be one of 'auto', 'cpu', 'cuda'"),
    (lambda: resolve_device("cuda:99"), "device='cuda:99' is not there: torch finds"),
    (lambda: load_target(5), "a target is named by a string, found int"),
    (
        lambda: load_target(nn.Linear(2, 2), preprocess=Preprocess((4, 4)), layers=[]),
        "layers=[] must be a list of str, at least",
    ),
    (lambda: load_target("demo/mammo", untrained=True), "untrained=True must be a whole number, 0 or more"),
    (lambda: load_dissector(toys.toy_target()), "a dissector is named by a string, found Target"),
    (lambda: load_dissector("demo/mammo", random_projection=0.5), "random_projection=0.5 must be a whole number, 0 or more"),
    (lambda: load_probe(["phantom"]), "a probe is named by a string, found list"),
    (lambda: load_probe("phantom", n_images=0), "n_images=0 must be a whole number, 1 or more"),
    (lambda: load_probe("phantom", n_images=10.0), "n_images=10.0 must be a whole number, 1 or more"),
    (lambda: load_probe("phantom", n_images=2, seed=-1), "seed=-1 must be a whole number, 0 or more"),
    (lambda: load_probe("phantom", n_images=2, seed=True), "seed=True must be a whole number, 0 or more"),
    (lambda: load_probe("phantom", n_images=2, size=(64, True)), "size=(64, True) must be (height, width) in pixels"),
    (lambda: load_probe("natural", n_images=2, size=64.0), "size=64.0 must be a whole number, 1 or more"),
    (lambda: load_probe("phantom", n_images=2, cache=""), "cache='' is empty"),
    (lambda: Probe.from_arrays(5), "images=5 must be a list of arrays"),
    (lambda: Probe.from_arrays([1, 2]), "images[0]=1 must be an array (height, width)"),
    (lambda: Probe.from_arrays(MAP[None], ids=7), "ids=7 must be a list of str, one per image"),
    (lambda: Probe.from_arrays(MAP[None].repeat(2, 0), ids="ab"), "1 ids were given for 2 images"),
    (lambda: calibrate.calibrate(TWO, TWO, 2, patients="ABCDEFGH"), "patients='ABCDEFGH' must be a list, not a text"),
    (lambda: similarity.top_images(TWO, 9), "top_k=9 exceeds the 8 probe images; lower top_k"),
    (lambda: localize.box_region([{"xmin": 1}], (4, 4)), "boxes[0]={'xmin': 1} must have xmin, ymin, xmax, ymax"),
    (lambda: localize.of_finding([{}], "mass"), "boxes[0]={} must have finding"),
    (lambda: localize.iou(MAP, MAP), "first and second must be bool arrays of one shape, found float64 (4, 4)"),
    (lambda: localize.pointing_game([MAP[None]], []), "maps has 1, regions 0; give as many of each"),
    (lambda: load_probe("natural", n_images=2, classes=[]), "classes=[] must be a list of str, at least one"),
    (lambda: load_probe("folder", path=""), "path='' is empty; give a folder or a file"),
    (lambda: load_dissector("labels", probe="phantom", column="mass"), "probe='phantom' must be a Probe"),
    (lambda: toys.toy_probe(3)["a"], "position='a' must be a whole number; probe.position(id) finds an image"),
    (lambda: Probe.from_arrays(MAP[None], ids=[None]), "ids[0]=None is not an id; every image needs its own"),
    (lambda: toys.toy_probe(3).subset(1.5), "expected ids, positions or a mask"),
    (lambda: toys.toy_probe(3).intensity_summary(0), "n=0 must be a whole number, 1 or more"),
    (lambda: toys.toy_probe(3).warm(workers=-5), "workers=-5 must be a whole number, 0 or more"),
    (lambda: PassOptions(workers=-5), "workers=-5 must be a whole number, 0 or more"),
    (lambda: PassOptions(batch_size=2.5), "batch_size=2.5 must be a whole number, 1 or more"),
    (lambda: PassOptions(progress="no"), "progress='no' must be True or False"),
    (lambda: Preprocess((8, 8), channels=True), "channels=True is not one of 1, 3"),
    (lambda: Preprocess((8, True)), "size=(8, True) must be (height, width) in pixels"),
    (lambda: Preprocess((8, 8), mean="123"), "mean='123' must be a number or 3 numbers, one per channel"),
    (lambda: Preprocess((8, 8), std=[0.1, 0.1, True]), "std=[0.1, 0.1, True] must be a number or 3 numbers"),
    (lambda: ConceptSet(["mass"]), "table=['mass'] must be a DataFrame"),
    (lambda: ConceptSet.from_list(5), "concepts=5 must be a list of str"),
    (lambda: load_concepts(5), "name_or_path=5 must be a str or Path"),
    (lambda: load_concepts(""), "name_or_path='' is empty"),
    (lambda: open_store(""), "store='' is empty"),
    (lambda: localize.activation_maps("demo/mammo", "bn2", []), "target='demo/mammo' must be a Target"),
    (lambda: localize.top_region(MAP, share=NAN), "share=nan must be a number above 0 and at most 1"),
    (lambda: localize.peaks(MAP, (0, 4)), "shape=(0, 4) must be (height, width) in pixels"),
    (lambda: localize.top_patch(MAP, MAP, 8), "size=8 must be (height, width) in pixels"),
    (lambda: localize.receptive_field(toys.toy_target(), "rows", share="all"), "share='all' must be a number above 0"),
    (lambda: Recipe(epochs=2.5), "epochs=2.5 must be a whole number, 1 or more"),
    (lambda: Recipe(learning_rate=NAN), "learning_rate=nan must be a number above 0"),
    (lambda: Recipe(frozen="yes"), "frozen='yes' must be True or False"),
    (lambda: Recipe(augment={"shear": 0}), "augment={'shear': 0} must be an Augment"),
    (lambda: Augment(scale=(0.5, NAN)), "scale=nan must be a finite number"),
    (lambda: Running(progress=None), "progress=None must be True or False"),
    (lambda: mdissect.train.finetune(5, toys.toy_probe(3), "mass", "out"), "target=5 must be a str or Target"),
    (lambda: mdissect.train.finetune("demo/mammo", toys.toy_probe(3), "mass", ""), "output='' is empty"),
    (lambda: mdissect.train.finetune("demo/mammo", "phantom", "mass", "out"), "probe='phantom' must be a Probe"),
]


@pytest.mark.parametrize(("call", "message"), OTHER_CALLS, ids=[message for _, message in OTHER_CALLS])
def test_parts_name_what_is_wrong(call, message):
    import mdissect.train  # noqa: F401  the name that some calls use

    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert message in str(caught.value)


COUNTS = pd.DataFrame({"layer": ["bn2"], "domain": ["mammography"], "concepts": [3], "neurons": [5]})
PLOTS = [
    (lambda ax: plots.grouped_bars(ax, {"M": COUNTS}, "domain", "concept"), "counts['M'] has no column concept; it has layer"),
    (lambda ax: plots.grouped_bars(ax, {"M": COUNTS}, "category"), "counts['M'] has no column category"),
    (lambda ax: plots.grouped_bars(ax, {}, "domain"), "counts={} must hold one table at least"),
    (lambda ax: plots.grouped_bars(ax, COUNTS, "domain"), "counts=<DataFrame> must be a Mapping"),
    (lambda ax: plots.interval_bars(ax, {"M": COUNTS}, "domain", "concept"), "counts['M'] has no column concept"),
    (lambda ax: plots.layer_lines(ax, {"M": COUNTS}), "tables['M'] has no column threshold"),
    (lambda ax: plots.layer_lines("ax", {"M": COUNTS}), "ax='ax' must be an Axes: plt.subplots() makes one"),
    (lambda ax: plots.precision_points(ax, {"M": COUNTS}), "tables['M'] has no column prevalence, precision"),
    (lambda ax: plots.word_cloud(ax, {"mass": "many"}, {}), "words['mass']='many' must be a number above 0"),
    (lambda ax: plots.learned_shares(ax, COUNTS), "table has no column broad_category, learned, total"),
    (lambda ax: plots.missed_bars(ax, COUNTS), "table has no column broad_category, shown_by"),
    (lambda ax: plots.concept_bars(ax, COUNTS), "concepts has no column concept, similarity, broad_category"),
    (lambda ax: plots.card(ax, COUNTS), "table has no column concept, auc, low, high, flag"),
    (lambda ax: plots.baseline_bars(ax, pd.DataFrame({"setup": [], "kind": []}), "lift"), "table has no column lift"),
    (lambda ax: plots.score_histogram(ax, {"M": COUNTS}), "tables['M'] has no column score"),
    (lambda ax: plots.share_bars(ax, COUNTS), "table has no column setup, published, calibrated, precision, prevalence"),
    (lambda ax: plots.settings_grid([ax], COUNTS), "table has no column top_k, a, lam, own"),
    (lambda ax: plots.card_panels(ax.figure, {}), "cards={} must hold one table at least"),
    (lambda ax: plots.baseline_panels(ax.figure, COUNTS), "table has no column setup, kind, better, precision"),
    (lambda ax: plots.planted_panels(ax.figure, {"snr": COUNTS}, ["wpmi"]), "tables['snr'] has no column rule, right"),
    (lambda ax: plots.rate_histogram(ax, np.zeros(3), 0.5, 0.1), "mark=0.5 must be a whole number"),
    (lambda ax: plots.against_chance(ax, ["a"], [0.1, 0.2], [0.3]), "names has 1, found 2, chance 1; give as many of each"),
    (lambda ax: plots.margin_curves(ax, {"said": []}), "margins['said'] holds no concept; leave the group out"),
    (lambda ax: plots.word_cloud(ax, {"mass": -1.0}, {}), "words['mass']=-1.0 must be a number above 0"),
    (lambda ax: plots.marked_image(ax, MAP, [{"xmin": 1}]), "boxes[0]={'xmin': 1} must have xmin, ymin, xmax, ymax"),
    (lambda ax: plots.draw_pair(ax.figure, {"A": 1}), "pair={'A': 1} must be a Pair: study.compare_pair(...) makes one"),
]


@pytest.mark.parametrize(("draw", "message"), PLOTS, ids=[message for _, message in PLOTS])
def test_plots_name_what_is_wrong(draw, message):
    fig, ax = plt.subplots()
    try:
        with pytest.raises((TypeError, ValueError)) as caught:
            draw(ax)
        assert message in str(caught.value)
    finally:
        plt.close(fig)


def test_one_text_is_a_list_of_one():
    opened = study.open_study("demo", setups="M", layers="bn2", baselines="M untrained", progress=False)
    assert list(opened.profile.setups) == ["M", "M untrained"]
    assert opened.profile.layers == ("bn2",)


class Indifferent(toys.RowDissector):
    """Finds every image as similar to one concept as to all others."""

    def embed_texts(self, texts):
        return super().embed_texts(texts)[:1].expand(len(texts), -1)


class OfAllImages(toys.RowDissector):
    """Finds all images alike."""

    def embed_images(self, batch):
        return torch.ones(len(batch), toys.SIDE) / toys.SIDE**0.5


@pytest.mark.parametrize("dissector", [Indifferent, OfAllImages])
def test_without_contrast_no_neuron_is_labelled(dissect, dissector):
    with pytest.warns(UserWarning, match="tells none of the 8 concepts from the others"):
        blind = dissect(dissector=dissector())
    labels = blind.labels()
    assert set(labels.concept) == {""}
    assert set(labels.note) == {"no contrast"}
    assert labels.similarity.isna().all()
