"""Checks before an explorer opens: whether a result's parts fit together, and which part belongs to which model."""

from collections.abc import Mapping
from dataclasses import replace

from mdissect import __version__
from mdissect.dissection import Dissection


def consistent(dissection: Dissection) -> tuple[Dissection, list[str]]:
    """The result without the parts that do not fit the similarities and the probe's table, and warnings about those."""
    n_images, n_concepts = len(dissection.probe_table), len(dissection.concepts)
    n_neurons = {layer: len(scores) for layer, scores in dissection.similarity.items()}
    warnings = _version_warnings(dissection.settings)

    def fits(part: str, found: tuple, expected: tuple) -> bool:
        if found != expected:
            shapes = [" x ".join(map(str, shape)) for shape in (found, expected)]
            what = f"The {part} are {shapes[0]} where {shapes[1]} are expected"
            warnings.append(f"{what}; they are left out. Dissect again to have them.")
        return found == expected

    activations = {
        layer: values
        for layer, values in dissection.activations.items()
        if fits(f"activations of {layer}", values.shape, (n_images, n_neurons.get(layer, 0)))
    }
    notes = {
        layer: values
        for layer, values in dissection.notes.items()
        if fits(f"notes on {layer}", (len(values),), (n_neurons.get(layer, 0),))
    }
    sims = dissection.image_concept_sims
    if sims is not None and not fits("image_concept_sims", sims.shape, (n_images, n_concepts)):
        sims = None
    of_images, of_texts = dissection.image_embeddings, dissection.text_embeddings
    if of_images is not None and not fits("image_embeddings", of_images.shape[:1], (n_images,)):
        of_images = None
    if of_texts is not None and not fits("text_embeddings", of_texts.shape[:1], (n_concepts,)):
        of_texts = None
    if missing := [layer for layer in activations if layer not in notes]:
        warnings.append(f"No notes on the neurons of {', '.join(missing)}: why one cannot be named is unknown.")
    parts = {"image_concept_sims": sims, "image_embeddings": of_images, "text_embeddings": of_texts}
    return replace(dissection, activations=activations, notes=notes, **parts), warnings


def of_this_network(model: str, factor, target) -> None:
    """Raise a ValueError unless a factor was trained on the target that stands beside it."""
    if factor is not None and target is not None and factor.target.fingerprint != target.fingerprint:
        whose = f" of {model}" if model else ""
        raise ValueError(
            f"factor was trained on {factor.target.name!r}, the target{whose} is {target.name!r} with other weights"
        )


def of_each(found: Mapping[str, Dissection], name: str, part) -> dict:
    """The part of each model: a mapping's entries, or the same for all.

    ValueError: no dissection, an entry for a model that has none, or one target or trust table for several models.
    """
    if not found:
        raise ValueError("there is nothing to explore: give at least one dissection")
    if isinstance(part, Mapping):
        if unknown := sorted(set(part) - set(found)):
            there = f"there are {', '.join(found)}"
            raise ValueError(f"{name} is given for {', '.join(unknown)}, of which there is no dissection; {there}")
        return {model: part.get(model) for model in found}
    if part is not None and name in ("target", "trust", "factor") and len(found) > 1:
        raise ValueError(f"{name} belongs to one model; give a mapping from model to {name}: {{{next(iter(found))!r}: ...}}")
    return dict.fromkeys(found, part)


def _version_warnings(settings: dict) -> list[str]:
    warnings = [f"This result was {settings['unverified']}."] if "unverified" in settings else []
    if (version := settings.get("mdissect")) == __version__ or "source" in settings:
        return warnings
    made = f"by mdissect {version}" if version else "by an unknown version of mdissect"
    return [*warnings, f"This result was made {made}; this is {__version__}."]
