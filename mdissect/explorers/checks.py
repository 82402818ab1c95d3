"""Is a result whole? What an explorer leaves out of an old or damaged one, and what it says of that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mdissect import __version__
from mdissect.dissection import Dissection

if TYPE_CHECKING:
    pass


def sound(dissection: Dissection) -> tuple[Dissection, list[str]]:
    """The result without the parts that do not fit the others, and what is wrong with it in words.

    Parts are left out when they are of other neurons or images than the similarities and the probe's table: they would be
    shown beside the wrong ones.
    """
    n_images, warnings = len(dissection.probe_table), _on_its_making(dissection.settings)
    activations = {}
    for layer, values in dissection.activations.items():
        expected = (n_images, len(dissection.similarity.get(layer, ())))
        if values.shape == expected:
            activations[layer] = values
        else:
            warnings.append(_unfit(f"activations of {layer}", values.shape, expected))
    notes = {}
    for layer, values in dissection.notes.items():
        if len(values) == len(dissection.similarity.get(layer, ())):
            notes[layer] = values
        else:
            warnings.append(_unfit(f"notes on {layer}", (len(values),), (len(dissection.similarity.get(layer, ())),)))
    sims = dissection.image_concept_sims
    if sims is not None and sims.shape != (n_images, len(dissection.concepts)):
        warnings.append(_unfit("image_concept_sims", sims.shape, (n_images, len(dissection.concepts))))
        sims = None
    lacking = [layer for layer in activations if layer not in notes]
    if lacking:
        warnings.append(f"Nothing is noted on the neurons of {', '.join(lacking)}: why one cannot be named is not told.")
    return replace(dissection, activations=activations, notes=notes, image_concept_sims=sims), warnings


def of_each(found: Mapping[str, Dissection], name: str, part) -> dict:
    """What belongs to each model: of a mapping its entries, else the same for all.

    Raises
    ------
    ValueError
        No dissection, an entry for a model that has none, or one target or trust table for several models.
    """
    if not found:
        raise ValueError("there is nothing to explore: give at least one dissection")
    if isinstance(part, Mapping):
        if strange := sorted(set(part) - set(found)):
            there = f"there are {', '.join(found)}"
            raise ValueError(f"{name} is given for {', '.join(strange)}, of which there is no dissection; {there}")
        return {model: part.get(model) for model in found}
    if part is not None and name in ("target", "trust") and len(found) > 1:
        raise ValueError(f"{name} belongs to one model; give a mapping from model to {name}: {{{next(iter(found))!r}: ...}}")
    return dict.fromkeys(found, part)


def _on_its_making(settings: dict) -> list[str]:
    """What the settings tell of the version that made the result."""
    if (version := settings.get("mdissect")) == __version__ or "source" in settings:
        return []
    made = f"by mdissect {version}" if version else "by a version of mdissect that it does not tell"
    return [f"This result was made {made}; this is {__version__}."]


def _unfit(part: str, found: tuple, expected: tuple) -> str:
    shapes = [" x ".join(map(str, shape)) for shape in (found, expected)]
    return f"The {part} are {shapes[0]} where {shapes[1]} are expected; they are left out. Dissect anew to have them."
