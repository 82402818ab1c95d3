"""The README: its sentences about results, its figures and its code agree with the repository."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch
import torchvision
from miniature import JPEG_2000, draw_breast, write_dicom

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA = (ROOT / "data" / "README.md").read_text(encoding="utf-8")


def test_it_quotes_the_total_of_the_results_page():
    total = json.loads((ROOT / "figures" / "demo" / "00_results.json").read_text(encoding="utf-8"))["total"]
    assert f"**{total}**" in " ".join(README.split())


@pytest.mark.parametrize("text", [README, DATA], ids=["README", "data/README"])
def test_links_and_figures_lead_to_files(text):
    base = ROOT if text is README else ROOT / "data"
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if "://" not in link and not (base / link).exists()] == []


def test_it_opens_with_a_figure_that_says_its_alternative_text():
    alternative, name = re.search(r"!\[([^]]+)\]\((figures/demo/\S+)\)", README).groups()
    assert len(alternative) > 20
    assert (ROOT / name).is_file()


def test_each_notebook_has_one_line_with_a_file_that_it_makes():
    rows = {row[1]: row for row in (re.split(r" ?\| ?", line) for line in README.splitlines() if line.startswith("| ["))}
    for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        row = rows.pop(f"[{notebook.stem}](notebooks/{notebook.name})")
        assert row[2].endswith("?")
        assert f"](figures/demo/{notebook.stem[:2]}_" in row[3]
    assert rows == {}


def test_the_first_installation_says_its_size_and_shows_pips_progress():
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("$(READY): pyproject.toml")[2].partition("\nclean:")[0]
    installing = next(line for line in rule.splitlines() if "pip install" in line)
    assert "about 6 GB" in rule.partition(installing)[0]
    assert "about 6 GB" in README
    assert "quiet" not in installing


def test_its_code_is_python():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        ast.parse(block)


@pytest.mark.parametrize(
    "name", ["visible_only=True", "shared_facts", "axes=", "categories=", "patient_column=", "keep_ids=", "--list"]
)
def test_it_shows_what_users_ask_for(name):
    assert name in README


def test_the_columns_of_labels_are_those_of_the_code():
    source = (ROOT / "mdissect" / "dissection.py").read_text(encoding="utf-8")
    columns = ast.literal_eval(re.search(r"columns = (\[\"layer\".*?\])", source).group(1))
    assert f"print(found.labels())  # {', '.join(columns)}\n" in README


@pytest.mark.slow
def test_a_folder_of_dicom_files_and_a_torchvision_network_by_copy_and_paste(tmp_path, monkeypatch, no_network, capsys):
    block = next(block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "my_dicoms" in block)
    for patient in range(25):
        for side in "LR":
            pixels, _ = draw_breast((patient, ord(side)), side)
            tags = {"PatientID": f"KOWALSKI-{patient}", "ImageLaterality": side, "PatientAge": "061Y"}
            write_dicom(tmp_path / "my_dicoms" / f"{patient:02d}{side}", pixels, JPEG_2000, **tags)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), tmp_path / "my_network.pth")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README", "exec"), {})
    assert "61" in capsys.readouterr().out
    written = [path for path in (tmp_path / "my_result").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"KOWALSKI" in path.read_bytes()]


def test_the_picture_of_the_atlas_is_small():
    """`python tests/atlas/screenshot.py` makes it."""
    assert (ROOT / "figures" / "demo" / "atlas.png").stat().st_size < 150_000
