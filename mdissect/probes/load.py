"""Probes by name."""

import inspect
from collections.abc import Callable

from mdissect.probes.probe import Probe
from mdissect.registry import Registry

LOADERS = Registry(
    "probe",
    "or a Probe",
    {
        "folder": ("mdissect.probes.folder:load_folder", "folder"),
        "natural": ("mdissect.probes.generated:load_natural", "natural"),
        "phantom": ("mdissect.probes.generated:load_phantom", "phantom"),
        "vindr": ("mdissect.probes.mammograms.vindr:load_vindr", "vindr"),
        "embed": ("mdissect.probes.mammograms.embed:load_embed", "embed"),
        "imagenette": ("mdissect.probes.imagenette:load_imagenette", "imagenette"),
        "imagewoof": ("mdissect.probes.imagenette:load_imagewoof", "imagewoof"),
    },
)


def load_probe(spec: str | Probe, **options) -> Probe:
    """Load a probe by name.

    Parameters
    ----------
    spec : str or Probe
        "folder" (image files: `mdissect.probes.folder.load_folder`), "phantom" (mammogram phantoms:
        `mdissect.probes.generated.load_phantom`), "natural" (natural scenes: `mdissect.probes.generated.load_natural`), "vindr"
        (VinDr-Mammo: `mdissect.probes.mammograms.vindr.load_vindr`), "embed" (EMBED:
        `mdissect.probes.mammograms.embed.load_embed`), "imagenette" and "imagewoof" (`mdissect.probes.imagenette`). A Probe is
        returned as it is.
    **options
        Those of the loader.

    Raises
    ------
    ValueError
        Unknown spec, or a value that an option cannot have.
    TypeError
        Unknown or missing option.

    Examples
    --------
    >>> mammograms = load_probe("folder", path="images", table="labels.csv", id_column="image")  # doctest: +SKIP
    >>> both = load_probe("phantom", n_images=500) + load_probe("natural", n_images=500)         # doctest: +SKIP
    """
    if isinstance(spec, Probe):
        if options:
            raise TypeError(f"options {', '.join(options)} were given for a probe that is already loaded")
        return spec
    if spec not in LOADERS.entries:
        known = f"known are {', '.join(LOADERS.entries)} (images on disk: 'folder' and path=...)"
        raise ValueError(f"unknown probe {spec!r}; {known}")
    loader = LOADERS.loader(spec)
    _check_options(spec, loader, options)
    return loader(**options)


def _check_options(spec: str, loader: Callable, options: dict) -> None:
    parameters = inspect.signature(loader).parameters
    unknown = [name for name in options if name not in parameters]
    missing = [name for name, one in parameters.items() if one.default is one.empty and name not in options]
    if unknown or missing:
        said = [f"{kind} {', '.join(names)}" for kind, names in (("unknown:", unknown), ("missing:", missing)) if names]
        raise TypeError(f"options of the probe {spec!r} ({', '.join(parameters)}): {'; '.join(said)}")
