"""What is known of a probe's images: the zero-shot tasks, and the labels that a classifier can learn."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from mdissect.evaluate.zero_shot import ZeroShotTask
from mdissect.phantom.mammograms import reports, truth_of_row
from mdissect.phantom.scenes import captions
from mdissect.phantom.scenes.scenes import SceneTruth
from mdissect.predictions.levels import Truth, asked_truth, read_truth
from mdissect.predictions.prompts import PUBLISHED, PromptPair, as_prompts
from mdissect.probes import Probe
from mdissect.train.demo.zeroshot import FEWEST_POSITIVES, GOAL, MAMMOGRAM_PROMPTS, SCENE_FAMILIES
from mdissect.train.tasks import TASKS, Labels, OneClassError, read_labels

PHANTOMS, SCENES = "phantom", "natural"
GENERATED = re.compile(rf"({PHANTOMS}|{SCENES})-(\d+)-(\d+)")
HEADLINE, ALL = "mean of six", "mean of all"
DENSITY = (
    ("almost entirely fatty breast",),
    ("scattered areas of fibroglandular density",),
    ("heterogeneously dense breast",),
    ("extremely dense breast",),
)
"""A to D in the words of BI-RADS: Mammo-CLIP's code can score density, but no prompts for it were published."""

PUBLISHED_TRUTH = {"mass": "mass", "suspicious calcification": "calcification", "malignancy": "cancer"}
LEARNT = ("mass", "calcification", "density", "cancer")


def generated_kind(probe: Probe) -> str:
    """ "phantom" or "natural" where all images of a probe are those; "" for others."""
    kinds = {found[1] if (found := GENERATED.fullmatch(image_id)) else "" for image_id in probe.ids}
    return kinds.pop() if len(kinds) == 1 else ""


def seeds_of(probe: Probe) -> list[tuple[int, int]]:
    """Seed and index of each generated image."""
    found = (GENERATED.fullmatch(image_id) for image_id in probe.ids)
    return [(int(one[2]), int(one[3])) for one in found]


def mammogram_truths(probe: Probe) -> list:
    """The `Truth` of each phantom of a probe."""
    return [truth_of_row(row) for row in probe.table.astype({"index": int, "birads": int}).to_dict("records")]


def scene_truths(probe: Probe) -> list[SceneTruth]:
    """The `SceneTruth` of each scene of a probe."""
    return [SceneTruth(**row) for row in probe.table[list(SceneTruth.__dataclass_fields__)].to_dict("records")]


def zero_shot_tasks(probe: Probe, prompts: tuple[PromptPair, ...] | None, truth: Truth) -> tuple[list[ZeroShotTask], list[str]]:
    """The zero-shot tasks of a probe, and notes on those that it cannot pose."""
    if prompts is None and truth is None and (kind := generated_kind(probe)):
        return _posed(_mammogram_tasks(probe) if kind == PHANTOMS else _scene_tasks(probe))
    if prompts is not None and truth is None:
        names = ", ".join(repr(pair.name) for pair in prompts)
        raise ValueError(f"prompts of {names} need the columns with their truth: truth={{finding: column}}")
    if truth is None:
        return _published_tasks(probe)
    pairs = as_prompts("prompts", prompts)
    asked = asked_truth({pair.name: pair.classes for pair in pairs}, truth)
    return [_of_pair(pair, read_truth(probe, *asked[pair.name])) for pair in pairs if pair.name in asked], [
        f"zero-shot, {pair.name}: no truth was given" for pair in pairs if pair.name not in asked
    ]


def learnable(probe: Probe, tasks: Sequence[str] | None) -> tuple[dict[str, Labels], list[str]]:
    """The labels of the tasks asked for, or of `LEARNT` as far as the probe has them, and notes on what it does not have."""
    if tasks is not None:
        return {name: read_labels(probe, name) for name in tasks}, []
    found, notes = {}, []
    for name in LEARNT:
        labels, why = _labels_or_why(probe, name)
        if labels is not None:
            found[name] = labels
        else:
            notes.append(f"not learnt: {name} ({why})")
    return found, notes


def _labels_or_why(probe: Probe, name: str) -> tuple[Labels | None, str]:
    """The labels of a task, or why there are none; a cell that cannot be read is an error."""
    columns = TASKS[name].columns if name in TASKS else (name,)
    if not any(column in probe.table for column in columns):
        return None, f"no column {' or '.join(columns)}"
    try:
        return read_labels(probe, name), ""
    except OneClassError as error:
        return None, str(error)


def _published_tasks(probe: Probe) -> tuple[list[ZeroShotTask], list[str]]:
    """Mammo-CLIP's published pairs, and density, as far as the table has their truth."""
    tasks, notes = [], []
    for pair in as_prompts("prompts", PUBLISHED):
        labels, why = _labels_or_why(probe, PUBLISHED_TRUTH[pair.name])
        if labels is None:
            notes.append(f"zero-shot, {pair.name}: {why}")
        else:
            tasks.append(_of_pair(pair, labels))
    labels, why = _labels_or_why(probe, "density")
    if labels is None:
        notes.append(f"zero-shot, density: {why}")
    else:
        tasks.append(ZeroShotTask("density", TASKS["density"].classes, DENSITY, labels.positions, labels.y, labels.patients))
        notes.append("zero-shot, density: texts in the words of BI-RADS, since no prompts for it were published")
    return tasks, notes


def _of_pair(pair: PromptPair, labels: Labels) -> ZeroShotTask:
    texts = (pair.negative, pair.positive)
    return ZeroShotTask(pair.name, pair.classes, texts, labels.positions, labels.y, labels.patients)


def _posed(tasks: Iterator[ZeroShotTask]) -> tuple[list[ZeroShotTask], list[str]]:
    """The tasks with images of both classes, and notes on the others."""
    found, notes = [], []
    for task in tasks:
        if 0 < task.y.sum() < len(task.y):
            found.append(task)
        else:
            notes.append(f"zero-shot, {task.name}: {int(task.y.sum())} of {len(task.y)} images show it")
    return found, notes


def _mammogram_tasks(probe: Probe) -> Iterator[ZeroShotTask]:
    """The findings of the demo models' cards."""
    keys, patients = [reports.true_keys(truth) for truth in mammogram_truths(probe)], np.array(probe.patients, dtype=object)
    for name, (yes, no, yes_text, no_text) in MAMMOGRAM_PROMPTS.items():
        present = np.array([yes in own for own in keys])
        used = present | np.array([no in own for own in keys]) if no else np.ones(len(keys), dtype=bool)
        texts = ((no_text,) if no_text else (), (yes_text,))
        positions = np.flatnonzero(used)
        means = (HEADLINE,) if name in GOAL else ()
        yield ZeroShotTask(
            name, (f"not {name}", name), texts, positions, present[used].astype(int), patients[positions], (*means, ALL)
        )


def _scene_tasks(probe: Probe) -> Iterator[ZeroShotTask]:
    """One value of a family against all others; those of fewer than five scenes are left out, as on the cards."""
    keys, patients = [captions.true_keys(truth) for truth in scene_truths(probe)], np.array(probe.patients, dtype=object)
    for key in captions.factor_keys():
        family, present = key.partition("=")[0], np.array([key in own for own in keys])
        if family in SCENE_FAMILIES and present.sum() >= FEWEST_POSITIVES:
            texts, everywhere = ((), (captions.prompt(key),)), np.arange(len(keys))
            classes, means = (f"not {key}", key), (f"mean of {family}",)
            yield ZeroShotTask(key, classes, texts, everywhere, present.astype(int), patients, means)
