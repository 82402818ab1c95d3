"""A dissection on disk: its parts in one folder, written completely or not at all, and checked on reading.

``dissection.json`` (settings, layers, notes, calibrated labels) is the manifest of ``arrays`` (safetensors), ``concepts`` and
``probe`` (tables as JSON), whose names contain a part of their checksum. Results older than checksums have plain names.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.concepts import ConceptSet, Prompts, with_categories
from mdissect.files import DamagedFileError, path_in_set, read_together, read_whole_set, without_folders, write_together
from mdissect.mapped import array_bytes, is_by_column, mapped_arrays
from mdissect.metrics import TopImages
from mdissect.tables import read_text_table

MANIFEST, ARRAYS, CONCEPTS, PROBE = "dissection.json", "arrays.safetensors", "concepts.json", "probe.json"
SINGLE = ("image_concept_sims", "image_embeddings", "text_embeddings")  # the arrays that are not one for each layer
ACTIVATIONS, BY_NEURON = "activations", "activations by neuron"  # the latter (n_neurons, n_images)
TOP_IMAGES, TOP_ACTIVATIONS = "images of the top", "activations of the top"
OLD_CONCEPTS = "concepts.csv"  # of results older than checksums
ADVICE = "this result cannot be used: take a whole copy of its folder, or dissect and save again"
UNVERIFIED = "saved before results had checksums: damage may go unnoticed"


def write_parts(folder: Path, parts: Mapping) -> None:
    """Write the fields of a Dissection into a folder, readable only by its owner; the previous result stays until then.

    ValueError where they do not fit together. Settings and notes are written without the folders of this machine.
    """
    for misfit in _misfits(parts):
        raise ValueError(f"this dissection cannot be saved: {misfit}")
    arrays = {f"similarity/{layer}": a for layer, a in parts["similarity"].items()}
    for layer, of_layer in parts["activations"].items():
        by_column = is_by_column(of_layer)  # as a neuron's activations are read from a large one
        arrays[f"{BY_NEURON if by_column else ACTIVATIONS}/{layer}"] = of_layer.T if by_column else of_layer
    for layer, top in parts["top_activations"].items():
        arrays |= {f"{TOP_IMAGES}/{layer}": top.images, f"{TOP_ACTIVATIONS}/{layer}": top.activations}
    arrays |= {part: parts[part] for part in SINGLE if parts[part] is not None}
    document = {
        "settings": without_folders(parts["settings"]),
        "layers": list(parts["similarity"]),
        "notes": {layer: without_folders(list(notes)) for layer, notes in parts["notes"].items()},
    }
    if prompts := parts["concepts"].prompts.stated():
        document["prompts"] = prompts
    if parts["trusted"] is not None:
        document["trusted"] = json.loads(_table_bytes(parts["trusted"]))
    if parts["columns"] is not None:
        numbers = [name for name in parts["columns"] if pd.api.types.is_float_dtype(parts["columns"][name])]
        document["columns"] = {"table": json.loads(_table_bytes(parts["columns"])), "numbers": numbers}
    files = {
        ARRAYS: array_bytes(arrays),
        CONCEPTS: _table_bytes(parts["concepts"].table),
        PROBE: _table_bytes(parts["probe_table"]),
    }
    outdated = _is_outdated(folder)
    write_together(folder / MANIFEST, document, files, private=True)
    for name in (ARRAYS, OLD_CONCEPTS, PROBE) if outdated else ():
        (folder / name).unlink(missing_ok=True)


def read_parts(folder: Path, lazy: bool = False) -> dict:
    """The fields of a Dissection, as `write_parts` wrote them; FileNotFoundError or DamagedFileError, which names the file.

    `lazy`: arrays are memory-mapped, and not compared with their checksum.
    Those of a result older than checksums come with a warning and an entry "unverified" in their settings: it is only known
    that they fit together.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(f"{folder} holds no dissection (no {MANIFEST}); Dissection.save(folder) writes one")
    document, files, array_file = _files_of(manifest, lazy)
    verified = files is not None
    concepts = CONCEPTS if verified else OLD_CONCEPTS
    if not verified:
        warnings.warn(f"{folder}: {UNVERIFIED}; save it again", stacklevel=3)
        array_file = folder / ARRAYS if lazy else None
        files = {name: _old_file(folder / name) for name in (ARRAYS, concepts, PROBE) if name != ARRAYS or not lazy}
    parts = {}
    with _explained(manifest):
        parts |= _of_document(document)
    with _explained(folder / ARRAYS):
        parts |= _of_arrays(mapped_arrays(array_file) if array_file else _read_arrays(files[ARRAYS]), document["layers"])
    with _explained(folder / concepts):
        table = _read_table(files[concepts]) if verified else read_text_table(folder / concepts, own=True)
        parts["concepts"] = ConceptSet.from_table(table, parts.pop("prompts"))
        if parts["trusted"] is not None:
            parts["trusted"] = _with_needs(parts["trusted"], parts["concepts"])
    with _explained(folder / PROBE):
        parts["probe_table"] = _read_table(files[PROBE]).rename_axis("image_id")
    for misfit in _misfits(parts):
        raise DamagedFileError(f"{folder / ARRAYS}, {concepts} and {PROBE} do not fit together: {misfit}; {ADVICE}")
    if not verified:
        parts["settings"] = {**parts["settings"], "unverified": UNVERIFIED}
    return parts


def _files_of(manifest: Path, lazy: bool) -> tuple[dict, dict[str, bytes] | None, Path | None]:
    """A set's document, its files' bytes, and if `lazy` the path of the arrays, whose bytes are left out."""
    if not lazy:
        return *read_whole_set(manifest, ADVICE), None
    document, read = read_together(manifest, ADVICE)
    if read is None:
        return document, None, None
    return document, {name: read(name) for name in (CONCEPTS, PROBE)}, path_in_set(manifest, ARRAYS, ADVICE)


def _read_arrays(data: bytes) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    return load(data)


def _of_arrays(arrays: Mapping[str, np.ndarray], layers: list[str]) -> dict:
    """The parts that are arrays, with the layers in their order."""

    def under(kind: str) -> dict[str, np.ndarray]:
        found = {name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")}
        return {layer: found[layer] for layer in [*(one for one in layers if one in found), *sorted(set(found) - set(layers))]}

    activations = under(ACTIVATIONS) | {layer: array.T for layer, array in under(BY_NEURON).items()}
    top = under(TOP_ACTIVATIONS)
    return {
        "similarity": {layer: arrays[f"similarity/{layer}"] for layer in layers},
        "activations": {layer: activations[layer] for layer in [*(one for one in layers if one in activations), *activations]},
        "top_activations": {layer: TopImages(images, top[layer]) for layer, images in under(TOP_IMAGES).items()},
        **{part: arrays.get(part) for part in SINGLE},
    }


def _of_document(document: dict) -> dict:
    """The parts that stand in the manifest; notes and settings, which an old result may not have, may be missing."""
    layers, settings, notes = document["layers"], document.get("settings", {}), document.get("notes", {})
    if not (isinstance(layers, list) and all(isinstance(layer, str) for layer in layers) and len(set(layers)) == len(layers)):
        raise ValueError('"layers" is not a list of names')
    if not (isinstance(settings, dict) and isinstance(notes, dict) and all(isinstance(n, list) for n in notes.values())):
        raise ValueError('"settings" or "notes" is of another kind')
    return {
        "settings": settings,
        "prompts": Prompts(**document.get("prompts", {})),
        "notes": {layer: np.array(of_layer, dtype=object) for layer, of_layer in notes.items()},
        "trusted": _read_trusted(document["trusted"]) if "trusted" in document else None,
        "columns": _read_columns(document["columns"]) if "columns" in document else None,
    }


def _misfits(parts: Mapping) -> Iterator[str]:
    """Inconsistencies, one sentence each: rows are images or neurons, columns concepts or neurons."""
    similarity, table, sims = parts["similarity"], parts["probe_table"], parts["image_concept_sims"]
    n_concepts, rows = len(parts["concepts"]), [len(a) for a in (*parts["activations"].values(), sims) if a is not None]
    n_images = len(table) or next(iter(rows), 0)
    found = {f"similarity of {layer}": (s, (len(s), n_concepts)) for layer, s in similarity.items()}
    for part, shape in (("activations", (n_images,)), ("notes", ())):
        if unknown := sorted(set(parts[part]) - set(similarity)):
            yield f"{part} of {', '.join(unknown)}, of which there is no similarity"
        of_part = {layer: a for layer, a in parts[part].items() if layer in similarity}
        found |= {f"{part} of {layer}": (a, (*shape, len(similarity[layer]))) for layer, a in of_part.items()}
    for layer, top in parts.get("top_activations", {}).items():
        found[f"top images of {layer}"] = (top.images, (len(similarity.get(layer, ())), top.images.shape[-1]))
        found[f"top activations of {layer}"] = (top.activations, top.images.shape)
        if n_images and top.images.size and top.images.max() >= n_images:
            yield f"a top image of {layer} is number {top.images.max()} of {n_images} images"
    if sims is not None:
        found["image_concept_sims"] = (sims, (n_images, n_concepts))
    of_images, of_texts = parts["image_embeddings"], parts["text_embeddings"]
    size = next((np.shape(a)[-1] for a in (of_images, of_texts) if a is not None and np.ndim(a)), 0)
    for name, array, n in (("image_embeddings", of_images, n_images), ("text_embeddings", of_texts, n_concepts)):
        if array is not None:
            found[name] = (array, (n, size))
    for name, (array, expected) in found.items():
        if np.shape(array) != expected:
            shapes = [" x ".join(map(str, shape)) for shape in (np.shape(array), expected)]
            yield f"the {name} are {shapes[0]} where {shapes[1]} are expected (images, neurons, concepts)"
    if not table.index.is_unique:
        yield f"the probe's table has several rows of {table.index[table.index.duplicated()][0]!r}"
    if (labels := parts["trusted"]) is not None:
        neurons = [(layer, neuron) for layer, s in similarity.items() for neuron in range(len(s))]
        if {"layer", "neuron"} - set(labels) or sorted(zip(labels.layer, labels.neuron, strict=True)) != sorted(neurons):
            yield "the calibrated labels are not one for each neuron"


def _table_bytes(table: pd.DataFrame) -> bytes:
    """A table as JSON, exactly: columns, index and rows; what is missing is null."""
    cells = table.astype(object).where(table.notna(), None).to_dict(orient="split")
    return json.dumps(cells, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value)).encode()


def _read_table(data: bytes) -> pd.DataFrame:
    """A table read exactly: ids and values that look like numbers, dates or missing stay strings, unlike in a CSV."""
    return pd.DataFrame(**json.loads(data))


def _read_trusted(document: dict) -> pd.DataFrame:
    """Calibrated labels, with NaN for numbers that JSON cannot represent."""
    table = pd.DataFrame(**document)
    return table.astype({name: float for name in ("similarity", "p", "q", "p_label", "stability") if name in table})


def _read_columns(document: dict) -> pd.DataFrame:
    """Attached columns, with NaN for numbers that JSON cannot represent."""
    return pd.DataFrame(**document["table"]).astype(dict.fromkeys(document["numbers"], float))


def _with_needs(labels: pd.DataFrame, concepts: ConceptSet) -> pd.DataFrame:
    """Calibrated labels with the column needs, which is newer than some of them."""
    if "needs" not in labels:
        labels.insert(labels.columns.get_loc("note"), "needs", with_categories(labels[["concept"]], concepts).needs.to_numpy())
    return labels


def _old_file(path: Path) -> bytes:
    if not path.is_file():
        raise DamagedFileError(f"{path} is missing; {ADVICE}")
    return path.read_bytes()


def _is_outdated(folder: Path) -> bool:
    """Whether the folder holds a result without checksums, whose files have other names."""
    try:
        return read_together(folder / MANIFEST)[1] is None
    except (FileNotFoundError, DamagedFileError):
        return False


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Re-raise what goes wrong in making sense of a file as a DamagedFileError that names it."""
    try:
        yield
    except DamagedFileError:
        raise
    except Exception as error:  # of json, csv, safetensors, pandas: whatever unforeseen content makes of them
        raise DamagedFileError(f"{path} is damaged ({type(error).__name__}: {error}); {ADVICE}") from error
