"""What a task loses when chosen neurons of a network are set to their mean, beside random sets of as many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect.arguments import RATE, kind_of, number, one_of, shown, whole_number
from mdissect.calibrate import q_values
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.models import Target
from mdissect.predictions.ablated import AtHead, Behind
from mdissect.predictions.groups import chosen_neurons, labels_by, members, of_layer
from mdissect.predictions.head import Head, NoHeadError
from mdissect.predictions.passes import check_same_target, head_of, interval, patient_weights
from mdissect.predictions.random_sets import random_sets
from mdissect.predictions.scores import METRICS, mean_scores, tie_of
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.train.metrics import probabilities
from mdissect.train.tasks import Labels, Task, read_labels

MATCHED = ("weight", "activation")
GROUPED = ("task", "category", "broad_category")
TIE = 1e-9
COLUMNS = [
    "group", "layer", "neurons", "metric", "before", "after", "change", "low", "high", "random", "random_low", "random_high",
    "excess", "excess_low", "excess_high", "p",
]  # fmt: skip


@dataclass(frozen=True)
class AblationOptions:
    """How neurons are ablated, and what they are compared with.

    Attributes
    ----------
    layer : str, optional
        By default the last dissected layer that feeds the network's head, or the last one.
    labels : DataFrame, optional
        Labels by another rule than the dissection's own: layer, neuron, concept.
    to : "mean", "zero" or a number
        What neurons are set to; "mean": each to its own mean over the probe.
    metric : {"auc", "accuracy", "macro_f1"}
        See `mdissect.train.metrics.classification_scores`; the AUC of several classes is the mean of each against all others.
    n_random : int
        Random sets of as many neurons of the same layer.
    match : {"weight", "activation"}, optional
        Random sets have as many neurons of each fifth of the layer by the mean size of their weights to the outputs (less the
        mean over outputs; of a layer that feeds the head), or by the spread of their activations. By default any neurons.
    n_boot, level, seed
        Resamples of patients, level of the intervals, and the seed of sets and resamples.
    run : PassOptions
        Of the pass over the probe.
    """

    layer: str | None = None
    labels: pd.DataFrame | None = None
    to: str | float = "mean"
    metric: str = "auc"
    n_random: int = 100
    match: str | None = None
    n_boot: int = 500
    level: float = 0.95
    seed: int = 0
    run: PassOptions = field(default_factory=PassOptions)

    def __post_init__(self):
        if isinstance(self.to, str):
            one_of("to", self.to, ("mean", "zero"))
        else:
            object.__setattr__(self, "to", number("to", self.to))
        one_of("metric", self.metric, METRICS)
        if self.match is not None:
            one_of("match", self.match, MATCHED)
        for name in ("n_random", "n_boot"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0))
        RATE("level", self.level)


class NoLabelError(ValueError):
    """No neuron of a layer has a label of any group; the message names the layer."""


def _task(name: str, value: object) -> object:
    kind_of(name, value, (str, Task), "the name of a task or column")
    return value


def _whole_numbers(name: str, value: object) -> list[int]:
    """Neurons as a list, each once, in order."""
    if isinstance(value, (str, bytes)) or not (isinstance(value, Iterable) or hasattr(value, "__array__")):
        raise TypeError(f"{name}={shown(value)} must be a list of whole numbers")
    listed = np.asarray(value).ravel().tolist() if hasattr(value, "__array__") else list(value)
    return sorted({whole_number(f"{name}[{i}]", one, 0) for i, one in enumerate(listed)})


@validated(task=_task, neurons=_whole_numbers)
def ablate(
    target: Target,
    dissection: Dissection,
    probe: Probe,
    task: str | Task,
    *,
    category: str | None = None,
    concepts: Sequence[str] | None = None,
    neurons: Sequence[int] | None = None,
    options: AblationOptions | None = None,
) -> pd.DataFrame:
    """What a classifier's task loses when some neurons of a layer are set to their mean: one row.

    >>> ablate(load_target("demo/C3"), found, probe, "mass", category="Mass")                     # doctest: +SKIP

    Parameters
    ----------
    target : Target
        A classifier of the task: one output per class, or one for two classes.
    dissection : Dissection
        Of this target; its labels name the neurons.
    probe : Probe
        Images with labels for the task, which the classifier was not trained on. Images on which the neurons were labelled
        flatter small losses; other images do not.
    task : str
        One of the study's four ("density", "birads", "mass", "calcification"), or a column of the probe's table.
    category, concepts, neurons
        One of the three: neurons whose label is of a category or broad category, those labelled with one of some concepts, or
        their numbers.
    options : AblationOptions, optional

    Returns
    -------
    DataFrame
        group, layer, neurons (how many), metric, before, after, change (after minus before: a loss is negative), low, high (its
        interval over resampled patients, the same patients before and after), random (mean change of the random sets),
        random_low, random_high (95 % of them), excess (change minus random: below 0 the neurons matter more than others),
        excess_low, excess_high (over patients, the random sets held fixed), p (share of the random sets that lose as much, one
        added to both counts). Attributes (``.attrs``): task, to, match, n_random, n_images, n_patients, head. Intervals are NaN
        for a single patient.

    Raises
    ------
    ValueError
        No neuron has such a label (the layer's labels are listed), no labels for the task, another number of outputs, or none,
        or several, of category, concepts and neurons.
    """
    given = [name for name, one in (("category", category), ("concepts", concepts), ("neurons", neurons)) if one is not None]
    if len(given) != 1:
        raise ValueError(f"give one of category, concepts and neurons; found {' and '.join(given) or 'none'}")
    job = _Job.of(target, dissection, probe, task, options)
    if neurons is not None:
        chosen, name = _of_layer(neurons, job.n_neurons, job.layer), f"{len(neurons)} neurons"
    else:
        chosen = chosen_neurons(job.labels, job.layer, dissection.concepts, category, concepts)
        name = category or "; ".join(concepts)
    return job.table({name: chosen})


@validated(task=_task, by=GROUPED)
def ablate_groups(
    target: Target,
    dissection: Dissection,
    probe: Probe,
    task: str | Task,
    by: str = "broad_category",
    options: AblationOptions | None = None,
) -> pd.DataFrame:
    """`ablate` for each category of a layer's labels: a row each, the most expensive first.

    >>> ablate_groups(load_target("demo/C3"), found, probe, "mass")[["group", "change", "excess", "q"]]    # doctest: +SKIP

    Parameters
    ----------
    by : {"broad_category", "category", "task"}
        A neuron whose concept stands in several counts in each. "task": the tasks that a concept is evidence for, as
        the concept set has them.

    Returns
    -------
    DataFrame
        As `ablate`, and q: p-values by Benjamini and Hochberg over the rows.
    """
    job = _Job.of(target, dissection, probe, task, options)
    if not (groups := members(job.labels, by, dissection.concepts)):
        raise NoLabelError(f"no neuron of layer {job.layer!r} has a label; raise q, or give neurons=")
    table = job.table(groups)
    attributes = table.attrs
    table = table.assign(q=q_values(table.p.to_numpy())).sort_values("change", kind="stable").reset_index(drop=True)
    table.attrs = attributes
    return table


@dataclass(frozen=True)
class _Job:
    """A classifier, the labelled images of a task, and a layer whose neurons are ablated."""

    target: Target
    probe: Probe  # the images that have a label
    truth: Labels
    layer: str
    head: Head | None  # None: the layer does not feed it
    labels: pd.DataFrame
    n_neurons: int
    options: AblationOptions

    @classmethod
    def of(cls, target: Target, dissection: Dissection, probe: Probe, task: str, options: AblationOptions | None) -> "_Job":
        options = options or AblationOptions()
        check_same_target(target, dissection)
        truth = read_labels(probe, task)
        head = _head(target, dissection, probe, options)
        layer = head.layer if head else options.layer or dissection.layers[-1]
        one_of("layer", layer, dissection.layers)
        if head is None and options.match == "weight":
            raise ValueError(f"match='weight': layer {layer!r} does not feed a head, so it has no weights; use 'activation'")
        n_neurons = len(dissection.similarity[layer])
        table = dissection.labels() if options.labels is None else options.labels
        labels = of_layer(labels_by("labels", table, dissection), layer, n_neurons)
        return cls(target, probe.subset(truth.positions), truth, layer, head, labels, n_neurons, options)

    def table(self, groups: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """A row for each group of neurons."""
        run = (self.target, self.probe, self.layer, self.options.to, self.options.run)
        runs = AtHead(self.head, *run) if self.head else Behind(*run)
        self._check_outputs(runs.before)
        size = runs.size(self.options.match)
        sets = {}
        for name, chosen in groups.items():
            own = np.zeros((1, self.n_neurons), dtype=bool)
            own[0, chosen] = True
            drawn = random_sets(chosen, self.n_neurons, self.options.n_random, self.options.seed, size)
            sets[name] = np.concatenate([own, drawn])
        parts = list(sets.values())
        scores, rows = _Scores(self.truth, self.options, runs.before), []
        base = scores.of(runs.before)
        for name, after in zip(sets, runs.logits(parts), strict=True):
            row = self._row(base, scores.of(after[0]), scores.of(*after[1:]), scores.each(after[1:]))
            rows.append({"group": name, "layer": self.layer, "neurons": int(sets[name][0].sum()), **row})
        found = pd.DataFrame(rows)[COLUMNS]
        found.attrs = {
            "task": self.truth.task.name, "to": self.options.to, "match": self.options.match or "none",
            "n_random": self.options.n_random, "n_images": len(self.truth), "n_patients": len(set(self.truth.patients)),
            "head": self.head.path if self.head else "",
        }  # fmt: skip
        return found

    def _row(self, base: np.ndarray, own: np.ndarray, mean: np.ndarray, each: np.ndarray) -> dict:
        """Of scores (1 + n_boot,) before, with the group ablated, and of the random sets' mean; (n_random,) of each set."""
        change, excess, drawn, level = own - base, own - mean, each - base[0], self.options.level
        low, high = interval(change[1:], level)
        random_low, random_high = np.quantile(drawn, [0.025, 0.975])
        excess_low, excess_high = interval(excess[1:], level)
        return {
            "metric": self.options.metric, "before": base[0], "after": own[0], "change": change[0],
            "low": low, "high": high, "random": drawn.mean(), "random_low": random_low, "random_high": random_high,
            "excess": excess[0], "excess_low": excess_low, "excess_high": excess_high,
            "p": (1 + (drawn <= change[0] + TIE).sum()) / (1 + len(drawn)),
        }  # fmt: skip

    def _check_outputs(self, logits: np.ndarray) -> None:
        task, n_outputs = self.truth.task, logits.shape[1]
        if n_outputs != task.n_outputs and not (task.binary and n_outputs == 2):
            raise ValueError(
                f"target {self.target.name!r} has {n_outputs} outputs; a classifier of {task.name} ({', '.join(task.classes)}) "
                f"has {task.n_outputs}"
            )


class _Scores:
    """Scores of logits, (n_images, n_outputs) or of several sets, on the probe itself and on resamples of its patients."""

    def __init__(self, truth: Labels, options: AblationOptions, before: np.ndarray):
        self.truth, self.metric = truth, options.metric
        self.own = np.ones((1, len(truth)))
        self.weights = np.concatenate([self.own, patient_weights(truth.patients, options.n_boot, options.seed)])
        self.tie = tie_of(probabilities(before))

    def of(self, *sets: np.ndarray) -> np.ndarray:
        """The mean over sets, (1 + n_boot,)."""
        return self._mean(sets, self.weights)

    def each(self, sets: np.ndarray) -> np.ndarray:
        """Of every set on the probe itself, (n_sets,)."""
        return np.array([self._mean([one], self.own)[0] for one in sets])

    def _mean(self, sets: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        probability = np.stack([probabilities(one) for one in sets])
        return mean_scores(self.truth.y, probability, weights, self.metric, self.tie)


def _head(target: Target, dissection: Dissection, probe: Probe, options: AblationOptions) -> Head | None:
    """The head that a layer feeds; None where the layer does not, or the network has none."""
    if options.layer is not None:
        one_of("layer", options.layer, dissection.layers)
    try:
        return head_of(target, dissection, probe, options.run, options.layer)
    except NoHeadError:
        return None


def _of_layer(neurons: Sequence[int], n_neurons: int, layer: str) -> np.ndarray:
    """Neurons of a layer, one at least, else ValueError."""
    if not neurons:
        raise ValueError("neurons is empty; name one at least")
    if max(neurons) >= n_neurons:
        raise ValueError(f"neurons={shown(list(neurons))}: layer {layer!r} has the neurons 0 to {n_neurons - 1}")
    return np.array(neurons)
