"""Studies: profiles, what replaces their parts, dissections made once, figures with their settings."""

import json
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from miniature_models import demo_models
from PIL import Image

from mdissect import filling, paths
from mdissect.method import dissect
from mdissect.probes import Probe
from mdissect.study import ProbeSpec, Profile, Setup, claims, open_study, opening, study
from mdissect.study.contents import content_digest
from mdissect.study.kept import code_digest
from mdissect.study.profiles import PROFILES
from mdissect.trust.report_card import CHANCE

pytestmark = pytest.mark.slow

CONCEPTS = ["oval mass", "spiculated mass", "breast implant", "dense breast", "nipple marker"]


#: Of the toy models.
STAGES = {"stages": [["cn_r1_k3_s2_e1_c8"], ["er_r1_k3_s2_e2_c8"]], "stem": 8, "features": 12, "act": "relu", "pool": "avgmax"}
TINY = {"texts": CONCEPTS, "image": STAGES, "preprocess": {"size": [32, 20]}, "layers": ["blocks.1", "bn2"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with two toy models."""
    folder = tmp_path_factory.mktemp("data")
    demo_models(folder / "demo", "general", "mammo", **TINY)
    (folder / "concepts.txt").write_text("\n".join(CONCEPTS))
    return folder


@pytest.fixture(autouse=True)
def toy(data, tmp_path, monkeypatch):
    """The profile "toy", a store and a folder for figures of each test's own."""
    monkeypatch.setenv("MDISSECT_DATA", str(data))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MDISSECT_FIGURES", str(tmp_path / "figures"))
    profile = Profile(
        name="toy",
        setups={
            "G": Setup("demo/general", "demo/general"),
            "G by M": Setup("demo/general", "demo/mammo"),
            "M": Setup("demo/mammo", "demo/mammo"),
        },
        probes={
            "mammograms": ProbeSpec("phantom", {"n_images": 24, "seed": 7, "size": (64, 40)}),
            "masses": ProbeSpec("phantom", {"n_images": 40, "seed": 7, "size": (64, 40)}, balanced=("mass", 5)),
            "natural": ProbeSpec("natural", {"n_images": 6, "size": 32}),
        },
        concepts=str(data / "concepts.txt"),
        top_k=3,
    )
    monkeypatch.setitem(PROFILES, "toy", profile)
    return profile


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """Which targets were dissected."""
    made = []

    def counted(target, *args, **options):
        made.append(target.name)
        return dissect(target, *args, **options)

    monkeypatch.setattr(study, "dissect", counted)
    return made


class Touching:
    """A pickle of it makes a file when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def opened(**options) -> study.Study:
    return open_study("toy", progress=False, **options)


def test_the_demo_profile():
    profile = PROFILES["demo"]
    assert profile.name == "demo"
    assert profile.setups["G"] == Setup("demo/general", "demo/general")
    assert profile.setups["M"] == Setup("demo/mammo", "demo/mammo")
    used = {part.strip() for setup in profile.setups.values() for part in setup.probe.split("+")}
    assert used <= set(profile.probes)
    assert profile.top_k < min(spec.options["n_images"] for spec in profile.probes.values()) / 2
    assert open_study().profile == profile


def test_a_setup_dissects_as_its_profile_says(runs):
    found = opened().dissect("M")
    assert runs == ["demo/mammo"]
    assert found.layers == ["blocks.1", "bn2"]
    assert found.concepts.names == CONCEPTS
    assert found.similarity["bn2"].shape == (12, len(CONCEPTS))
    assert found.probe_table.index[0] == "phantom-7-000000"
    wanted = {
        "target": "demo/mammo",
        "dissector": "demo/mammo",
        "n_images": 24,
        "top_k": 3,
        "lam": 1.0,
        "similarity": "soft_wpmi",
    }
    assert {name: found.settings[name] for name in wanted} == wanted


def test_each_dissection_is_made_once(runs, monkeypatch):
    first = opened()
    m, g = first.dissect("M"), first.dissect("G")
    assert first.dissect("M") is m
    assert runs == ["demo/mammo", "demo/general"]
    assert not np.array_equal(m.similarity["bn2"], g.similarity["bn2"])
    monkeypatch.setattr(filling, "fill", lambda *args: pytest.fail("a model ran"))
    second = opened().dissect("M")  # another study, the same store
    assert np.array_equal(second.similarity["bn2"], m.similarity["bn2"])


def test_named_setups_are_computed_in_one_pass(monkeypatch, tmp_path):
    names, read, fills = ["M", "G", "G by M"], [], []
    probe_read, fill = Probe.__getitem__, filling.fill
    monkeypatch.setattr(Probe, "__getitem__", lambda self, i: read.append(i) or probe_read(self, i))
    monkeypatch.setattr(filling, "fill", lambda *args: fills.append(1) or fill(*args))
    together = opened(setups=names)
    n, found = len(together.probe()), {name: together.dissect(name) for name in names}
    assert fills == [1]
    assert len(read) <= n + 8  # for the intensities
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path / "other"))
    apart = opened()
    for name, one in found.items():
        alone = apart.dissect(name)
        assert content_digest(one) == content_digest(alone)
    assert len(fills) == 3  # M, then G; nothing is missing for G by M


def kept_files(folder):
    return sorted(path for path in folder.rglob("results/**/*") if path.is_file() and not path.name.endswith("lock"))


def test_a_dissection_is_read_back_without_its_model(monkeypatch):
    new = opened().dissect("M")
    monkeypatch.setattr(study, "load_target", lambda *args, **options: pytest.fail("a model was built"))
    read = opened().dissect("M")
    assert content_digest(read) == content_digest(new)
    pd.testing.assert_frame_equal(read.labels(), new.labels(), check_exact=True)
    pd.testing.assert_frame_equal(read.probe_table, new.probe_table, check_exact=True)


def test_no_pickle_in_the_store_is_read(tmp_path):
    """Where former versions kept dissections, and where they are kept now."""
    mark, labels = tmp_path / "mark", opened().dissect("M").labels()
    planted = pickle.dumps(Touching(mark))
    old = tmp_path / "store" / "results" / code_digest() / "joblib" / "mdissect" / "study" / "study" / "_dissected" / "0123"
    old.mkdir(parents=True)
    for path in (old / "output.pkl", old / "metadata.json", old.parent / "func_code.py", *kept_files(tmp_path)):
        path.write_bytes(planted)
    with pytest.warns(UserWarning, match="result.json is damaged .* it is computed again"):
        assert opened().dissect("M").labels().equals(labels)
    assert not mark.exists()
    pickle.loads(planted)
    assert mark.exists()  # it would have


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.slow
def test_a_flipped_bit_of_a_kept_dissection_is_noticed(tmp_path, runs, seed):
    labels, rng = opened(setups=["M"]).dissect("M").labels(), random.Random(seed)
    for times, path in enumerate(kept_files(tmp_path), start=2):
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="it is computed again"):
            assert opened(setups=["M"]).dissect("M").labels().equals(labels)
        assert len(runs) == times


def test_a_dissector_is_loaded_once_for_all_setups_that_share_it(monkeypatch):
    loaded, load = [], study.load_dissector
    monkeypatch.setattr(study, "load_dissector", lambda spec, **options: loaded.append(spec) or load(spec, **options))
    ours = opened()
    for name in ("G by M", "M", "G"):
        ours.dissect(name)
    assert loaded == ["demo/mammo", "demo/general"]


@pytest.mark.slow
def test_a_dissection_of_demo_models_is_known_by_their_files(runs, data, tmp_path, monkeypatch):
    first = opened(setups=["M"]).dissect("M")
    again = opened(setups=["M"]).dissect("M")
    assert runs == ["demo/mammo"]  # models are not even built
    pd.testing.assert_frame_equal(again.labels(), first.labels())
    assert again.settings == first.settings
    opened(setups=["M"], top_k=4).dissect("M")
    opened(setups=["M"], n_images=20).dissect("M")
    opened(setups=["M"], lam=0.5).dissect("M")
    assert runs == ["demo/mammo"] * 4
    changed = tmp_path / "data"
    shutil.copytree(data, changed)
    demo_models(changed / "demo", "mammo", **TINY)  # of another seed
    monkeypatch.setenv("MDISSECT_DATA", str(changed))
    assert opened(setups=["M"], concepts=str(changed / "concepts.txt")).dissect("M").settings != first.settings
    assert len(runs) == 5


def test_unknown_names():
    with pytest.raises(ValueError, match=r"profile='peper' is not one of .*'demo'.*, 'toy'"):
        open_study("peper")
    with pytest.raises(ValueError, match="profile 'toy' has no setup 'C1'; it has G, G by M, M"):
        opened().dissect("C1")
    with pytest.raises(ValueError, match="profile 'toy' has no setup X, Y; it has G, G by M, M"):
        opened(setups=["X", "M", "Y"])
    with pytest.raises(ValueError, match="setups is empty; name one at least of G, G by M, M"):
        opened(setups=[])
    with pytest.raises(ValueError, match="profile 'toy' has no probe 'vindr'; it has mammograms, masses, natural"):
        opened().probe("natural + vindr")
    with pytest.raises(ValueError, match="open_study has no option n_image, top; it has n_images, seed, "):
        opened(n_image=5, top=3)
    with pytest.raises(ValueError, match=r"targets\['mine'\] has \['checkpoint'\], but no 'target', such as 'timm/resnet18'"):
        opened(targets={"mine": {"checkpoint": "a.pth"}})


def test_what_is_given_replaces_the_profile(toy, data):
    (data / "two.txt").write_text("oval mass\ndense breast\n")
    given = opened(n_images=12, seed=3, top_k=2, lam=0.5, concepts=str(data / "two.txt"), layers=["blocks.0"])
    found = given.dissect("G")
    assert found.probe_table.index.tolist() == [f"phantom-3-{i:06d}" for i in range(12)]
    assert (found.settings["top_k"], found.settings["lam"]) == (2, 0.5)
    assert (found.layers, found.concepts.names) == (["blocks.0"], ["oval mass", "dense breast"])
    assert given.probe()[0].shape == (64, 40)  # what is not given stays
    assert PROFILES["toy"] == toy
    assert opened().profile == toy


def test_zero_is_a_value_and_nothing_is_none(toy):
    profile = opened(seed=0, lam=0.0, top_k=None, concepts="", n_images=None).profile
    assert profile.probes["mammograms"].options == {"n_images": 24, "seed": 0, "size": (64, 40)}
    assert profile.similarity_options == {"lam": 0.0}
    assert (profile.top_k, profile.concepts) == (toy.top_k, toy.concepts)


def test_some_setups_in_the_order_asked_for():
    assert list(opened(setups=["M", "G"]).profile.setups) == ["M", "G"]


def test_probes_are_loaded_once_and_joined_by_name():
    own = opened()
    joined = own.probe("mammograms + natural")
    assert joined.ids == [f"phantom-7-{i:06d}" for i in range(24)] + [f"natural-0-{i:06d}" for i in range(6)]
    assert own.probe("mammograms + natural") is joined
    assert own.probe() is own.probe("mammograms")


def test_balanced_probes(monkeypatch):
    probe = opened().probe("masses")
    assert probe.table["mass"].value_counts().to_dict() == {True: 5, False: 5}
    assert probe.ids == sorted(probe.ids)
    table = pd.DataFrame({"finding": ["", "mass", None, float("nan"), "clip", "x"]})
    images = Probe.from_arrays(np.zeros((6, 2, 2), np.uint8), ids=list("abcdef"), table=table)
    monkeypatch.setattr("mdissect.study.profiles.load_probe", lambda spec: images)
    assert ProbeSpec("", balanced=("finding", 2)).load().ids == ["a", "b", "c", "e"]  # empty cells hold nothing
    with pytest.raises(ValueError, match="arrays has 3 images with finding and 3 without; 4 of each are wanted"):
        ProbeSpec("", balanced=("finding", 4)).load()


def test_another_probe_takes_its_own_options(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (64, 40), dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
    own = opened(probe="folder", probe_options={"path": tmp_path / "images"})
    assert own.dissect("M").probe_table.index.tolist() == [f"{i}.png" for i in range(8)]
    options = opened(probe_options={"exclude": ["mass"]}).profile.probes["mammograms"].options
    assert options == {"n_images": 24, "seed": 7, "size": (64, 40), "exclude": ["mass"]}
    with pytest.raises(TypeError, match=r"options of the probe 'folder' .*unknown: n_images; missing: path"):
        opened(probe="folder", n_images=5).probe()


def test_further_targets():
    entries = {
        "mine": {"target": "demo/mammo", "layers": ["blocks.0"]},
        "other": {"target": "demo/mammo", "dissector": "demo/general"},
        "oracle": {"target": "demo/general", "dissector": "labels:view"},
    }
    setups = opened(targets=entries).profile.setups
    assert list(setups) == ["G", "G by M", "M", "mine", "other", "oracle"]
    assert setups["mine"] == Setup("demo/mammo", "demo/mammo", target_options={"layers": ["blocks.0"]})
    assert setups["other"] == Setup("demo/mammo", "demo/general")
    assert setups["oracle"] == Setup("demo/general", "labels", dissector_options={"column": "view"})
    assert entries["mine"] == {"target": "demo/mammo", "layers": ["blocks.0"]}  # the caller's stay as they are
    assert opened(targets=entries).dissect("mine").layers == ["blocks.0"]


def test_baselines_stand_beside_their_setup(runs):
    opened_study = opened(setups=["G", "M"], baselines=["M untrained", "M random dissector", "M constant"])
    assert list(opened_study.profile.setups) == ["G", "M", "M untrained", "M random dissector", "M constant"]
    model, untrained, random, constant = (opened_study.dissect(name) for name in list(opened_study.profile.setups)[1:])
    assert runs == ["demo/mammo", "demo/mammo (untrained)", "demo/mammo", "demo/mammo"]
    assert untrained.settings["target_weights"] != model.settings["target_weights"]
    assert random.settings["dissector_weights"] != model.settings["dissector_weights"]
    assert constant.labels().concept.nunique() == 1
    with pytest.raises(ValueError, match="baseline 'X untrained' is not of a setup"):
        opened(baselines=["X untrained"])


def test_calibrated_labels(toy):
    published, strict, lax = opened(setups=["M"]), opened(setups=["M"], calibrated=True), opened(setups=["M"], calibrated=0.9)
    assert published.dissect("M").trusted is None
    assert strict.dissect("M").settings["calibrated"] == {"q": 0.05, "rule": "rising"}
    assert lax.dissect("M").settings["calibrated"] == {"q": 0.9, "rule": "rising"}
    assert (strict.dissect("M").labels().query("concept != ''").q <= 0.05).all()
    assert published.passing("all", shared=True) == (
        "A label counts when its similarity reaches the layer's threshold tau (mean of the similarity over all neurons and "
        "concepts, the largest of the networks shown). A neuron is labelled by its top 3 images."
    )
    better = "A label counts when it is better than chance (q <= 0.9). A neuron is labelled by its top 3 images."
    assert lax.passing() == better
    assert opened(setups=["M"], baselines=["M constant"], calibrated=True).dissect("M constant").trusted is None


def test_thresholds_and_counts_with_intervals_on_request():
    opened_study = opened(setups=["G", "M"], baselines=["M constant"])
    plain, drawn = opened_study.thresholds(), opened_study.thresholds(n_boot=20)
    assert list(plain) == list(drawn) == ["G", "M", "M constant"]
    assert list(plain["M"]) == list(drawn["M constant"]) == ["layer", "threshold"]
    np.testing.assert_allclose(drawn["M"].threshold, plain["M"].threshold, rtol=1e-5)
    assert ((drawn["M"].low <= drawn["M"].threshold) & (drawn["M"].threshold <= drawn["M"].high)).all()
    without, counts = (opened_study.counts(plain["M"], "domain", n_boot=n) for n in (0, 20))
    pd.testing.assert_frame_equal(counts["M"][without["M"].columns], without["M"], check_dtype=False)
    assert (counts["M"].concepts_low <= counts["M"].concepts).all()
    assert "concepts_low" not in counts["M constant"]
    with pytest.raises(ValueError, match="intervals are those of rule='top', not of rule='all'"):
        opened_study.thresholds("all", n_boot=20)


def test_concepts_that_the_dissector_does_not_know_are_left_out(monkeypatch):
    card = pd.DataFrame({"concept": ["oval mass", "breast implant", "dense breast"], "flag": ["", CHANCE, ""]})
    monkeypatch.setattr(study, "report_card", lambda dissection: card)
    known = opened(setups=["M"], known_only=True, calibrated=0.9)
    assert list(known.dissect("M").concepts.names) == [name for name in CONCEPTS if name != "breast implant"]
    assert known.dissect("M").settings["left_out"] == ["breast implant"]
    assert known.dissect("M").trusted is not None
    assert known.passing().endswith("Concepts that the dissector cannot tell from chance are left out.")


def test_one_dissector_for_all(runs):
    one = opened(dissector="demo/mammo")
    assert list(one.profile.setups) == ["G", "M"]  # "G by M" is the same as G now
    assert {one.dissect(name).settings["dissector"] for name in "GM"} == {"demo/mammo"}
    assert runs == ["demo/general", "demo/mammo"]


def test_labels_of_a_column_as_dissector_and_concepts(data):
    oracle = opened(dissector="labels:view")
    found = oracle.dissect("M")
    assert found.concepts.names == ["CC", "MLO"]
    assert found.settings["dissector"] == "labels of phantom (view)"
    assert np.array_equal(found.image_concept_sims[:, 0] > 0, found.probe_table["view"] == "CC")
    (data / "one.txt").write_text("MLO\n")
    assert opened(dissector="labels:view", concepts=str(data / "one.txt")).concepts.names == ["MLO"]
    named = opened(concepts="labels", targets={"mine": {"target": "demo/mammo", "dissector": "labels:laterality"}})
    assert named.concepts.names == ["L", "R"]


def test_labels_that_cannot_be():
    with pytest.raises(TypeError, match="missing: column"):
        opened(dissector="labels").dissect("M")
    with pytest.raises(ValueError, match="no column 'shape' in the probe's table"):
        opened(dissector="labels:shape").dissect("M")
    with pytest.raises(
        ValueError, match="concepts='labels' needs a dissector made of labels; give dissector='labels:<column>'"
    ):
        opened(concepts="labels").dissect("M")


def drawing() -> Figure:
    figure = Figure()
    figure.add_subplot().plot([1, 2, 3], label="M")
    figure.axes[0].legend()
    return figure


def test_figures_say_what_they_were_drawn_from(tmp_path):
    own = opened()
    own.dissect("G")
    own.dissect("M")
    path = own.save_figure(drawing(), "01 thresholds", "G", "M", rule="top")
    assert path == tmp_path / "figures" / "toy" / "01 thresholds.png"
    told = json.loads(path.with_suffix(".json").read_text())
    assert told.pop("drawn")
    assert told.pop("overprints") == []
    assert {name: told[name] for name in ("profile", "figure", "rule")} == {
        "profile": "toy",
        "figure": "01 thresholds",
        "rule": "top",
    }
    assert list(told["setups"]) == ["G", "M"]
    for name, settings in told["setups"].items():
        made = own.dissect(name).settings
        assert {key: settings[key] for key in ("target_weights", "dissector_weights", "probe_key", "top_k")} == {
            key: made[key] for key in ("target_weights", "dissector_weights", "probe_key", "top_k")
        }
    with Image.open(path) as picture:
        assert json.loads(picture.text["Description"]) == told
    svg = path.with_suffix(".svg").read_text()
    assert told["setups"]["M"]["target_weights"] in svg
    assert str(tmp_path) not in svg + path.with_suffix(".json").read_text()


COUNTED = """
import sys
import numpy as np
import pandas as pd
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.study import coverage, open_study

real, calls = np.corrcoef, []
np.corrcoef = lambda *args, **options: calls.append(1) or real(*args, **options)
values = np.random.default_rng(int(sys.argv[1])).standard_normal((6, 4)).astype(np.float32)
table = pd.DataFrame({"patient": ["a", None, "b"] * 2, "view": "CC"}, index=[f"image {i}" for i in range(6)])
found = Dissection({"deep": values}, ConceptSet.from_list(["mass", "clip"]), {"top_k": 2}, {"deep": values}, values, {}, table)
print(open_study("demo").kept(coverage.redundancy)(found).to_csv(), len(calls))
"""


@pytest.mark.slow
def test_results_are_kept_from_one_process_to_the_next():
    """A dissection is an argument like others, known again by its content."""

    def run(seed: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", COUNTED, seed], check=True, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.rsplit(maxsplit=1)

    (first, computed), (again, computed_again), (other, _) = run("0"), run("0"), run("1")
    assert (computed, computed_again) == ("1", "0")
    assert first == again != other


def test_a_simulation_is_of_no_setup_and_no_concepts():
    own = opened()
    own.dissect("M")
    told = json.loads(own.save_figure(drawing(), "simulated", draws=2).with_suffix(".json").read_text())
    assert (told["setups"], told["draws"], "concepts" in told) == ({}, 2, False)


def test_concept_sets_of_equal_name_and_length_differ(tmp_path):
    checksums = []
    for words in ("mass, clip", "mass, cyst", "mass, clip"):
        path = tmp_path / "words.txt"
        path.write_text(words.replace(", ", "\n"))
        checksums.append(opened(concepts=path).concept_settings["concepts_checksum"])
    assert checksums[0] == checksums[2] != checksums[1]


def test_only_the_setups_of_a_figure(runs):
    path = opened().save_figure(drawing(), "one", "M")
    assert list(json.loads(path.with_suffix(".json").read_text())["setups"]) == ["M"]
    assert runs == ["demo/mammo"]


@pytest.fixture
def checkout(data, monkeypatch, tmp_path):
    """A checkout whose figures/ are kept: its root."""
    shutil.copytree(data, tmp_path / "checkout" / "data")
    monkeypatch.setattr("mdissect.paths.checkout", lambda: tmp_path / "checkout")
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "checkout" / "data"))
    monkeypatch.delenv("MDISSECT_FIGURES")
    return tmp_path / "checkout"


@pytest.mark.parametrize(
    ("study_settings", "settings", "changed"),
    [
        ({"n_images": 20}, {}, "n_images, mean, probe_key"),
        ({"calibrated": True}, {}, "calibrated"),
        ({"layers": ["bn2"]}, {}, "layers"),
        ({}, {"rule": "all"}, "rule"),
        ({}, {"count": "neurons"}, "count"),
    ],
)
@pytest.mark.slow
def test_figures_of_other_settings_go_elsewhere(checkout, capsys, monkeypatch, study_settings, settings, changed):
    kept = opened().save_figure(drawing(), "one", "M", rule="top")
    assert kept == checkout / "figures" / "toy" / "one.png"
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept.parent.iterdir()}
    assert opened().save_figure(drawing(), "one", "M", rule="top") == kept
    assert capsys.readouterr().out == ""
    other = opened(**study_settings).save_figure(drawing(), "one", "M", **({"rule": "top"} | settings))
    assert other == checkout / "build" / "figures" / "toy" / "one.png"
    assert other.exists()
    told = f"one goes to build/figures/toy: the one in figures/ has other settings ({changed})\n"
    assert capsys.readouterr().out == told
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept.parent.iterdir()} == before
    monkeypatch.setenv("MDISSECT_FIGURES", str(checkout / "figures"))  # as `figures` with its defaults does
    assert opened().save_figure(drawing(), "one", "M", rule="all") == kept
    assert json.loads(kept.with_suffix(".json").read_text())["rule"] == "all"


@pytest.mark.slow
def test_claims_of_other_settings_go_elsewhere(checkout, capsys):
    kept = opened().save_claims([claims.claim("tau", True, "2 of 2", "G", "M")], "claims", "M", rule="top")
    assert kept == checkout / "figures" / "toy" / "claims.json"
    again = opened().save_claims([claims.claim("tau", False, "1 of 2", "G", "M")], "claims", "M", rule="top")
    assert again == kept
    assert json.loads(kept.read_text())["claims"][0]["here"] == "1 of 2"
    assert capsys.readouterr().out == ""
    other = opened().save_claims([claims.claim("tau", True, "2 of 2", "G", "M")], "claims", "M", rule="all")
    assert other == checkout / "build" / "figures" / "toy" / "claims.json"
    assert capsys.readouterr().out.endswith("the one in figures/ has other settings (rule)\n")
    assert json.loads(kept.read_text())["claims"][0]["here"] == "1 of 2"


def test_weights_drawn_anew_are_known_by_their_seed():
    found = opened(baselines=["M untrained"]).save_figure(drawing(), "one", "M", "M untrained")
    told = json.loads(found.with_suffix(".json").read_text())["setups"]
    assert told["M untrained"]["target_weights"] == "drawn with seed 0"
    assert len(told["M"]["target_weights"]) == 64


def test_the_same_figure_is_the_same_file():
    files = [opened().save_figure(drawing(), f"{i}", "M", figure="same") for i in range(2)]
    first, second = (path.with_suffix(".svg").read_bytes() for path in files)
    assert first == second


def test_where_things_go(data, monkeypatch, tmp_path):
    assert (opening.store_dir(), opening.figures_dir()) == (tmp_path / "store", tmp_path / "figures")
    monkeypatch.delenv("MDISSECT_STORE")
    monkeypatch.delenv("MDISSECT_FIGURES")
    assert (opening.store_dir(), opening.figures_dir()) == (data / "store", paths.checkout() / "figures")
