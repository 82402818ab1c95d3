"""Pseudonyms: stable, different, without a way back, and found wherever an id stands."""

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from mdissect.probes.pseudonyms import PATIENT, STUDY, Pseudonyms, each_its_own, key_file, own_pseudonyms


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


HASHED = Pseudonyms(b"a key")


def test_they_are_stable_and_depend_on_key_kind_and_id():
    assert HASHED.of(PATIENT, "0017") == Pseudonyms(b"a key").of(PATIENT, "0017")
    found = {HASHED.of(PATIENT, "0017"), HASHED.of(STUDY, "0017"), HASHED.of(PATIENT, "17")}
    found.add(Pseudonyms(b"another").of(PATIENT, "0017"))
    assert len(found) == 4
    assert all(re.fullmatch(r"[PS][0-9a-f]{14}", one) for one in found)


def test_many_patients_have_different_ones():
    assert len({HASHED.of(PATIENT, str(i)) for i in range(20_000)}) == 20_000


def test_a_pseudonym_stays_what_it_is():
    once = HASHED.of(PATIENT, "KOWALSKI")
    assert HASHED.of(PATIENT, once) == once
    assert Pseudonyms(b"another key").of(PATIENT, once) != once
    assert HASHED.of(PATIENT, "P12345678901234") != "P12345678901234"  # an id that only looks like one


@pytest.mark.parametrize(
    ("text", "ids", "left"),
    [
        ("P0017_L_CC.png", ["P0017"], "*_L_CC.png"),
        ("a/p0017/1.png", ["P0017"], "a/*/1.png"),
        ("P00171_L.png", ["P0017"], "P00171_L.png"),  # five letters: a whole word only
        ("KOWALSKIANNA_L.png", ["Kowalski"], "*ANNA_L.png"),
        ("17-17.png", ["17"], "*-*.png"),
        ("1.2.34/1.2.345.dcm", ["1.2.34"], "*/1.2.345.dcm"),
        ("1.2.34.5", ["1.2.34"], "1.2.34.5"),
        ("1.2.34.5/1.2.34.dcm", ["1.2.34", "1.2.34.5"], "*/*.dcm"),
        ("a.11.2.34", ["1.2.34"], "a.11.2.34"),
        ("x(1).png", ["x(1)"], "*.png"),
        ("Ann and Anna", ["Ann", "Anna"], "* and *"),
        ("nothing here", ["KOWALSKI"], "nothing here"),
        ("nothing", [], "nothing"),
    ],
)
def test_ids_are_found_in_texts(text, ids, left):
    hidden = HASHED.hidden(text, {one: (PATIENT, one) for one in ids})
    assert re.sub(r"P[0-9a-f]{14}", "*", hidden) == left


def test_parts_of_a_name_stand_for_the_patient():
    ids = {"DOE": (PATIENT, "0017"), "0017": (PATIENT, "0017")}
    assert HASHED.hidden("doe/0017", ids) == "/".join([HASHED.of(PATIENT, "0017")] * 2)


def test_names_that_come_again():
    assert each_its_own(["a", "b", "a", "a~2", "a"]) == ["a", "b", "a~2", "a~2~2", "a~3"]


def test_the_key_is_made_once_and_for_its_owner_alone(own_cache):
    with ThreadPoolExecutor(4) as pool:
        checks = set(pool.map(lambda _: own_pseudonyms().check(), range(8)))
    assert checks == {own_pseudonyms().check()}
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    before = own_pseudonyms().of(PATIENT, "1")
    key_file().unlink()
    assert own_pseudonyms().of(PATIENT, "1") != before


@pytest.mark.parametrize("content", [b"", b"short", b"z" * 64 + b"\n", b"0" * 64])
def test_a_damaged_key_is_named(own_cache, content):
    own_cache.mkdir()
    key_file().write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(key_file()))} is not the key of pseudonyms .*restore it"):
        own_pseudonyms()


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_key_that_cannot_be_read(own_cache):
    own_pseudonyms()
    key_file().chmod(0)
    with pytest.raises(PermissionError):
        own_pseudonyms()
