"""A literal reader of grey DICOM values, pixel by pixel after the standard, and a writer of small files with any tags."""

import math
from pathlib import Path

ABSENT = object()
ITEM_TAGS = {"LUTDescriptor": 0x00283002, "LUTData": 0x00283006}


def write(path: Path, stored, absent=(), raw=(), syntax=None, **tags) -> Path:
    """Write rows of whole numbers as they are stored: 12 of 16 bits, MONOCHROME2, unless `tags` say otherwise.

    `absent`: tags that are left out. `raw`: (keyword, VR, value) of tags in another VR than theirs.
    """
    import numpy as np
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.3"
    given = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": len(stored), "Columns": len(stored[0])}
    given |= {"BitsAllocated": 16, "BitsStored": 12, "PixelRepresentation": 0} | tags
    given.setdefault("HighBit", given["BitsStored"] - 1 if isinstance(given["BitsStored"], int) else 11)
    for keyword, value in given.items():
        if keyword not in absent:
            setattr(dataset, keyword, value)
    for keyword, vr, value in raw:
        dataset.add_new(keyword if isinstance(keyword, int) else tag_for_keyword(keyword), vr, value)
    allocated = given["BitsAllocated"] if given["BitsAllocated"] in (8, 16, 32) else 16
    mask = 2**allocated - 1
    words = np.array([[int(value) & mask for value in row] for row in stored], f"<u{allocated // 8}")
    content = words.tobytes()
    dataset.add_new("PixelData", "OB" if allocated == 8 else "OW", content + b"\0" * (len(content) % 2))
    if syntax:
        dataset.compress(UID(syntax), generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def lut(descriptor=ABSENT, data=ABSENT, vr="US"):
    """An item of a sequence of look-up tables."""
    from pydicom.dataset import Dataset

    item = Dataset()
    if descriptor is not ABSENT:
        item.add_new(ITEM_TAGS["LUTDescriptor"], "US" if min(descriptor, default=0) >= 0 else "SS", descriptor)
    if data is not ABSENT:
        item.add_new(ITEM_TAGS["LUTData"], vr, data)
    return item


def window(x: float, center: float, width: float, function: str = "LINEAR") -> float:
    """DICOM PS3.3, C.11.2.1: a value as a part of the output's range."""
    if function == "SIGMOID":
        return 1 / (1 + math.exp(min(700, -4 * (x - center) / width)))
    if function == "LINEAR_EXACT":
        if x <= center - width / 2:
            return 0.0
        return 1.0 if x > center + width / 2 else (x - center) / width + 0.5
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    return 1.0 if x > center - 0.5 + (width - 1) / 2 else (x - (center - 0.5)) / (width - 1) + 0.5


def expected(value, bits=12, signed=False, inverted=False, padding=None, voi=None, slope=1, intercept=0, full=65535) -> int:
    """What `read_dicom` makes of one stored value of a valid file; `voi`: (center, width, function), "range" or None."""
    if padding is not None and min(padding) <= value <= max(padding):
        return 0
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if voi is None:
        level = high - value if inverted else value - low
        return (level * full + (high - low) // 2) // (high - low)
    if voi == "range":
        ends = sorted((low * slope + intercept, high * slope + intercept))
        part = min(1.0, max(0.0, (value * slope + intercept - ends[0]) / (ends[1] - ends[0])))
    else:
        part = window(value * slope + intercept, *voi)
    level = round(part * 65535)
    return 65535 - level if inverted else level
