"""Probes by name."""

from typing import Any

from mdissect.arguments import some_path
from mdissect.probes.probe import Probe
from mdissect.registry import Registry
from mdissect.signatures import ANYTHING, validated

LOADERS = Registry(
    "probe",
    "or a Probe (images on disk: 'folder' and path=...)",
    {
        "folder": ("mdissect.probes.folder:load_folder", "folder"),
        "natural": ("mdissect.probes.generated:load_natural", "natural"),
        "phantom": ("mdissect.probes.generated:load_phantom", "phantom"),
        "vindr": ("mdissect.probes.mammograms.vindr:load_vindr", "vindr"),
        "embed": ("mdissect.probes.mammograms.embed:load_embed", "embed"),
        "rsna": ("mdissect.probes.mammograms.rsna:load_rsna", "rsna"),
        "cbis-ddsm": ("mdissect.probes.mammograms.cbis:load_cbis", "cbis-ddsm"),
        "cmmd": ("mdissect.probes.mammograms.cmmd:load_cmmd", "cmmd"),
        "inbreast": ("mdissect.probes.mammograms.inbreast:load_inbreast", "inbreast"),
        "mias": ("mdissect.probes.mammograms.mias:load_mias", "mias"),
        "cdd-cesm": ("mdissect.probes.mammograms.cdd_cesm:load_cdd_cesm", "cdd-cesm"),
        "imagenette": ("mdissect.probes.imagenette:load_imagenette", "imagenette"),
        "imagewoof": ("mdissect.probes.imagenette:load_imagewoof", "imagewoof"),
    },
    parted=False,
)


@validated(spec=ANYTHING)
def probe_options(spec: str) -> dict[str, Any]:
    """The options that a probe's loader takes, with their defaults; none for a name that is not known."""
    return LOADERS.options(spec)


@validated(spec=ANYTHING)
def load_probe(spec: str | Probe, **options) -> Probe:
    """Load a probe by name.

    >>> mammograms = load_probe("folder", path="images", table="labels.csv", id_column="image")  # doctest: +SKIP
    >>> both = load_probe("phantom", n_images=500) + load_probe("natural", n_images=500)         # doctest: +SKIP

    Parameters
    ----------
    spec : str or Probe
        "folder" (image files, DICOM too: `mdissect.probes.folder.load_folder`), "phantom" (mammogram phantoms:
        `mdissect.probes.generated.load_phantom`), "natural" (natural scenes: `mdissect.probes.generated.load_natural`), "vindr"
        (VinDr-Mammo: `mdissect.probes.mammograms.vindr.load_vindr`), "embed" (EMBED:
        `mdissect.probes.mammograms.embed.load_embed`), "rsna" (RSNA 2022: `mdissect.probes.mammograms.rsna.load_rsna`),
        "cbis-ddsm" (CBIS-DDSM: `mdissect.probes.mammograms.cbis.load_cbis`), "cmmd" (CMMD:
        `mdissect.probes.mammograms.cmmd.load_cmmd`), "inbreast" (INbreast:
        `mdissect.probes.mammograms.inbreast.load_inbreast`), "mias" (MIAS: `mdissect.probes.mammograms.mias.load_mias`),
        "cdd-cesm" (CDD-CESM: `mdissect.probes.mammograms.cdd_cesm.load_cdd_cesm`), "imagenette" and "imagewoof"
        (`mdissect.probes.imagenette`). A Probe is returned as it is.
    **options
        Those of the loader.

    Raises
    ------
    ValueError
        Unknown spec (the known ones and the closest are listed), a value that an option cannot have, a table that cannot be
        read, no images, or fewer than are asked for.
    TypeError
        Unknown or missing option.
    FileNotFoundError, NotADirectoryError
        No such folder or table, or images of the tables that are not there.
    """
    if isinstance(spec, Probe):
        if options:
            raise TypeError(f"options {', '.join(options)} were given for a probe that is already loaded")
        return spec
    if options.get("path") is not None:
        options["path"] = some_path("path", options["path"])
    return LOADERS.load(spec, options)
