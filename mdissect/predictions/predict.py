"""A classifier's probabilities for images, breasts and patients."""

from collections.abc import Sequence

import numpy as np
import torch

from mdissect.arguments import kind_of, listed, texts
from mdissect.embed import PassOptions
from mdissect.models import Target
from mdissect.predictions.levels import Question, Truth, asked_truth, read_truth, some_truth
from mdissect.predictions.logits import OUTPUTS, class_probabilities, first_outputs, probe_outputs, stated_kind
from mdissect.predictions.passes import as_images, as_probe
from mdissect.predictions.result import Predictions, collected, column_name
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.train.tasks import Labels


@validated(probe=as_images, truth=some_truth, classes=texts, outputs=OUTPUTS)
def predict(
    target: Target,
    probe: "Probe | np.ndarray | Sequence[np.ndarray]",
    truth: Truth = None,
    classes: Sequence[str] | None = None,
    outputs: str = "auto",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> Predictions:
    """Class probabilities of every image, and per breast and patient by mean and by max.

    >>> found = predict(load_target("demo/C3"), load_probe("phantom", n_images=40), truth="mass")   # doctest: +SKIP
    >>> found.images.probability_mass.head(); found.scores[["level", "by", "auc", "auc_low", "auc_high"]]   # doctest: +SKIP

    A network's one output becomes the probability of the second of two classes by the logistic function, several become those
    of classes that exclude each other by softmax. The columns are probability_<class>, and predicted is the most probable class
    (of equally probable ones the first).

    Parameters
    ----------
    target : Target
        A classifier: its output is that of a linear layer.
    probe : Probe, or images as arrays
        Any number of images; they are read and computed in batches, in the order of the probe's ids.
    truth : str, optional
        The column of the probe's table with the true classes (their names; of two classes also yes and no), or one of the
        study's tasks (density, birads, mass, calcification). It gives `Predictions.scores`: for two classes the AUC of the
        second, for several the mean AUC of each against all others. A breast or patient has the second of two classes where one
        of its images has; of several classes, those whose images differ are not scored. For findings: a mapping of findings
        to columns.
    classes : sequence of str, optional
        Names of the outputs (of one output: two names, the second is that of a high output). By default the target's own,
        else "0", "1", ...
    outputs : {"auto", "logits", "probabilities", "findings"}
        What the network gives. "auto": logits, checked by running it: its output must be that of a linear layer. "findings":
        logits of findings that do not exclude each other, each by the logistic function; the column is
        probability_<finding>, and nothing is predicted. ("auto" knows such a network of transformers by its settings.)
    store : path, optional
        Where outputs are kept: a run that was killed resumes there, after its last 64 images.
    device, options
        As for `mdissect.embed.embed_probe`.

    Raises
    ------
    NoHeadError
        A ValueError: the network does not end in a linear layer; the message says in what.
    ValueError
        Classes that do not fit the outputs, truth that cannot be read, outputs that are not finite, weights that changed.
    """
    probe = as_probe(probe)
    kind = stated_kind(target) if outputs == "auto" else outputs
    given = tuple(classes or target.classes)
    labels = _read_truth(probe, given, truth, kind) if given else {}  # before anything runs
    first = first_outputs(target, probe, device, outputs)
    names = _names(target, given, first.shape[1], kind)
    class_probabilities(first, kind, target, probe)
    labels = labels or _read_truth(probe, names, truth, kind)
    probe_key = probe.key()
    raw = probe_outputs(target, probe, probe_key, store, device, options or PassOptions())
    probability = class_probabilities(raw, kind, target, probe)
    produced = {
        "command": "predict",
        "model": target.name,
        "model_fingerprint": target.fingerprint,
        "model_notes": list(target.notes),
        "classes": list(names),
        "outputs": kind,
        "probe_key": probe_key,
    }
    notes = [] if given else [f"the target does not name its classes: they are called {listed(names)}; classes= names them"]
    if kind == "findings":
        notes += [] if outputs == kind else ["the target's settings say that its classes do not exclude each other"]
        questions = [
            Question(name, _of_finding(name), np.stack([1 - p, p], axis=1), labels.get(name))
            for name, p in zip(names, probability.T, strict=True)
        ]
    else:
        predicted = np.array(names, dtype=object)[probability.argmax(axis=1)]
        questions = [Question("", names, probability, labels.get(""), {"predicted": predicted})]
    return collected(probe, questions, produced, target.preprocess, notes)


def _of_finding(name: str) -> tuple[str, str]:
    return f"no {name}", name


def _read_truth(probe: Probe, names: tuple[str, ...], truth: Truth, kind: str) -> dict[str, Labels]:
    """The true classes by finding; of classes that exclude each other under no name."""
    if truth is None:
        return {}
    if kind == "findings":
        asked = asked_truth({name: _of_finding(name) for name in names}, truth)
        return {name: read_truth(probe, *one) for name, one in asked.items()}
    kind_of("truth", truth, str)
    return {"": read_truth(probe, names, truth)}


def _names(target: Target, given: tuple[str, ...], n_outputs: int, kind: str) -> tuple[str, ...]:
    """Names of the classes of a network with so many outputs."""
    n_classes = n_outputs if kind == "findings" else max(n_outputs, 2)
    names = given or tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        expected = (
            "one output, for which two names are expected" if (n_outputs, n_classes) == (1, 2) else f"{n_outputs} outputs"
        )
        raise ValueError(
            f"{len(names)} classes ({listed(names)}), but target {target.name!r} has {expected}; give them with classes="
        )
    if len({column_name(name).casefold() for name in names}) < len(names):
        raise ValueError(f"classes {listed(names)}: two have the same name; give others with classes=")
    return names
