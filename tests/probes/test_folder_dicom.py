"""Own DICOM files as a probe: pixels, options, columns of the headers, pseudonyms, and files that are no images."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from made_dicom import NAMES, PATIENTS, SECRETS, dicom_folder, header
from miniature import JPEG_2000, draw_breast, write_dicom
from PIL import Image

from mdissect import load_probe
from mdissect.probes.image_files import ImageFileError, stretch
from mdissect.probes.mammograms.dicom import decode_dicom
from mdissect.probes.mammograms.preparation import Preparation, prepare
from mdissect.probes.pseudonyms import own_pseudonyms

PIXELS, BOX = draw_breast((7,), "L")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("export")
    return root, dicom_folder(root)


def one_file(tmp_path, name="a.dcm", **tags):
    folder = tmp_path / "images"
    write_dicom(folder / name, PIXELS, **tags)
    return folder


# Pixels


def test_files_are_found_by_what_they_are_and_read_as_stored(whole):
    root, drawn = whole
    probe = load_probe("folder", path=root, keep_ids=True)
    assert probe.ids == list(drawn)
    for image, pixels in zip(probe, drawn.values(), strict=True):
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, stretch(pixels, 4095))  # MONOCHROME1 too


def test_with_other_images_in_one_folder(tmp_path):
    folder = one_file(tmp_path, "scan")
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "b.png")
    (folder / "b.png").rename(folder / "c")  # a PNG file without its suffix
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "d.png")
    (folder / "notes.txt").write_text("x")
    (folder / "README").write_text("y" * 200)
    probe = load_probe("folder", path=folder)
    assert probe.ids == ["c", "d.png", "scan"]
    assert [image.dtype for image in probe] == [np.uint8, np.uint8, np.uint16]
    assert sorted(probe.notes[0].partition(": ")[2].split(", ")) == [".txt (1)", "no suffix (1)"]


def test_a_picture_named_like_dicom_is_read_by_its_content(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "a.png")
    (folder / "a.png").rename(folder / "a.dcm")
    np.testing.assert_array_equal(load_probe("folder", path=folder)[0], PIXELS.astype(np.uint8))


def test_padding_is_background(tmp_path):
    folder = one_file(tmp_path, inverted=True, PixelPaddingValue=4095 - int(PIXELS.max()))
    image = load_probe("folder", path=folder)[0]
    padded = int(PIXELS.max()) == PIXELS
    assert padded.any()
    np.testing.assert_array_equal(image, np.where(padded, 0, stretch(PIXELS, 4095)))


@pytest.mark.parametrize(("options", "center", "width"), [({"voi": True}, 2000, 1000), ({"window": (1500, 800)}, 1500, 800)])
def test_windows_on_request(tmp_path, options, center, width):
    folder = one_file(tmp_path, WindowCenter=2000, WindowWidth=1000)
    shown = np.clip((PIXELS - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    found = load_probe("folder", path=folder, **options)
    np.testing.assert_array_equal(found[0], np.rint(shown * 65535).astype(np.uint16))
    assert found.key() != load_probe("folder", path=folder).key()


def test_the_released_preparation_on_request(tmp_path, monkeypatch):
    folder = one_file(tmp_path, syntax=JPEG_2000)
    small = Preparation(size=(40, 30))
    expected = prepare(decode_dicom(folder / "a.dcm")[0], small)
    table = pd.DataFrame({"file": ["a.dcm"], "xmin": [BOX[1]], "ymin": [BOX[0]], "xmax": [BOX[3]], "ymax": [BOX[2]]})
    probe = load_probe("folder", path=folder, preparation={"size": (40, 30)}, table=table, id_column="file")
    np.testing.assert_array_equal(probe[0], expected.image)
    (box,) = probe.boxes(0)
    assert (box["xmin"], box["ymin"]) == (0, 0)  # the crop begins where the breast does
    assert load_probe("folder", path=folder, preparation=small).key() == probe.key()
    assert load_probe("folder", path=folder, preparation="released")[0].shape == (1520, 912)


# Columns


def test_columns_of_the_headers(whole):
    table = load_probe("folder", path=whole[0], keep_ids=True).table
    assert table.columns.tolist() == [
        "patient", "study", "laterality", "view", "age", "manufacturer", "machine", "implant"
    ]  # fmt: skip
    row = table.loc["KOWALSKI-1900_R_MLO.dcm"]
    assert row.tolist() == ["KOWALSKI-1900", "1.2.826.0.0", "R", "MLO", 50, "ACME", "Mammo 3000", ""]
    assert table.loc["Li_Wu/LIM.DICOM", ["patient", "implant"]].tolist() == ["0017", "implant"]


def test_what_headers_do_not_say_is_missing(tmp_path):
    folder = one_file(tmp_path, PatientAge="", ImageLaterality="L", PatientID="")
    probe = load_probe("folder", path=folder)
    assert probe.table.columns.tolist() == ["laterality"]
    assert probe.patients == probe.ids


def test_your_own_columns_count_and_conflicts_are_told(whole):
    own = pd.DataFrame(
        {"file": list(whole[1]), "laterality": ["left"] * 6, "age": [50, 50, 51, 51, 52, 52], "mass": [0, 1] * 3}
    )
    probe = load_probe("folder", path=whole[0], table=own, id_column="file", keep_ids=True)
    assert probe.table["laterality"].tolist() == ["left"] * 6
    assert probe.table.columns.tolist()[:4] == ["file", "laterality", "age", "mass"]
    assert "patient" in probe.table
    told = [note for note in probe.notes if "differs" in note]
    assert told[0].startswith("headers: laterality differs from the table's column for 3 of 6 images ('L' there, 'R' in the")
    assert len(told) == 2  # the ages are sorted in another way than the files


def test_a_table_without_patients_leaves_those_of_the_headers(whole):
    own = pd.DataFrame({"study_id": list("aabbcc"), "file": list(whole[1])})
    probe = load_probe("folder", path=whole[0], table=own, id_column="file", keep_ids=True)
    assert set(probe.patients) == set(PATIENTS)
    assert not [note for note in probe.notes if "counts as its own" in note]


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_odd_values_are_left_out_and_told(tmp_path):
    folder = one_file(tmp_path, PatientAge="old", ImageLaterality="B", BreastImplantPresent="MAYBE", PatientID="7")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a line for each file is of no use
        probe = load_probe("folder", path=folder, keep_ids=True)
    assert probe.table.columns.tolist() == ["patient"]
    assert sorted(note.split(" is ")[0] for note in probe.notes) == [
        "headers: BreastImplantPresent", "headers: ImageLaterality", "headers: PatientAge"
    ]  # fmt: skip
    assert "headers: PatientAge is not understood ('old') and left out for 1 image" in probe.notes


# Pseudonyms


def test_patients_have_pseudonyms_that_stay(whole):
    probe, again = (load_probe("folder", path=whole[0]) for _ in range(2))
    plain = load_probe("folder", path=whole[0], keep_ids=True)
    assert probe.ids == again.ids
    assert probe.key() == again.key()
    assert probe.table["patient"].tolist() == [own_pseudonyms().of("P", patient) for patient in plain.table["patient"]]
    everything = " ".join([*probe.ids, probe.table.to_csv(), *probe.notes])
    assert not [secret for secret in SECRETS if secret.casefold() in everything.casefold()]


def test_own_tables_are_joined_by_file_and_lose_the_ids(whole):
    own = pd.DataFrame({"image": list(whole[1]), "note": [f"{name}, see ACC-770" for name in whole[1]]})
    plain = load_probe("folder", path=whole[0], table=own, id_column="image", keep_ids=True)
    own["patient"] = plain.table["patient"].tolist()
    probe = load_probe("folder", path=whole[0], table=own, id_column="image")
    assert probe.table["patient"].nunique() == 3
    assert not [secret for secret in (*PATIENTS[:2], "MUSTER", "1.2.826.0") if secret in probe.table.to_csv()]


def test_a_folder_named_by_its_patient(tmp_path):
    root = tmp_path / "KOWALSKI-1901"
    write_dicom(root / "a.dcm", PIXELS, **header(1, "L"))
    assert load_probe("folder", path=root, keep_ids=True).name == "KOWALSKI-1901"
    assert load_probe("folder", path=root).name == own_pseudonyms().of("P", "KOWALSKI-1901")


def test_ids_stay_different_where_pseudonyms_are_the_same(tmp_path):
    for name in ("Doe.dcm", "Jane.dcm", "JANE.dcm"):
        write_dicom(tmp_path / name, PIXELS, PatientID="5550123", PatientName=NAMES[0])
    ids = load_probe("folder", path=tmp_path).ids
    assert len(set(ids)) == 3
    assert {image_id.partition(".")[0] for image_id in ids} == {own_pseudonyms().of("P", "5550123")}


# What is no image


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"NumberOfFrames": 3}, "a.dcm: 3 frames (tomosynthesis?); one image is expected"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.50"}, "a.dcm: no image but Mammography CAD SR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, "a.dcm: no image but Grayscale Softcopy Presentation State"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "a.dcm: no image but Encapsulated PDF"),
        ({"PhotometricInterpretation": "RGB"}, "a.dcm: photometric interpretation RGB; a grey image"),
        ({"SamplesPerPixel": 3}, "a.dcm: its header says SamplesPerPixel=3"),
        ({"BitsStored": 17}, "a.dcm: its header says BitsStored=17"),
        ({"Rows": 0}, "a.dcm: its header says Rows=0"),
    ],
)
def test_headers_of_no_image_are_refused_by_name(tmp_path, tags, said):
    folder = one_file(tmp_path)
    write_dicom(folder / "b.dcm", PIXELS)
    from pydicom import dcmread

    dataset = dcmread(folder / "a.dcm")
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(folder / "a.dcm", enforce_file_format=False)
    with pytest.raises(ValueError, match=re.escape(f"1 of 2 DICOM files hold no image that can be read: {said}")) as refused:
        load_probe("folder", path=folder)
    assert "on_error='skip'" in str(refused.value)
    probe = load_probe("folder", path=folder, on_error="skip")
    assert probe.ids == ["b.dcm"]
    assert probe.skipped[0][0] == "a.dcm"
    assert probe.skipped[0][1].startswith(said)


@pytest.mark.parametrize(
    ("syntax", "said"),
    [
        ("1.2.840.10008.1.2.4.70", "needs a package to decode it: pip install pylibjpeg pylibjpeg-libjpeg"),
        ("1.2.840.10008.1.2.4.100", "is not supported; convert the file"),
    ],
)
def test_pixels_that_nothing_here_decodes_are_refused_at_once(tmp_path, syntax, said):
    folder = one_file(tmp_path)
    from pydicom import dcmread

    dataset = dcmread(folder / "a.dcm")
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].is_undefined_length = True
    from pydicom.encaps import encapsulate

    dataset.PixelData = encapsulate([b"x" * 10])
    dataset.save_as(folder / "a.dcm")
    with pytest.raises(ValueError, match=rf"a\.dcm: transfer syntax .*{re.escape(said)}"):
        load_probe("folder", path=folder)


@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize(
    "content", [b"", b"not dicom", b"x" * 400, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 90]
)
def test_broken_files_are_named(tmp_path, content):
    folder = one_file(tmp_path)
    (folder / "z.dcm").write_bytes(content)
    with pytest.raises(ValueError, match=r"1 of 2 DICOM files hold no image that can be read: z\.dcm: "):
        load_probe("folder", path=folder)
    assert load_probe("folder", path=folder, on_error="skip").ids == ["a.dcm"]


@pytest.mark.filterwarnings("ignore:End of file reached")
def test_damaged_pixels_are_found_when_they_are_read(tmp_path):
    folder = one_file(tmp_path, syntax=JPEG_2000)
    write_dicom(folder / "b.dcm", PIXELS)
    (folder / "a.dcm").write_bytes((folder / "a.dcm").read_bytes()[:-3000])
    with pytest.raises(ImageFileError, match=r"a\.dcm: "):
        load_probe("folder", path=folder)[0]
    assert load_probe("folder", path=folder, on_error="skip").ids == ["b.dcm"]


def test_the_index_of_a_medium_is_passed_over(tmp_path):
    folder = one_file(tmp_path)
    from pydicom import dcmread

    dataset = dcmread(folder / "a.dcm")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    dataset.save_as(folder / "DICOMDIR", enforce_file_format=False)
    probe = load_probe("folder", path=folder)
    assert probe.ids == ["a.dcm"]
    assert probe.notes == ["1 index of DICOM files (DICOMDIR) that is no image"]
    (folder / "a.dcm").unlink()
    with pytest.raises(ValueError, match="only an index of DICOM files"):
        load_probe("folder", path=folder)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"window": 5}, TypeError, "window=5 must be a tuple"),
        ({"window": (1, 2, 3)}, ValueError, "window="),
        ({"window": (1, 0)}, ValueError, r"window\[1\]=0"),
        ({"window": ("a", 4)}, ValueError, r"window\[0\]='a'"),
        ({"window": (1, 4), "voi": True}, ValueError, "one of them can be applied"),
        ({"window": (1, 4), "preparation": {"voi": True}}, ValueError, "one of them can be applied"),
        ({"voi": "yes"}, (ValueError, TypeError), "voi='yes'"),
        ({"preparation": "Released"}, ValueError, "preparation='Released' is not one of 'released'"),
        ({"preparation": {"sizes": 3}}, ValueError, "no option sizes"),
        ({"preparation": 5}, TypeError, "preparation=5"),
        ({"keep_ids": 1}, (ValueError, TypeError), "keep_ids=1"),
        ({"bits": 99}, ValueError, "bits=99"),
    ],
)
def test_wrong_options(whole, options, error, said):
    with pytest.raises(error, match=said):
        load_probe("folder", path=whole[0], **options)


def test_windows_without_dicom_files_are_refused(tmp_path):
    Image.fromarray(PIXELS.astype(np.uint8)).save(tmp_path / "a.png")
    for options in ({"voi": True}, {"window": (5, 9)}, {"preparation": {"voi": True}}):
        with pytest.raises(ValueError, match="voi= and window= concern DICOM files"):
            load_probe("folder", path=tmp_path, **options)


# Chosen files


def test_chosen_files_in_their_order(whole):
    names = [list(whole[1])[i] for i in (4, 0)]
    probe = load_probe("folder", path=whole[0], files=names, keep_ids=True)
    assert probe.ids == names
    assert len(set(load_probe("folder", path=whole[0], files=names).table["patient"])) == 2
    with pytest.raises(ValueError, match="has 1 duplicate id"):
        load_probe("folder", path=whole[0], files=[names[0], names[0]])
