"""Where the linear layer of a classifier stands, how images vary, and the files that classifiers are kept in."""

import json
import shutil

import numpy as np
import pytest
import timm
import torch
from miniature_models import demo_config, demo_models
from torch import nn
from torchvision.transforms import v2

from mdissect import __main__
from mdissect.models import CheckpointError, Target, load_dissector, load_target, save_demo_classifier
from mdissect.models.demo import build_demo_classifier
from mdissect.models.efficientnet import VARIANTS, build_tower
from mdissect.models.heads import attach_head, pooled
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.train import Augment
from mdissect.train.images import PreparedImages, in_groups, seed_of
from mdissect.train.saving import format_of
from mdissect.train.tasks import TASKS, Task
from mdissect.train.variation import SeparableElastic, Variation, kernel_width

pytestmark = pytest.mark.slow

SMALL = Preprocess(size=(64, 48), mean=0.2, std=0.25)
IMAGES = torch.rand(3, 3, 64, 48)


def target_of(module: nn.Module, layers: tuple[str, ...] = ("0",), channels: int = 3) -> Target:
    return load_target(module, preprocess=Preprocess(size=(64, 48), channels=channels), layers=layers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "layer", "path"),
    [
        (lambda: timm.create_model("resnet10t", num_classes=7), "layer4", "fc"),
        (lambda: timm.create_model("resnet10t", num_classes=0), "layer4", "fc"),
        (lambda: timm.create_model("efficientnet_b0", num_classes=0), "blocks.6", "classifier"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9)), "0", "3"),
    ],
)
def test_the_layer_takes_the_place_of_an_old_one(module, layer, path):
    target = target_of(module(), (layer,))
    before = {name: tensor.clone() for name, tensor in target.module.state_dict().items()}
    classifier = attach_head(target, 4, seed=3)
    assert (classifier.head_path, classifier.layers) == (path, (layer,))
    assert classifier.module(IMAGES).shape == (3, 4)
    assert all(parameter.requires_grad for parameter in classifier.module.parameters())
    assert target.module.state_dict().keys() == before.keys()  # the target itself is as it was
    kept = classifier.module.state_dict()
    assert all(torch.equal(kept[name], before[name]) for name in before if not name.startswith(f"{path}."))
    again = attach_head(target, 4, seed=3)
    assert torch.equal(again.head.weight, classifier.head.weight)
    assert not torch.equal(attach_head(target, 4, seed=4).head.weight, classifier.head.weight)
    features = classifier.features(IMAGES)
    torch.testing.assert_close(classifier.head(features), classifier.module(IMAGES))


@pytest.mark.parametrize("end", [(), (nn.ReLU(),), (nn.Flatten(2),)])
def test_other_networks_become_the_body(end):
    target = target_of(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), *end), ("0", "1"))
    classifier = attach_head(target, 1)
    assert (classifier.head_path, classifier.layers) == ("head", ("body.0", "body.1"))
    assert classifier.module(IMAGES).shape == (3, 1)
    assert "called body.<name>" in classifier.notes[0]
    classifier.module.eval()
    expected = classifier.head(pooled(classifier.module.body(IMAGES)))
    torch.testing.assert_close(classifier.module(IMAGES), expected)


def test_pooling():
    maps = torch.rand(2, 5, 3, 4)
    torch.testing.assert_close(pooled(maps), maps.mean(dim=(2, 3)))
    torch.testing.assert_close(pooled(maps.flatten(2).transpose(1, 2)), maps.mean(dim=(2, 3)))
    assert torch.equal(pooled(maps[:, :, 0, 0]), maps[:, :, 0, 0])


class Dictionary(nn.Module):
    def forward(self, x):
        return {"features": x}


def test_networks_that_cannot_be_classifiers():
    with pytest.raises(TypeError, match="target 'Dictionary' gives a dict, not a tensor"):
        attach_head(target_of(Dictionary()), 2)
    with pytest.raises(ValueError, match=r"gives a tensor of shape \(1, 3, 2, 32, 48\); expected"):
        attach_head(target_of(nn.Unflatten(2, (2, 32))), 2)


@pytest.mark.parametrize("sigma", [1.3, 4.0])
def test_the_quick_elastic_deformation_is_torchvisions(sigma):
    x = torch.rand(3, 40, 36)
    moved = []
    for kind in (v2.ElasticTransform, SeparableElastic):
        torch.manual_seed(1)
        moved.append(kind(60.0, sigma, fill=[0.0] * 3)(x))
    torch.testing.assert_close(*moved, atol=1e-4, rtol=0)
    assert (moved[0] - x).abs().max() > 0.1
    assert kernel_width(sigma) % 2 == 1


def test_variation_depends_on_its_seed_alone():
    vary = Variation(Augment(elastic_sigma=3.0), SMALL)
    image = torch.rand(3, 64, 48)
    state = torch.get_rng_state()
    first = vary(image, seed_of(0, 1, 2))
    torch.manual_seed(5)
    assert torch.equal(vary(image, seed_of(0, 1, 2)), first)
    assert not torch.equal(vary(image, seed_of(0, 2, 1)), first)
    assert first.shape == image.shape
    torch.set_rng_state(state)
    assert torch.equal(Variation(Augment.off(), SMALL)(image, 3), image)


def test_what_comes_in_from_outside_is_black():
    vary = Variation(Augment(flips=(), degrees=0, shear=0, scale=(0.5, 0.5), shift=0, elastic_alpha=0), SMALL)
    small = vary(torch.ones(3, 64, 48), 0)
    assert small[:, 0, 0].tolist() == pytest.approx([-0.2 / 0.25] * 3)
    assert small[:, 32, 24].tolist() == pytest.approx([1.0] * 3)


def test_an_elastic_deformation_needs_room():
    with pytest.raises(
        ValueError, match=r"elastic_sigma=15 needs images of 61 pixels a side or more, the target's have 64 x 48"
    ):
        Variation(Augment(), SMALL)


def test_batches_of_images():
    images = np.random.default_rng(0).integers(0, 256, (7, 64, 48), dtype=np.uint8)
    probe = Probe.from_arrays(images)
    varied = PreparedImages(probe, SMALL, Augment(elastic_alpha=0), seed=0)
    groups = in_groups(np.array([5, 0, 3]), 2)
    plain = torch.cat(list(varied.batches(groups)))
    torch.testing.assert_close(plain, torch.stack([SMALL(images[i]) for i in (5, 0, 3)]))
    first, again, later = (torch.cat(list(varied.batches(groups, epoch))) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    alone = next(iter(varied.batches([np.array([3])], 0)))
    assert torch.equal(alone[0], first[2])


def outputs(target: Target) -> torch.Tensor:
    with torch.inference_mode():
        return target.module.eval()(IMAGES)


@pytest.mark.slow
def test_the_format_of_mammo_clip(tmp_path):
    with torch.random.fork_rng(devices=[]):
        tower = build_tower(VARIANTS["b2"])
    base = Target("mammo-clip/b2", tower.eval(), SMALL, ("blocks.6.1",), "x")
    classifier = attach_head(base, 1)
    form = format_of(base, classifier, TASKS["mass"], tmp_path)
    form.save(classifier)
    saved = torch.load(tmp_path / "classifier.pth", weights_only=True)
    assert {"image_encoder._blocks.22._bn1.weight", "classifier.classification_head.bias"} <= saved["model"].keys()
    recorded = {"base": "mammo-clip/b2", "base_fingerprint": "x", "task": "mass", "classes": ["no mass", "mass"]}
    assert saved["config"].items() >= recorded.items()
    loaded = load_target("mammo-classifier/mass", checkpoint=tmp_path / "classifier.pth")
    torch.testing.assert_close(outputs(loaded), classifier.module.eval()(IMAGES))
    found = load_target(tmp_path)
    assert (found.name, found.classes, found.layers) == ("mammo-clip/b2 (mass)", ("no mass", "mass"), ("blocks.6.1",))
    assert (found.preprocess, found.fingerprint) == (SMALL, loaded.fingerprint)
    other = attach_head(base, 1, seed=1)
    form.load(other)
    assert torch.equal(other.head.weight, classifier.head.weight)


def test_the_format_of_timm_models(tmp_path):
    base = load_target("timm/resnet10t", preprocess=SMALL, num_classes=0)
    task = Task("view", ("CC", "ML", "MLO"), ("view",), str)
    classifier = attach_head(base, 3)
    form = format_of(base, classifier, task, tmp_path)
    form.save(classifier)
    loaded = load_target("timm/resnet10t", checkpoint=tmp_path / "classifier.safetensors", preprocess=SMALL)
    torch.testing.assert_close(outputs(loaded), classifier.module.eval()(IMAGES))


CONFIG = demo_config(60)
CLASSIFIER = {
    "kind": "classifier", "base": "demo/toy", "task": "mass", "classes": ["no mass", "mass"],
    **{key: CONFIG[key] for key in ("image", "preprocess", "layers")},
}  # fmt: skip


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The folder of demo models, with an image-text model "toy"."""
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    demo_models(tmp_path / "demo", "toy")
    return tmp_path / "demo"


@pytest.mark.parametrize(("classes", "n_outputs"), [(["no", "yes"], 1), (["A", "B", "C", "D"], 4)])
def test_demo_classifiers(demo, classes, n_outputs):
    config = CLASSIFIER | {"classes": classes, "held_out": {"auc": 0.9}}
    module = build_demo_classifier(config).eval()
    save_demo_classifier(module, demo / "C9", config)
    target = load_target("demo/C9")
    assert (target.name, target.layers, target.preprocess) == ("demo/C9", ("blocks.0", "bn2"), SMALL)
    assert outputs(target).shape == (3, n_outputs)
    torch.testing.assert_close(outputs(target), module(IMAGES), atol=2e-2, rtol=0)
    assert target.notes == (f"demo/toy fine-tuned to tell mass: {', '.join(classes)}",)
    assert load_target("demo/C9").module is target.module
    assert load_target("demo/C9", layers="blocks.1").layers == ("blocks.1",)
    assert not (demo / "C9" / "tokenizer.json").exists()
    (demo / "tokenizer.json").unlink()
    assert load_target("demo/C9").fingerprint == target.fingerprint  # it needs no texts


def test_a_demo_classifier_is_no_dissector(demo):
    save_demo_classifier(build_demo_classifier(CLASSIFIER), demo / "C9", CLASSIFIER)
    message = r"demo/C9 is a classifier of mass: it has no text tower .*load_target\('demo/C9'\).* a dissector is demo/toy"
    with pytest.raises(ValueError, match=message):
        load_dissector("demo/C9")


def test_broken_demo_classifiers(demo):
    with pytest.raises(CheckpointError, match="config has no base, classes"):
        save_demo_classifier(build_demo_classifier(CLASSIFIER), demo / "C8", {**CONFIG, "task": "mass"})
    with pytest.raises(CheckpointError, match="of another shape"):
        save_demo_classifier(build_demo_classifier(CLASSIFIER), demo / "C8", CLASSIFIER | {"classes": ["a", "b", "c"]})
    assert not (demo / "C8").exists()
    save_demo_classifier(build_demo_classifier(CLASSIFIER), demo / "C9", CLASSIFIER)
    (demo / "C9" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"demo/C9 is incomplete; missing: .*model\.safetensors; .*mdissect pretrain"):
        load_target("demo/C9")
    (demo / "C9" / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="holds a list, not the settings of a model"):
        load_target("demo/C9")


def fine_tune(output, *more: str) -> int:
    probe = ["--probe", "phantom", "--probe-set", "n_images=40", "seed=3", "size=(64, 48)", "cache=False"]
    recipe = ["--set", "epochs=2", "workers=0", "device=cpu", "validation_fraction=0.3", "test_fraction=0.3", "progress=False"]
    return __main__.main(["finetune", "--target", "demo/toy", "--output", str(output), *probe, *recipe, *more])


def test_the_command(demo, tmp_path, capsys):
    assert fine_tune(tmp_path / "out", "--task", "mass", "--frozen") == 0
    output = capsys.readouterr().out
    assert "demo/toy fine-tuned to tell mass (best of 2 epochs: " in output
    assert "test: 12 images of 3 patients; auc 0." in output
    assert "to load it: load_target('out'), by the path of this folder" in output
    shutil.copytree(tmp_path / "out", demo / "out")
    found, named = load_target(tmp_path / "out"), load_target("demo/out")
    assert outputs(found).shape == (3, 1)
    assert (found.fingerprint, found.name, found.classes) == (named.fingerprint, named.name, ("no mass", "mass"))
    config = json.loads((demo / "out" / "config.json").read_text())
    assert (config["kind"], config["base"], config["task"]) == ("classifier", "demo/toy", "mass")
    assert "text" not in config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--task", "mas"], "no task 'mas': tasks are density, birads, mass, calcification, or a column"),
        (["--task", "mass", "--set", "epoch=3"], "no setting epoch; there are balance"),
        (["--task", "mass", "--set", "batch_size=none"], "batch_size='none' must be a whole number, 1 or more"),
        (["--task", "mass", "--probe-set", "images=3"], "unknown: images"),
        (["--task", "mass", "--target-set", "layer=bn2"], "options of the target 'demo/toy' (layers): unknown: layer"),
        (["--task", "mass"], "elastic_sigma=15 needs images of 61 pixels a side"),
    ],
)
def test_what_the_user_got_wrong(demo, tmp_path, capsys, wrong, message):
    with pytest.raises(SystemExit) as stopped:
        fine_tune(tmp_path / "out", *wrong)
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not [path for path in tmp_path.glob("out/*") if path.name != ".lock"]
