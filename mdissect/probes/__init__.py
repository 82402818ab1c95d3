"""Probes: the images that models are shown, in a fixed order, with ids and a table.

A loader per kind of probe behind `load_probe`: folders, generated images, public data sets.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "datasets": "dataset_folder",
        "generated": "finding_mask",
        "load": "load_probe probe_options",
        "mammograms.meanings": "most_abnormal",
        "image_files": "ImageFileError",
        "own": "own_image",
        "probe": "ArraySource ImageSource Probe",
        "redrawn": "redrawn_phantoms",
    },
)
