"""A logit as the exact sum of what each named neuron hands to a linear head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, INTEGER, RATE, one_of, shown
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.models import Target
from mdissect.predictions.groups import BY, first_group, labels_by, of_layer
from mdissect.predictions.head import Head
from mdissect.predictions.passes import (
    additivity_error,
    as_images,
    as_probe,
    check_same_target,
    head_of,
    head_pass,
    interval,
    patient_weights,
)
from mdissect.probes import Probe
from mdissect.signatures import validated

OUTSIDE = "outside the layer"
NONE, MEAN = -1, -2  # what a logit counts against: nothing, or the mean of all


def _against(name: str, value: object) -> int | str:
    return value if isinstance(value, str) and value == "mean" else INTEGER(name, value)


def _image(name: str, value: object) -> int | str:
    return value if isinstance(value, str) else INTEGER(name, value)


def _baseline(name: str, value: object) -> object:
    if not isinstance(value, Contributions):
        one_of(name, value, ("zero", "mean"))
    return value


@dataclass(frozen=True)
class Contributions:
    """Logits of some images as sums over neurons. Made by `contributions`.

    Attributes
    ----------
    head : Head
        The linear layer and the layer whose neurons feed it.
    inputs : (n_images, n_inputs) float64
        What the head gets: each neuron's activation, pooled as the network pools it.
    logits : (n_images, n_outputs) float64
        The network's own.
    class_index, against : (n_images,) int
        The logit explained, and the one subtracted from it (-1: none, -2: the mean of all).
    reference : (n_inputs,) float64
        Inputs from which contributions are counted: zeros, or a probe's means.
    labels : DataFrame
        A row per neuron of the layer: neuron, concept, category, broad_category.
    ids : list of str
    member : (n_images,) int
        Patients, numbered; images without one count as their own.
    error : float
        The largest difference between a sum and the network's logit, in parts of the largest logit.
    """

    head: Head
    inputs: np.ndarray
    logits: np.ndarray
    class_index: np.ndarray
    against: np.ndarray
    reference: np.ndarray
    labels: pd.DataFrame
    ids: list[str]
    member: np.ndarray
    error: float

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def by_neuron(self) -> np.ndarray:
        """Contributions (n_images, n_neurons + 1); the last column is what the head gets from elsewhere (mostly 0)."""
        return self.head.by_neuron((self.inputs - self.reference) * self._of_images(self.head.weight))

    @property
    def start(self) -> np.ndarray:
        """What is there before any neuron contributes, (n_images,): the bias, or the logit of the reference."""
        return self._of_images(self.head.bias + self.head.weight @ self.reference)

    @property
    def logit(self) -> np.ndarray:
        """The explained logit of each image, (n_images,): `start` and the sum of `by_neuron`, up to `error`."""
        return (self.logits * self._of_images(np.eye(self.logits.shape[1]))).sum(axis=1)

    def _of_images(self, by_output: np.ndarray) -> np.ndarray:
        """Of values by output (n_outputs, ...), each image's: that of its class minus that of the output against it."""
        rows = np.concatenate([by_output, by_output.mean(axis=0, keepdims=True), np.zeros_like(by_output[:1])])
        against = np.select([self.against == MEAN, self.against == NONE], [len(by_output), len(by_output) + 1], self.against)
        return rows[self.class_index] - rows[against]

    @validated(class_index=INTEGER, against=_against)
    def of(self, class_index: int, against: int | str | None = None) -> "Contributions":
        """The same images, explaining another class's logit."""
        chosen, other = _classes(self.logits, class_index, against)
        return replace(self, class_index=chosen, against=other)

    @validated()
    def with_labels(self, labels: pd.DataFrame, dissection: Dissection) -> "Contributions":
        """The same contributions under the labels of another rule: a table layer, neuron, concept."""
        table = of_layer(labels_by("labels", labels, dissection), self.head.layer, self.head.n_neurons)
        return replace(self, labels=table)

    @validated(image=_image)
    def table(self, image: int | str = 0) -> pd.DataFrame:
        """Every neuron's contribution to an image's logit, the largest first.

        Parameters
        ----------
        image : int or str
            Position among the images, or id.

        Returns
        -------
        DataFrame
            neuron, concept, category, broad_category, activation (what the head gets), weight, contribution; activation and
            weight are NaN where a neuron feeds several inputs of the head.
        """
        i = self._position(image)
        table = self.labels.assign(activation=np.nan, weight=np.nan)
        if np.array_equal(self.head.owner, np.arange(self.head.n_neurons)):
            table = table.assign(activation=self.inputs[i], weight=self._row(i)._of_images(self.head.weight)[0])
        table = table.assign(contribution=self._row(i).by_neuron[0, :-1])
        return table.sort_values("contribution", key=lambda c: -c.abs(), kind="stable").reset_index(drop=True)

    @validated(by=BY)
    def grouped(self, by: str = "broad_category") -> pd.DataFrame:
        """Contributions of groups of neurons: a row per image, a column per group; with `start` they sum to the logit.

        A neuron whose concept stands in several groups counts in the first. Neurons without a label are "no label"; what the
        head gets from elsewhere is "outside the layer".
        """
        names, values = first_group(self.labels, by), self.by_neuron
        groups = list(dict.fromkeys(names))
        member = (names.to_numpy()[:, None] == np.array(groups, dtype=object)).astype(float)
        table = pd.DataFrame(values[:, :-1] @ member, index=pd.Index(self.ids, name="image"), columns=groups)
        return table.assign(**{OUTSIDE: values[:, -1]}) if (self.head.owner < 0).any() else table

    @validated(image=_image, by=BY, top=AT_LEAST_ONE)
    def waterfall(self, image: int | str = 0, by: str = "concept", top: int = 8) -> pd.DataFrame:
        """From the start to an image's logit in steps, the largest groups first, the rest as "others".

        Returns
        -------
        DataFrame
            kind ("start", "group", "others", "end"), group, neurons (how many), contribution, start, end. The first row is the
            bias (or the reference's logit), the last the logit.
        """
        i = self._position(image)
        one = self._row(i)
        sizes = first_group(self.labels, by).value_counts()
        steps = one.grouped(by).iloc[0]
        steps = steps.iloc[np.argsort(-steps.abs().to_numpy(), kind="stable")]
        rows = [("group", name, int(sizes.get(name, 0)), value) for name, value in steps.items()]
        if len(rows) > top:
            rest = rows[top - 1 :]
            rows = [*rows[: top - 1], ("others", f"{len(rest)} others", sum(r[2] for r in rest), sum(r[3] for r in rest))]
        first = ("start", "mean image" if self.reference.any() else "bias", 0, one.start[0])
        table = pd.DataFrame([first, *rows], columns=["kind", "group", "neurons", "contribution"])
        ends = table.contribution.cumsum()
        table = table.assign(start=ends.shift(fill_value=0.0), end=ends)
        end = pd.DataFrame([("end", "logit", 0, one.logit[0], 0.0, one.logit[0])], columns=table.columns)
        return pd.concat([table, end], ignore_index=True)

    @validated(by=BY, n_boot=AT_LEAST_ONE, level=RATE)
    def compared(
        self, present: Sequence[bool], by: str = "broad_category", n_boot: int = 500, seed: int = 0, level: float = 0.95
    ) -> pd.DataFrame:
        """Mean contributions of groups on images with and without something, and their difference.

        >>> contributions(c3, found, probe).compared(probe.table["mass"])                          # doctest: +SKIP

        Parameters
        ----------
        present : (n_images,) bool
        n_boot, seed, level
            Of the interval of the difference: patients are drawn with replacement, each with all images.

        Returns
        -------
        DataFrame
            group, neurons, mean, with_it, without_it, difference, low, high, share (of the difference between the mean logits);
            the largest difference first. Differences sum to that of the logits. Intervals are NaN for one patient.
        """
        present = _presence(present, len(self))
        table, sizes = self.grouped(by), first_group(self.labels, by).value_counts()
        values = table.to_numpy()

        def difference(weights: np.ndarray) -> np.ndarray:
            sides = [(weights * side) for side in (present, ~present)]
            with np.errstate(invalid="ignore", divide="ignore"):
                means = [side @ values / side.sum(axis=1, keepdims=True) for side in sides]
            return means[0] - means[1]

        own = difference(np.ones((1, len(self))))[0]
        low, high = interval(difference(patient_weights(self.member, n_boot, seed)), level)
        whole = self.logit[present].mean() - self.logit[~present].mean()
        found = pd.DataFrame(
            {
                "group": table.columns,
                "neurons": [int(sizes.get(name, 0)) for name in table],
                "mean": values.mean(axis=0),
                "with_it": values[present].mean(axis=0),
                "without_it": values[~present].mean(axis=0),
                "difference": own,
                "low": low,
                "high": high,
                "share": own / whole if whole else np.nan,
            }
        )
        return found.sort_values("difference", key=lambda c: -c.abs(), kind="stable").reset_index(drop=True)

    @validated(by=BY, n_boot=AT_LEAST_ONE)
    def class_wise(
        self, y: Sequence[int], by: str = "broad_category", n_boot: int = 500, seed: int = 0, classes: Sequence[str] = ()
    ) -> pd.DataFrame:
        """`compared` for each class: contributions to its logit on its images and on all others.

        `y` (n_images,) are the classes as numbers, `classes` their names. A network with one output has one logit, of class 1.
        Of several outputs each logit counts against the mean of all. Classes without images, or with all, are left out.
        """
        y = np.asarray(y)
        if y.shape != (len(self),):
            raise ValueError(f"y has shape {y.shape}; expected a class for each of {len(self)} images")
        n_outputs, parts = self.logits.shape[1], []
        for k in range(n_outputs) if n_outputs > 1 else [1]:
            if 0 < (y == k).sum() < len(y):
                one = self.of(k, "mean") if n_outputs > 1 else self
                name = classes[k] if k < len(classes) else str(k)
                parts.append(one.compared(y == k, by, n_boot, seed).assign(**{"class": name}))
        if not parts:
            raise ValueError(
                f"y has no two classes among the network's {max(n_outputs, 2)}; found {shown(np.unique(y).tolist())}"
            )
        table = pd.concat(parts, ignore_index=True)
        return table[["class", *(column for column in table if column != "class")]]

    def _row(self, i: int) -> "Contributions":
        """One image's."""
        cut = ("inputs", "logits", "class_index", "against", "member")
        return replace(self, ids=[self.ids[i]], **{name: getattr(self, name)[i : i + 1] for name in cut})

    def _position(self, image: int | str) -> int:
        if isinstance(image, str):
            if image not in self.ids:
                raise KeyError(f"image {image!r} is not among the {len(self)} images explained")
            return self.ids.index(image)
        if not 0 <= image < len(self):
            raise IndexError(f"image={image} is not among the {len(self)} images explained, 0 to {len(self) - 1}")
        return image


@validated(images=as_images, class_index=INTEGER, against=_against, baseline=_baseline)
def contributions(
    target: Target,
    dissection: Dissection,
    images: "Probe | np.ndarray | Sequence[np.ndarray]",
    class_index: int | None = None,
    against: int | str | None = None,
    baseline: "str | Contributions" = "zero",
    options: PassOptions | None = None,
) -> Contributions:
    """What each neuron adds to a network's logit: weight times what the linear head gets of it.

    >>> found = contributions(target, dissection, probe)                                          # doctest: +SKIP
    >>> found.waterfall("phantom-7-12", by="concept")                                              # doctest: +SKIP

    The logit is the exact sum of these and the bias. Whatever stands between a neuron and the head and acts on each neuron
    alone (pooling of any kind, batch norm, activation, dropout) is part of what the head gets of it: so a neuron's activation
    here is not always its mean over the map, by which it was dissected. Head and layer are found by `find_head`.

    Parameters
    ----------
    images : Probe, list of arrays (height, width[, 3]), or one such array
    class_index : int, optional
        The output to be explained; by default the only one, or of several each image's largest.
    against : int, "mean", optional
        Another output, or the mean of all, that is subtracted: of a softmax only differences count.
    baseline : {"zero", "mean"} or Contributions
        What contributions are counted from. "zero": the plain sum, from the bias. "mean": the mean over the images, so that the
        sum explains an image's difference from the mean logit. The mean over another probe: that probe's contributions.
    options : PassOptions, optional
        Of the pass over the images; `axes` also for the search of the layer.

    Raises
    ------
    ValueError
        A dissection of another target; no linear head, or none of its layers feeds it (the message says what stands between and
        which layer to dissect); outputs that are not finite; an output that the network does not have.
    """
    options = options or PassOptions()
    check_same_target(target, dissection)
    probe = as_probe(images)
    head = head_of(target, dissection, probe, options)
    inputs, logits = head_pass(target, probe, head, options)
    reference = _reference(baseline, inputs, head)
    chosen, other = _classes(logits, class_index, against)
    table = of_layer(labels_by("labels", dissection.labels(), dissection), head.layer, head.n_neurons)
    member = np.unique(np.array(probe.patients).astype(str), return_inverse=True)[1]
    error = additivity_error(head, inputs, logits)
    return Contributions(head, inputs, logits, chosen, other, reference, table, list(probe.ids), member, error)


def _classes(logits: np.ndarray, class_index: int | None, against: int | str | None) -> tuple[np.ndarray, np.ndarray]:
    """The explained and the subtracted output of each image, (n_images,) each."""
    n_images, n_outputs = logits.shape
    for name, value in (("class_index", class_index), ("against", None if against == "mean" else against)):
        if value is not None and not 0 <= value < n_outputs:
            raise ValueError(f"{name}={value} is not an output of the network, which has {n_outputs}, from 0 on")
    if against is not None and n_outputs == 1:
        raise ValueError(f"against={shown(against)}: the network has one output only; leave it out")
    chosen = logits.argmax(axis=1) if class_index is None else np.full(n_images, class_index)
    return chosen, np.full(n_images, NONE if against is None else MEAN if against == "mean" else against)


def _reference(baseline: "str | Contributions", inputs: np.ndarray, head: Head) -> np.ndarray:
    """The inputs from which contributions are counted, (n_inputs,)."""
    if isinstance(baseline, Contributions):
        if baseline.head.path != head.path or not np.array_equal(baseline.head.weight, head.weight):
            raise ValueError(f"baseline is of another network, with head {baseline.head.path!r}; give this target's")
        return baseline.inputs.mean(axis=0)
    if baseline == "mean" and len(inputs) == 1:
        raise ValueError("baseline='mean' of one image is that image; give baseline=contributions(target, dissection, probe)")
    return inputs.mean(axis=0) if baseline == "mean" else np.zeros(inputs.shape[1])


def _presence(present: Sequence[bool], n_images: int) -> np.ndarray:
    """(n_images,) bool with both values, else ValueError."""
    found = np.asarray(present)
    if found.shape != (n_images,):
        raise ValueError(f"present has shape {found.shape}; expected a value for each of {n_images} images")
    if found.dtype != bool:
        if not np.isin(found.astype(object), [0, 1]).all():
            raise ValueError("present must be true or false for each image; leave out images of which it is not known")
        found = found.astype(bool)
    if found.all() or not found.any():
        raise ValueError(f"present is {'true' if found.all() else 'false'} for all images; there is nothing to compare")
    return found
