"""The demo's classifiers, fine-tuned from demo/mammo, with their cards.

Phantoms are drawn from fixed seeds, not those of demo/mammo; an interrupted run resumes where it was.
"""

from collections.abc import Iterable
from pathlib import Path

from mdissect.models import demo_folder, read_config, save_demo_classifier
from mdissect.probes import Probe, load_probe
from mdissect.train.demo.card import write_classifier_card
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


def make_classifiers(names: Iterable[str], output: Path, cache: Path) -> None:
    """Fine-tune the classifiers and write them into `output`; generated images and training states stay in `cache`."""
    demo_folder(BASE)
    training = load_probe("phantom", n_images=TRAINING_IMAGES, seed=TRAINING_SEED, cache=cache)
    held_out = load_probe("phantom", n_images=HELD_OUT_IMAGES, seed=HELD_OUT_SEED, cache=cache)
    for name in names:
        make(name, training, held_out, output, cache / "finetuning")


def make(name: str, training: Probe, held_out: Probe, output: Path, work: Path, recipe: Recipe = RECIPE) -> dict:
    """Fine-tune one classifier, write it and its card; returns its scores on the held-out images."""
    tuned = finetune(f"demo/{BASE}", training, CLASSIFIERS[name], work / name, recipe, Running())
    held_out.warm()
    scores = evaluate(tuned.target, held_out, tuned.task)
    save_demo_classifier(tuned.target.module, output / name, read_config(tuned.folder) | {"held_out": scores})
    images = {
        "training": f"{TRAINING_IMAGES} phantoms of seed {TRAINING_SEED}",
        "held_out": f"phantoms of seed {HELD_OUT_SEED}",
    }
    write_classifier_card(output / name / "README.md", BASE, tuned, scores, recipe, **images)
    print("\n".join(summary(tuned.metrics | {"held-out": scores})))
    return scores
