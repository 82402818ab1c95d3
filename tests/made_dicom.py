"""A folder of DICOM files as a hospital exports it: names that tell of patients, in four transfer syntaxes."""

from pathlib import Path

import numpy as np
from miniature import SYNTAXES, draw_breast, write_dicom

PATIENTS = ("KOWALSKI-1900", "KOWALSKI-1901", "0017")
NAMES = ("Doe^Jane", "MUSTER^ERIKA", "Li^Wu")
SECRETS = (*PATIENTS[:2], "KOWALSKI", "Doe", "MUSTER", "Li_Wu", "ACC-77", "1.2.826.0")


def header(patient: int, side: str, **tags) -> dict:
    """The tags of an image, as a mammography machine writes them."""
    study = f"1.2.826.0.{patient}"
    given = {
        "PatientID": PATIENTS[patient], "PatientName": NAMES[patient], "AccessionNumber": f"ACC-77{patient}",
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.{1 + (side == 'R')}",
        "ViewPosition": "MLO", "ImageLaterality": side, "PatientAge": f"05{patient}Y", "Manufacturer": "ACME",
        "ManufacturerModelName": "Mammo 3000", "BreastImplantPresent": "YES" if patient == 2 else "NO",
    }  # fmt: skip
    return given | tags


def dicom_folder(root: Path) -> dict[str, np.ndarray]:
    """Six files of three patients; the pixels as drawn (12 bits, black at 0) by relative path, sorted."""
    drawn = {}
    for patient in range(3):
        for side in "LR":
            pixels, _ = draw_breast((patient, ord(side)), side)
            tags = header(patient, side)
            name = (f"{PATIENTS[0]}_{side}_MLO.dcm", tags["SOPInstanceUID"], f"Li_Wu/{side}IM.DICOM")[patient]
            number = len(drawn)
            write_dicom(root / name, pixels, SYNTAXES[number % 4], inverted=number % 3 == 2, **tags)
            drawn[name] = pixels
    return dict(sorted(drawn.items()))
