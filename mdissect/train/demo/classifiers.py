"""The demo's classifiers, fine-tuned from demo/mammo, with their cards.

Phantoms are drawn from fixed seeds, not those of demo/mammo; an interrupted run resumes where it was.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mdissect.models import demo_folder, read_config, save_demo_classifier
from mdissect.models.demo import CLASSIFIER_KEYS, CONFIG, load_demo_folder
from mdissect.probes import Probe, load_probe
from mdissect.train.demo.card import write_classifier_card
from mdissect.train.demo.names import Name
from mdissect.train.finetune import evaluate, finetune
from mdissect.train.metrics import summary
from mdissect.train.recipe import Augment, Recipe, Running

BASE = "mammo"
CLASSIFIERS = {"C1": "density", "C2": "birads", "C3": "mass", "C4": "calcification"}
# The study's recipe suits a net of 28 million weights; this one has 0.3 million: other rates, larger batches, fewer epochs.
RECIPE = Recipe(
    epochs=6,
    batch_size=32,
    learning_rate=1e-3,
    head_learning_rate=4e-3,
    weight_decay=0.02,
    warmup_steps=50,
    max_grad_norm=1.0,
    balance="all",
    precision="bfloat16",
    augment=Augment(flips=("vertical",), degrees=0, shift=0, scale=(1, 1), shear=0, elastic_alpha=0),
    test_fraction=0.0,
    patience=0,
)
TRAINING_SEED, HELD_OUT_SEED = 3, 2  # demo/mammo was trained on seed 1
TRAINING_IMAGES, HELD_OUT_IMAGES = 4000, 1000


def make_classifiers(names: Iterable[Name], output: Path, cache: Path) -> None:
    """Fine-tune the classifiers and write them into `output`; generated images and training states stay in `cache`.

    A plain one starts from the shipped demo/mammo, a replicate from that of its seed in `output`.
    """
    names = list(names)
    for name in names:
        base_folder(name, output)
    training = load_probe("phantom", n_images=TRAINING_IMAGES, seed=TRAINING_SEED, cache=cache)
    held_out = load_probe("phantom", n_images=HELD_OUT_IMAGES, seed=HELD_OUT_SEED, cache=cache)
    for name in names:
        make(name, training, held_out, output, cache / "finetuning")


def base_folder(name: Name, output: Path) -> Path:
    """The folder of the model that a classifier is fine-tuned from; ValueError without it."""
    if name.plain:
        return demo_folder(BASE)
    folder = output / str(name.of(BASE))
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{name} is fine-tuned from {folder.name}, which is not in {output}: train {folder.name} first")
    return folder


def make(name: Name, training: Probe, held_out: Probe, output: Path, work: Path, recipe: Recipe = RECIPE) -> dict:
    """Fine-tune one classifier, write it and its card; returns its scores on the held-out images."""
    source, base = base_folder(name, output), f"demo/{name.of(BASE)}"
    recipe = recipe if name.seed is None else recipe.changed(seed=name.seed)
    target = load_demo_folder(source) if name.plain else replace(load_demo_folder(source), name=str(name.of(BASE)))
    tuned = finetune(target, training, CLASSIFIERS[name.base], work / str(name), recipe, Running(progress=False))
    held_out.warm(progress=False)
    scores = evaluate(tuned.target, held_out, tuned.task)
    config = {**read_config(source), "base": base, "base_fingerprint": target.fingerprint, "task": tuned.task.name}
    config |= {"classes": list(tuned.task.classes), "layers": list(tuned.target.layers), "held_out": scores}
    config = {key: config[key] for key in (*CLASSIFIER_KEYS, "base_fingerprint", "held_out")}
    save_demo_classifier(tuned.target.module, output / str(name), config)
    images = {
        "training": f"{TRAINING_IMAGES} phantoms of seed {TRAINING_SEED}",
        "held_out": f"phantoms of seed {HELD_OUT_SEED}",
    }
    write_classifier_card(output / str(name) / "README.md", base, tuned, scores, recipe, **images)
    print(
        f"{name}:",
        *summary(tuned.metrics | {"held-out": scores, "loading": f"load_target(<{output.name}>/{name})"}),
        sep="\n",
        flush=True,
    )
    return scores
