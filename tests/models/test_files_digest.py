"""The hash by which what is kept of demo models is found again."""

import hashlib

import pytest
from miniature_models import demo_models

from mdissect.models import files_digest

FILES = ("toy/config.json", "toy/model.safetensors", "tokenizer.json")


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A folder with a tiny demo model."""
    demo_models(tmp_path / "demo", "toy")
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    return tmp_path / "demo"


def test_it_is_that_of_the_bytes_of_all_files(demo):
    parts = b"".join(hashlib.sha256((demo / name).read_bytes()).digest() for name in FILES)
    assert files_digest("toy") == hashlib.sha256(parts).hexdigest()


@pytest.mark.parametrize("name", ["toy/config.json", "tokenizer.json"])
def test_line_ends_of_a_windows_checkout_change_nothing(name, demo):
    before = files_digest("toy")
    (demo / name).write_bytes((demo / name).read_bytes().replace(b"\n", b"\r\n"))
    assert files_digest("toy") == before


@pytest.mark.parametrize("name", FILES)
def test_any_other_change_is_noticed(name, demo):
    before = files_digest("toy")
    with open(demo / name, "ab") as file:
        file.write(b"\r\n ")
    assert files_digest("toy") != before
