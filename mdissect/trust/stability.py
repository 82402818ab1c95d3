"""Label stability: under patient bootstrap, under other settings of the method, and on fewer patients."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, RATE, Check, shown, texts
from mdissect.calibrate import judge_neurons
from mdissect.chance import Null
from mdissect.choice import choose
from mdissect.concepts import ConceptSet, variant_key
from mdissect.dissection import Dissection
from mdissect.labels import LayerData, check_calibratable, layer_of, nulls_of, own_rule
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.store import StoreLike

KINDS = ("same_concept", "same_category", "same_broad_category", "same_keyword")
RULES = ("calibrated", "published")


@validated(layers=texts, n_boot=AT_LEAST_ONE, rule=RULES)
def stability(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    n_boot: int = 200,
    seed: int = 0,
    rule: str = "calibrated",
    store: StoreLike = None,
) -> pd.DataFrame:
    """Share of bootstrap resamples of the patients in which a neuron keeps its label.

    >>> stability(found, ["bn2"], n_boot=50)[["neuron", "concept", "same_concept", "score"]]      # doctest: +SKIP

    Patients are drawn with replacement, each with all images; if the probe names no patients, images are drawn. Evidence is
    always compared with the whole probe's null.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_boot : int
        Resamples.
    rule : {"calibrated", "published"}
        By which rule neurons are named.

    Returns
    -------
    DataFrame
        A row per neuron that can be named: layer, neuron, concept (by the rule, whatever q is), same_concept, same_category,
        same_broad_category, same_keyword (shares of the resamples whose label agrees with it in that; a keyword is the last
        word of a concept, "mass" of "oval mass"), score (their mean). Attribute (``.attrs``): n_boot.

    Raises
    ------
    ValueError
        Unknown rule or layer, n_boot below 1, a single patient, or a dissection that cannot be calibrated (see
        `trusted_labels`).
    """
    check_calibratable(dissection)
    layers = dissection.layers if layers is None else list(layers)
    if unknown := sorted(set(layers) - set(dissection.layers)):
        raise ValueError(f"no layer {', '.join(unknown)}; there are {', '.join(dissection.layers)}")
    null = nulls_of(dissection, store=store)[0]
    samples, parts = resamples(dissection, n_boot, seed), []
    alike, names = _agreeing(dissection.concepts), np.array(dissection.concepts.names, dtype=object)
    for layer in layers:
        data = layer_of(dissection, layer)
        name = _naming(data, null, rule)
        label, again = name(data), [name(data.on(images)) for images in samples]
        shares = {kind: np.mean([same[label, one] for one in again], axis=0) for kind, same in alike.items()}
        table = pd.DataFrame({"layer": layer, "neuron": data.neurons, "concept": names[label], **shares})
        parts.append(table.assign(score=table[list(KINDS)].mean(axis=1)))
    found = pd.concat(parts, ignore_index=True)
    found.attrs["n_boot"] = n_boot
    return found


def _points(check: Check) -> Check:
    """The check of a list of settings."""

    def each(name: str, values: Sequence) -> list:
        if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
            raise TypeError(f"{name}={shown(values)} must be a list of numbers")
        if not (values := list(values)):
            raise ValueError(
                f"{name}=[] must be a list of numbers, one at least; None: half, exactly and twice the own setting"
            )
        return [check(f"{name}[{i}]", one) for i, one in enumerate(values)]

    return each


@validated(top_k=_points(AT_LEAST_ONE), a=_points(POSITIVE), lam=_points(NOT_NEGATIVE), rule=RULES)
def sensitivity(
    dissection: Dissection,
    layer: str,
    top_k: Sequence[int] | None = None,
    a: Sequence[float] | None = None,
    lam: Sequence[float] | None = None,
    rule: str = "published",
) -> pd.DataFrame:
    """Share of labels that stay the same under other settings of the method.

    >>> sensitivity(found, "bn2")[["top_k", "a", "lam", "same_category"]]       # doctest: +SKIP

    The published rule has three settings. The calibrated one has none of them; its labels depend on the images, so that of
    these `fewer_patients` are shown.

    Parameters
    ----------
    top_k, a, lam : sequences
        Half of, exactly, and twice the dissection's own setting when None. Of the published rule alone.
    rule : {"published", "calibrated"}
        By which rule neurons are named.

    Returns
    -------
    DataFrame
        A row per combination: top_k, a, lam, own (bool: the dissection's own setting), then the shares of neurons whose label
        agrees with the one of the own setting: same_concept, same_category, same_broad_category, same_keyword. By the
        calibrated rule, what `fewer_patients` returns.

    Raises
    ------
    ValueError
        A setting that the rule, or the dissection's similarity, does not have.
    """
    check_calibratable(dissection)
    asked = {"top_k": top_k, "a": a, "lam": lam}
    if rule == "calibrated":
        if given := [name for name, values in asked.items() if values is not None]:
            raise ValueError(f"the calibrated rule has no {given[0]}; leave it out, or give rule='published'")
        return fewer_patients(dissection, layer)
    data, similarity = layer_of(dissection, layer), own_rule(dissection)
    own = {name: data.given.get(name, default) for name, default in _defaults(similarity).items()}
    if missing := [name for name in asked if name not in own]:
        raise ValueError(
            f"the similarity {similarity} of this dissection has no {missing[0]} to vary; rule='calibrated' shows what fewer "
            "patients change"
        )
    own, n_images = {name: own[name] for name in asked}, len(data.sims)
    around = {name: values or [own[name] / 2, own[name], own[name] * 2] for name, values in asked.items()}
    around["top_k"] = top_k or sorted({min(max(1, int(k)), n_images) for k in around["top_k"]})
    points = [dict(zip(own, values, strict=True)) for values in product(*around.values())]
    reference, alike, rows = _published(data), _agreeing(dissection.concepts), []
    for point in points:
        label = _published(replace(data, given={**data.given, **point}))
        rows.append({**point, "own": point == own} | {kind: same[reference, label].mean() for kind, same in alike.items()})
    return pd.DataFrame(rows)


@validated(shares=_points(RATE), n_draws=AT_LEAST_ONE, rule=RULES)
def fewer_patients(
    dissection: Dissection,
    layer: str,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
    n_draws: int = 8,
    seed: int = 0,
    rule: str = "calibrated",
    store: StoreLike = None,
) -> pd.DataFrame:
    """Share of labels that stay the same when they are chosen on fewer patients.

    >>> fewer_patients(found, "bn2")[["patients", "images", "same_concept"]]    # doctest: +SKIP

    Parameters
    ----------
    shares : sequence of float
        Of the patients (of the images where the probe names no patients), drawn without replacement; each keeps all images.
    n_draws : int
        Draws of each share.
    rule : {"calibrated", "published"}
        By which rule neurons are named.

    Returns
    -------
    DataFrame
        A row per share and one for all patients: share, patients, images (mean numbers), own (bool: all of them), then the
        shares of neurons whose label agrees with the one on all images: same_concept, same_category, same_broad_category,
        same_keyword; means over draws.

    Raises
    ------
    ValueError
        A single patient, a share that leaves none, or an unknown layer.
    """
    check_calibratable(dissection)
    data, n_images = layer_of(dissection, layer), len(dissection.image_concept_sims)
    code = pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]
    n_patients = code.max() + 1
    if few := [share for share in shares if share * n_patients < 2]:
        raise ValueError(f"shares={few[0]:g} of {n_patients} patients leaves less than two; give larger ones, or more patients")
    name = _naming(data, nulls_of(dissection, store=store)[0], rule)
    reference, alike, rng, rows = name(data), _agreeing(dissection.concepts), np.random.default_rng(seed), []
    for share in [*shares, 1.0]:
        kept, found = round(share * n_patients), []
        for _ in range(n_draws if share < 1 else 1):
            images = np.flatnonzero(np.isin(code, rng.permutation(n_patients)[:kept]))
            label = name(data.on(images))
            agree = {kind: same[reference, label].mean() for kind, same in alike.items()}
            found.append({"patients": kept, "images": len(images), "own": share == 1} | agree)
        rows.append({"share": share} | pd.DataFrame(found).mean().to_dict())
    return pd.DataFrame(rows).astype({"patients": int, "own": bool})


def _defaults(similarity: str) -> dict[str, float]:
    """The options of a similarity by name, with their defaults."""
    parameters = list(inspect.signature(SIMILARITIES[similarity]).parameters.values())[2:]
    return {one.name: one.default for one in parameters}


def _published(data: LayerData) -> np.ndarray:
    """The labels by the dissection's own similarity, (n_usable,)."""
    return data.similarity().argmax(dim=1).numpy()


def _naming(data: LayerData, null: Null, rule: str) -> Callable[[LayerData], np.ndarray]:
    """Labels a layer on any of its images: (n_usable,) positions of concepts, for neurons usable on the images of `data`."""
    if rule == "published":
        return _published
    named = judge_neurons(data.sims, data.activations, [null]).label >= 0
    passing = torch.from_numpy(named.to_numpy(copy=True))

    def name(part: LayerData) -> np.ndarray:
        statistic = null.evidence(part.likelihood(null)).amax(dim=1)
        return choose(part.scores(null), statistic, passing).numpy()

    return name


def resamples(dissection: Dissection, n_boot: int, seed: int) -> list[np.ndarray]:
    """Positions of the images of each bootstrap sample: patients drawn with replacement, each with all images."""
    n_images, rng = len(dissection.image_concept_sims), np.random.default_rng(seed)
    code = pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]
    if code.max() == 0:
        of_one = "there is one image" if n_images == 1 else f"all {n_images} images are of one patient"
        raise ValueError(f"{of_one}, so that nothing can be resampled; use a probe of more patients")
    images = [np.flatnonzero(code == patient) for patient in range(code.max() + 1)]
    return [np.concatenate([images[i] for i in rng.integers(0, len(images), len(images))]) for _ in range(n_boot)]


def _agreeing(concepts: ConceptSet) -> dict[str, np.ndarray]:
    """For each of `KINDS`, (n_concepts, n_concepts) bool: whether two labels agree in that."""
    names, result = list(concepts.names), {"same_concept": np.eye(len(concepts), dtype=bool)}
    groups = [concepts.table[["concept", column]] for column in ("category", "broad_category")]
    keywords = pd.DataFrame({"concept": names, "keyword": [variant_key(name.split()[-1]) for name in names]})
    for kind, pairs in zip(KINDS[1:], [*groups, keywords], strict=True):
        named = pairs[pairs.iloc[:, 1] != ""]
        member = pd.crosstab(named.iloc[:, 0], named.iloc[:, 1]).reindex(names, fill_value=0).to_numpy() > 0
        result[kind] = (member.astype(np.float32) @ member.T.astype(np.float32) > 0) | result["same_concept"]
    return result
