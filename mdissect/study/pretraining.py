"""What notebook 09 shows: a small pretraining, models evaluated, and where Mammo-FActOR and labelled neurons point."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE
from mdissect.models import files_digest, has_demo
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.study.profiles import TRAINING
from mdissect.study.study import DEMO_MODELS, Study

if TYPE_CHECKING:
    from mdissect.models import Dissector

SMALL_SIZE = (128, 80)
SMALL_TOWER = "timm/resnet10t"
EMBED_DIM = 64
EDGES = ("xmin", "ymin", "xmax", "ymax")
PARTS = ("zero-shot", "retrieval", "linear probe")
FINE_TUNING = {"batch_size": 8, "learning_rate": 5e-4, "head_learning_rate": 1e-2}  # of a demo tower


@dataclass(frozen=True)
class Seen:
    """Where findings are seen in images, for a figure. Made by `localised`.

    Attributes
    ----------
    findings : list of str
    image_ids : list of str
        An image for each finding.
    boxes : list of list of dict
        Of the finding in that image: xmin, ymin, xmax, ymax in pixels.
    heats : list of float32 arrays (2, height, width)
        In that image, by Mammo-FActOR and by the neurons that dissection labels with the finding; NaN where there are none.
    table : DataFrame
        Of `mdissect.localize.compare_localisation`, over all images that have boxes.
    """

    findings: list[str]
    image_ids: list[str]
    boxes: list[list[dict]]
    heats: list[np.ndarray]
    table: pd.DataFrame


@validated(n=AT_LEAST_ONE)
def studies_shown(probe: Probe, n: int = 2, seed: int = 0) -> list[dict]:
    """The first studies of a probe that have two views and a finding: images (positions of the views), texts (two of them)."""
    from mdissect.train.studies import read_studies

    studies, rng, found = read_studies(probe), np.random.default_rng(seed), []
    findings = probe.table.findings.fillna("") if "findings" in probe.table else pd.Series("", index=probe.table.index)
    for study, images in enumerate(studies.images):
        if len(images) > 1 and findings.iloc[images[0]]:
            views = [int(one) for one in studies.views(study, 2, rng)]
            found.append({"images": views, "texts": [text.text for text in studies.texts(study, 2, rng)]})
        if len(found) == n:
            break
    return found


@validated(epochs=AT_LEAST_ONE, n_images=AT_LEAST_ONE)
def small_pretraining(study: Study, epochs: int = 4, n_images: int = 400, seed: int = 0) -> pd.DataFrame:
    """The losses of a pretraining that takes seconds: of a small network on the first images of the training probe, small.

    The table of `mdissect.train.Pretrained.history`.
    """
    probe = study.probe(TRAINING)
    probe = probe.subset(slice(0, min(n_images, len(probe))))
    return study.kept(_pretrained, ignore=["probe"])(probe.key(), probe.table, epochs, seed, probe)


@validated()
def evaluated(study: Study, compared: Sequence[str] = (), setup: str = "M") -> dict[str, pd.DataFrame]:
    """`mdissect.evaluate.evaluate_dissector` of a setup's dissector, and of demo models where it is one, on the setup's probe.

    Zero-shot classification; of the demo's models also retrieval, and the linear probe with 10, 50 and 100 % of the training
    patients, which real images need the split for: ``python -m mdissect evaluate``. Fine-tuning: `fine_tuned`.

    Parameters
    ----------
    compared : sequence of str
        Demo models, left out where their files are not there, or where the setup's dissector is no demo model.
    """
    own, keep = study.profile.setups[setup], study.kept(_evaluated, ignore=["dissector", "probe", "store"])
    specs = [own.dissector, *(compared if own.dissector.startswith(DEMO_MODELS) else ())]
    probe, found = study.probe(own.probe), {}
    for spec in specs:
        if not spec.startswith(DEMO_MODELS):
            dissector = study.dissector(setup)
            found[spec] = keep(dissector.fingerprint, ("zero-shot",), probe.key(), probe.table, dissector, probe, study.store)
        elif has_demo(spec):
            files = files_digest(spec.removeprefix(DEMO_MODELS))
            found[spec] = keep(files, PARTS, probe.key(), probe.table, spec, probe, study.store)
    return found


@validated(epochs=AT_LEAST_ONE)
def fine_tuned(study: Study, tasks: Sequence[str], epochs: int = 6, setup: str = "M") -> pd.DataFrame:
    """Scores of a demo dissector's image tower, wholly fine-tuned on 10, 50 and 100 % of the training patients.

    The setup's probe is divided by patients. The table of `mdissect.evaluate.Evaluation`; empty where the dissector is no demo
    model: larger ones take hours, see ``python -m mdissect evaluate``.
    """
    own, probe = study.profile.setups[setup], study.probe(study.profile.setups[setup].probe)
    if not own.dissector.startswith(DEMO_MODELS):
        return pd.DataFrame()
    keep = study.kept(_fine_tuned, ignore=["dissector", "probe", "store"])
    files = files_digest(own.dissector.removeprefix(DEMO_MODELS))
    return keep(files, list(tasks), epochs, probe.key(), probe.table, own.dissector, probe, study.store)


@validated(epochs=AT_LEAST_ONE)
def localised(study: Study, findings: Sequence[str], epochs: int = 5, setup: str = "M") -> Seen:
    """Mammo-FActOR trained on the study's training probe, and how well it and labelled neurons point at findings.

    They are compared with the boxes of the setup's probe, whose patients are others. Findings without boxes there, or that no
    or all training images have, are left out.
    """
    probes = study.profile.setups[setup].probe, TRAINING
    files, keep = study.identity(), study.kept(_localised, ignore=["study"])
    known = files or [study.dissect(setup), study.dissector(setup).fingerprint, study.probe(probes[0]).key()]
    return keep(study, (known, study.probe(TRAINING).key()), setup, list(findings), epochs)


def _pretrained(key: str, table: pd.DataFrame, epochs: int, seed: int, probe: Probe) -> pd.DataFrame:
    from mdissect.models import new_model
    from mdissect.preprocess import Preprocess
    from mdissect.train import ContrastiveRecipe, Running, pretrain
    from mdissect.train.studies import corpus, read_studies

    texts = corpus(read_studies(probe), 500, seed)
    preprocess = Preprocess(SMALL_SIZE, "image", mean=0.2, std=0.25, orient="left")
    model = new_model(SMALL_TOWER, "small", texts=texts, preprocess=preprocess, embed_dim=EMBED_DIM, seed=seed)
    batch = max(2, min(16, len(set(probe.patients)) // 3))
    recipe = ContrastiveRecipe(epochs=epochs, batch_size=batch, learning_rate=1e-3, warmup_steps=10, seed=seed)
    with TemporaryDirectory() as folder:
        return pretrain(model, probe, folder, "labels", recipe, Running(progress=False, device="cpu")).history


def _evaluated(
    known_by: str, parts: Sequence[str], key: str, table: pd.DataFrame, dissector: "str | Dissector", probe: Probe, store: Path
) -> pd.DataFrame:
    from mdissect.evaluate import EvaluationOptions, evaluate_dissector
    from mdissect.models import load_dissector
    from mdissect.train import Running

    options, running = EvaluationOptions(parts=parts), Running(progress=False)
    return evaluate_dissector(load_dissector(dissector), probe, options, store=store, running=running).table


def _fine_tuned(
    known_by: str, tasks: list[str], epochs: int, key: str, table: pd.DataFrame, dissector: str, probe: Probe, store: Path
) -> pd.DataFrame:
    from mdissect.evaluate import EvaluationOptions, evaluate_dissector
    from mdissect.models import load_dissector
    from mdissect.train import Augment, Recipe, Running

    recipe = Recipe(epochs=epochs, augment=Augment.off(), **FINE_TUNING)
    options, running = EvaluationOptions(parts=["fine-tune"], tasks=tasks, recipe=recipe), Running(progress=False, workers=0)
    with TemporaryDirectory() as folder:
        return evaluate_dissector(load_dissector(dissector), probe, options, folder, store, running=running).table


def _localised(study: Study, known_by: object, setup: str, findings: list[str], epochs: int) -> Seen:
    from mdissect.localize import compare_localisation
    from mdissect.models import load_target
    from mdissect.train import FactorRecipe, Running, train_factor

    own, training = study.profile.setups[setup], study.probe(TRAINING)
    probe, target = study.probe(own.probe), load_target(own.target, **own.target_options)
    findings, labels = _told_apart(findings, training, probe), study.dissect(setup).labels()
    if not findings:
        return Seen([], [], [], [], pd.DataFrame())
    with TemporaryDirectory() as folder:
        running, recipe = Running(progress=False), FactorRecipe(epochs=epochs)
        factor = train_factor(target, study.dissector(setup), training, folder, findings, recipe, running, study.store)
    table = compare_localisation(factor, probe, labels, findings, store=study.store)
    return _shown(factor, probe, labels[labels.layer == factor.layer], findings, table)


def _told_apart(findings: Sequence[str], training: Probe, probe: Probe) -> list[str]:
    """The findings that some training images have and others do not, and of which the probe has a box."""
    from mdissect.localize import of_finding
    from mdissect.train.presence import read_presence

    boxes, found = [probe.boxes(position) for position in range(len(probe))], []
    for finding in findings:
        try:
            read_presence(training, [finding])
        except ValueError:
            continue
        found += [finding] if any(of_finding(own, finding) for own in boxes) else []
    return found


def _shown(factor, probe: Probe, labels: pd.DataFrame, findings: list[str], table: pd.DataFrame) -> Seen:
    """The first image with a box of each finding, and what both ways see in it."""
    from mdissect.localize import heatmaps, of_finding

    ids, boxes, heats = [], [], []
    every = [probe.boxes(position) for position in range(len(probe))]
    for finding in findings:
        position = next(i for i, own in enumerate(every) if of_finding(own, finding))
        image = probe[position]
        by_neurons = _by_neurons(factor, image, labels, finding)
        heats.append(np.stack([heatmaps(factor, [image], finding).maps[0], by_neurons]).astype(np.float32))
        ids.append(probe.ids[position])
        boxes.append([{edge: float(box[edge]) for edge in EDGES} for box in of_finding(every[position], finding)])
    return Seen(findings, ids, boxes, heats, table)


def _by_neurons(factor, image: np.ndarray, labels: pd.DataFrame, finding: str) -> np.ndarray:
    """The mean map of the neurons labelled with a finding (height, width), each on its scale; NaN where there are none."""
    from mdissect.localize import activation_maps, upsample
    from mdissect.localize.comparison import N_NEURONS, naming

    neurons = naming(labels, finding, N_NEURONS)
    if not len(neurons):
        return np.full(image.shape[:2], np.nan, np.float32)
    maps = activation_maps(factor.target, factor.layer, [image])[0][neurons]
    return upsample((maps / factor.mapper.spread.numpy()[neurons][:, None, None]).mean(axis=0), image.shape[:2])
