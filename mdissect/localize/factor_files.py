"""Mammo-FActOR on disk: a folder with factor.json and the mapper as safetensors, with checksums and without pickle."""

from pathlib import Path

import pandas as pd

from mdissect.files import DamagedFileError, read_whole_set, without_folders, write_together
from mdissect.localize.factor import FactorMapper, FactorModel
from mdissect.models import Dissector, Target, load_dissector, load_target
from mdissect.signatures import validated

MANIFEST, WEIGHTS = "factor.json", "mapper.safetensors"
ADVICE = "take a whole copy of the folder, or train again"


@validated()
def save_factor(model: FactorModel, path: str | Path) -> None:
    """Write a Mammo-FActOR into a folder, for `load_factor`; an earlier one there is replaced, completely or not at all."""
    from safetensors.torch import save

    document = {
        "target": model.target.name,
        "fingerprint": model.target.fingerprint,
        "preprocess": model.target.preprocess.key(),
        "dissector": model.dissector.name if model.dissector else None,
        "text_fingerprint": model.dissector.text_fingerprint if model.dissector else None,
        "layer": model.layer,
        "attributes": model.attributes,
        "grid": model.grid,
        "settings": model.settings,
        "metrics": _rows(model.metrics),
        "history": _rows(model.history),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.mapper.state_dict().items()}
    write_together(Path(path) / MANIFEST, without_folders(document), {WEIGHTS: save(tensors)})


@validated()
def load_factor(path: str | Path, target: str | Target | None = None, dissector: str | Dissector | None = None) -> FactorModel:
    """The Mammo-FActOR in a folder, as `mdissect.train.train_factor` wrote it.

    >>> model = load_factor("out/factor")                                                       # doctest: +SKIP

    Parameters
    ----------
    target, dissector
        Needed where they cannot be loaded by the names that they had in the training.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        A target or a dissector with other weights than those of the training.
    DamagedFileError
        A file is not what was written.
    """
    from safetensors.torch import load

    manifest = Path(path) / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest.parent} holds no Mammo-FActOR (no {MANIFEST}); mdissect.train.train_factor makes one"
        )
    document, files = read_whole_set(manifest, ADVICE)
    try:
        tensors = load(bytes(files[WEIGHTS]))
        n_places, hidden = tensors["first"].shape[1:]
        n_channels = tensors["first_bias"].shape[1]
        mapper = FactorMapper(tensors["texts"], n_places, hidden, tensors["scale"], n_channels)
        mapper.ranking, mapper.peaks, mapper.spread = tensors["ranking"], tensors["peaks"], tensors["spread"]
        mapper.load_state_dict(tensors)
        names = {key: document[key] for key in ("target", "dissector", "layer", "settings", "fingerprint", "text_fingerprint")}
        attributes, grid = dict(document["attributes"]), document["grid"]
        metrics, history = pd.DataFrame(document["metrics"]), pd.DataFrame(document["history"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedFileError(f"{manifest} does not describe the weights beside it ({error}); {ADVICE}") from error
    target = load_target(names["target"] if target is None else target)
    if target.fingerprint != names["fingerprint"] or target.preprocess.key() != document["preprocess"]:
        raise ValueError(
            f"target {target.name!r} has other weights or another preprocessing than {names['target']!r}, whose channels "
            f"{manifest} reads; pass that one"
        )
    if dissector is not None or names["dissector"]:
        dissector = load_dissector(names["dissector"] if dissector is None else dissector)
        if dissector.text_fingerprint != names["text_fingerprint"]:
            raise ValueError(
                f"dissector {dissector.name!r} has another text tower than {names['dissector']!r}, into whose space "
                f"{manifest} maps; pass that one"
            )
    mapper = mapper.eval().requires_grad_(False)
    grid = tuple(grid) if grid else None
    return FactorModel(target, dissector, names["layer"], attributes, mapper, grid, names["settings"], metrics, history)


def _rows(table: pd.DataFrame) -> list[dict]:
    """A table's rows for JSON: None in place of NaN."""
    return [{key: None if pd.isna(value) else value for key, value in row.items()} for row in table.to_dict("records")]
