"""An image of one's own, as a probe would read it."""

from pathlib import Path

import numpy as np

from mdissect.probes.file_source import FileSource
from mdissect.probes.image_files import ImageFileError, file_content
from mdissect.probes.probe import Probe
from mdissect.signatures import validated


@validated()
def own_image(image: str | Path | bytes | np.ndarray, probe: Probe | None = None, name: str = "the image") -> np.ndarray:
    """An image as an array: one that is given, or a file read (and cut out, or windowed) as the probe reads its own.

    >>> own_image("mammogram.dcm", probe).shape                                                 # doctest: +SKIP
    (3328, 2560)

    Parameters
    ----------
    image : path, bytes, or array (height, width[, 3])
        A PNG, JPEG, TIFF, PGM/PPM or DICOM file, or its content; known by its content, whatever its name.
    probe : Probe, optional
        Of several probes joined, the first counts; one that has no files, or None: files are read as stored.
    name : str
        What errors call an image that is no path.

    Raises
    ------
    ImageFileError
        The file is missing, or cannot be read as one grey or RGB image; the message names it and the reason.
    """
    if isinstance(image, np.ndarray):
        return image
    if not isinstance(image, bytes):
        name = Path(image).name
        try:
            image = file_content(image)
        except (OSError, ValueError) as error:
            raise ImageFileError(f"{name}: {getattr(error, 'strerror', None) or error}") from error
    if not image:
        raise ImageFileError(f"{name}: the file is empty")
    source = None if probe is None else probe.source(0)[0]
    read = getattr(source, "read_like", None) or FileSource(Path(), []).read_like
    return read(image, name)
