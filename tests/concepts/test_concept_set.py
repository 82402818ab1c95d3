"""Concept sets: what ships, what the published files hold, and what is refused."""

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from mdissect.concepts import (
    BROAD_CATEGORY_OF,
    DOMAINS,
    EVIDENCE,
    OTHER,
    TASKS,
    TAXONOMY,
    ConceptSet,
    load_concepts,
    variant_key,
)
from mdissect.concepts.concept_set import COLUMNS, PUBLISHED_FILES

PUBLISHED = Path(__file__).resolve().parents[2] / ".." / "shared" / "published"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published concept files are not here")
BROAD_COUNTS = {
    "Breast anatomy or structure": 32,
    "Breast locations": 52,
    "Findings and characterizations": 141,
    "Interpretations": 141,
    "Action or follow up": 9,
    "Environmental and Natural": 394,
}


@pytest.fixture(scope="module")
def mammography():
    return load_concepts("mammography")


@pytest.fixture
def write(tmp_path):
    """Write a concept file and give its path; text is written as UTF-8, bytes as they are."""

    def to(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.fixture
def workbook(tmp_path):
    """Write {sheet: rows} as a workbook and give its path."""

    def to(sheets, name="words.xlsx"):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / name)
        return tmp_path / name

    return to


def table(*rows):
    return "\n".join(["concept,category,broad_category,domain,tasks,evidence", *rows]) + "\n"


MASS = "round mass,Mass,Findings and characterizations,mammography,mass,single view"


# The shipped set


def test_shipped_set_has_both_domains_in_full(mammography):
    counts = {domain: len(mammography.subset(domain=domain)) for domain in DOMAINS}
    assert 350 <= counts["mammography"] <= 400
    assert 350 <= counts["other"] <= 400
    assert sum(counts.values()) == len(mammography)


def test_shipped_set_fills_every_category_in_workflow_order(mammography):
    assert list(mammography.table["category"].unique()) == list(BROAD_CATEGORY_OF)
    assert len([c for c, broad in BROAD_CATEGORY_OF.items() if broad != OTHER]) == 22


def test_shipped_set_is_read_without_notes_and_lower_case(mammography):
    assert mammography.notes == ()
    assert all(name == name.lower() for name in mammography)


def test_shipped_mammography_concepts_say_what_it_takes_to_see_them(mammography):
    rows = mammography.table
    assert set(rows.loc[rows["domain"] == "mammography", "evidence"]) == set(EVIDENCE)
    assert set(rows.loc[rows["domain"] == "other", ["evidence", "tasks"]].to_numpy().ravel()) == {""}


def test_shipped_rows_of_one_concept_agree(mammography):
    per_concept = mammography.table.groupby("concept")[["domain", "tasks", "evidence"]].nunique()
    assert per_concept.to_numpy().max() == 1
    assert mammography.table["concept"].duplicated().any()  # some stand in two categories


@pytest.mark.parametrize("task", TASKS)
def test_shipped_task_lists_hold_what_is_named_after_the_task(mammography, task):
    chosen = mammography.subset(task=task)
    assert len(chosen) >= 30
    elsewhere = {"without", "low", "equal", "high", "asymmetric", "increase"}  # no mass; the density of a mass or an asymmetry
    named = {name for name in mammography.subset(domain="mammography") if task in name.split()}
    assert {name for name in named - set(chosen) if not elsewhere & set(name.split())} == set()


def test_shipped_set_names_what_phantoms_and_scenes_show(mammography):
    shown = """implant; saline implant; silicone implant; biopsy clip; surgical clip; pacemaker; nipple marker; scar marker;
        spiculated mass; fine pleomorphic calcification; architectural distortion; skin thickening; nipple retraction;
        axillary lymph node; bi-rads density d; cc view; bi-rads 4; red; grey; ladder; fish; wood; checkered fabric"""
    assert [name for name in map(str.strip, shown.split(";")) if name not in mammography] == []


# The published set


@needs_published
def test_published_counts():
    published = load_concepts(PUBLISHED)
    counts = {domain: len(published.subset(domain=domain)) for domain in DOMAINS}
    assert (len(published), counts) == (763, {"mammography": 369, "other": 394})
    assert {broad: len(published.subset(broad_category=broad)) for broad in TAXONOMY} == BROAD_COUNTS
    assert len(published.table["category"].unique()) == 26
    broad_categories = published.table.groupby("concept")["broad_category"].nunique()
    assert (broad_categories > 1).sum() == 6


@needs_published
def test_published_workbook_and_list_hold_the_same_concepts():
    workbook, listed = (load_concepts(PUBLISHED / name) for name in PUBLISHED_FILES)
    assert set(workbook) == set(listed)
    assert len(listed) == 763
    assert set(listed.table["category"]) == {""}


@needs_published
def test_published_notes_say_what_was_put_right():
    notes = load_concepts(PUBLISHED / PUBLISHED_FILES[0]).notes
    assert any("stray whitespace in ' Findings and characterizations'" in note for note in notes)
    assert any("row 34" in note and "'questionable mass '" in note and "read without it" in note for note in notes)
    assert any("'membrane'" in note and "counted as 'other'" in note for note in notes)
    assert sum("read once" in note for note in notes) == 4


@needs_published
def test_published_by_name_from_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "concepts").mkdir()
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Specific_concepts_sorted\.txt into .*published"):
        load_concepts("published")
    (tmp_path / "concepts" / "published").symlink_to(PUBLISHED.resolve())
    assert len(load_concepts("published")) == 763


# Every format


@pytest.mark.parametrize(
    "content",
    [
        "concept\nmass\nladder\n",
        "\ufeffconcept\r\nmass\r\nladder\r\n",
        "concept\rmass\rladder\r",
        'Concept\n"mass"\nladder',
        "concept;domain\nmass;\nladder;\n",
        "sep=;\nconcept;domain\nmass;\nladder;\n",
        "domain\tconcept\n\tmass\n\tladder\n",
        "concept,domain\nmass,,\nladder,,\n",
        "concept\nmass\nladder\n".encode("utf-16"),
    ],
)
def test_csv_with_only_concepts(write, content):
    concepts = load_concepts(write("words.csv", content))
    assert concepts.names == ["mass", "ladder"]
    assert list(concepts.table.columns) == list(COLUMNS)
    assert set(concepts.table["domain"]) == {""}


def test_csv_fills_in_what_follows_from_the_category(write):
    concepts = load_concepts(write("words.csv", "concept,category\nround mass,mass\nwood,Materials\n"))
    columns = ["category", "broad_category", "domain"]
    assert concepts.table[columns].to_numpy().tolist() == [
        ["Mass", "Findings and characterizations", "mammography"],
        ["Materials", "Environmental and Natural", "other"],
    ]


def test_csv_concept_may_stand_in_two_categories(write):
    rows = ["concept,category", "skin thickening,Skin", "skin thickening,Suspicious findings"]
    concepts = load_concepts(write("words.csv", "\n".join(rows)))
    assert concepts.names == ["skin thickening"]
    assert len(concepts.table) == 2


def test_csv_ignores_a_foreign_column_and_says_so(write):
    concepts = load_concepts(write("words.csv", "concept,remark\nmass,mine\n"))
    assert [note.endswith("unknown column 'remark': ignored") for note in concepts.notes] == [True]


def test_plain_list_keeps_singular_and_plural(write):
    concepts = load_concepts(write("words.txt", "tree\nmass\nmasses\n"))
    assert concepts.names == ["tree", "mass", "masses"]
    assert len(concepts.notes) == 1
    assert "row 3: 'masses' is a duplicate of 'mass'" in concepts.notes[0]


def test_workbook_by_sheets_and_columns(workbook):
    path = workbook(
        {
            " Interpretations": [["Implants", "Suspicious Findings "], ["intact implant", "new  mass"], [None, "New mass"]],
            "Environmental_and_Natural": [["Colours"], ["red"], [7]],
            "Sheet1": [],
        }
    )
    concepts = load_concepts(path)
    assert concepts.names == ["intact implant", "new mass", "red", "7"]
    assert concepts.table["category"].tolist() == ["Implants", "Suspicious findings", "Colours", "Colours"]
    assert any("column B, row 3: 'New mass' is a duplicate of 'new mass'" in note for note in concepts.notes)


def test_workbook_with_the_table_of_a_csv(workbook, mammography):
    rows = mammography.table
    path = workbook({"all": [list(rows.columns), *rows.replace("", None).to_numpy().tolist()]})
    pd.testing.assert_frame_equal(load_concepts(path).table, rows)


def test_workbook_lacks_what_the_list_has(workbook, write):
    workbook({"Interpretations": [["Implants"], ["intact implant"]]}, PUBLISHED_FILES[0])
    folder = write(PUBLISHED_FILES[1], "Intact implant\nladder\n").parent
    concepts = load_concepts(folder)
    assert concepts.names == ["intact implant", "ladder"]
    assert any("'ladder' stands in no category" in note for note in concepts.notes)


def test_every_format_gives_the_same_names(write, workbook):
    words = ["round mass", "bi-rads 4", "ladder"]
    sets = [
        load_concepts(write("words.csv", "\n".join(["concept", *words]))),
        load_concepts(write("words.txt", "\n".join(words))),
        load_concepts(workbook({"words": [["concept"], *([word] for word in words)]})),
        ConceptSet.from_list(words),
    ]
    assert [concepts.names for concepts in sets] == [words] * 4


# What is refused


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (",Mass,,,,", r"row 3: the concept is empty ''"),
        ("  ,Mass,,,,", r"row 3: the concept is empty '  '"),
        (MASS, r"row 3: 'round mass' is a duplicate of the one at words\.csv, row 2"),
        ("Round mass,Mass,,,,", r"row 3: 'Round mass' is a duplicate of 'round mass' \(words\.csv, row 2\) in another case"),
        ("Round mass,Suspicious findings,,,,", r"row 3: 'Round mass' is a duplicate .* in another case"),
        ("round masses,Mass,,,,", r"row 3: 'round masses' is a duplicate of 'round mass' .* number \(singular, plural\)"),
        ("round-mass,Mass,,,,", r"row 3: 'round-mass' is a duplicate of 'round mass' .* in another spelling"),
        ("oval mass,Mas,,,,", r"row 3: unknown category 'Mas' \(closest: Mass\); expected one of: Breast structures"),
        ("oval mass,,,,,", r"row 3: unknown category ''"),
        ("oval mass,Mass,Finding,,,", r"row 3: unknown broad_category 'Finding'"),
        ("oval mass,Mass,Interpretations,,,", r"row 3: broad_category 'Interpretations' does not go with 'Mass'; write 'Find"),
        ("oval mass,Mass,,other,,", r"row 3: domain 'other' does not go with 'Mass'; write 'mammography'"),
        ("oval mass,Mass,,,mass;lump,", r"row 3: unknown tasks 'lump'; expected one of: mass, calcification, density"),
        ("oval mass,Mass,,,,x-ray", r"row 3: unknown evidence 'x-ray'"),
        ("round mass,Objects,,,,", r"row 2: 'round mass' is of domain 'other' too \(words\.csv, row 3\)"),
        (" oval mass,Mass,,,,", r"row 3: stray whitespace in ' oval mass'; write 'oval mass'"),
        ("oval  mass,Mass,,,,", r"row 3: stray whitespace in 'oval  mass'"),
        ("oval\u00a0mass,Mass,,,,", r"row 3: stray whitespace in 'oval\\xa0mass'"),
        ("oval mass,Mass ,,,,", r"row 3: stray whitespace in 'Mass '; write 'Mass'"),
        ("oval\u200b mass,Mass,,,,", r"row 3: wrong encoding: 'oval\\u200b mass'"),
        ("cafÃ©,Objects,,,,", r"row 3: wrong encoding: 'cafÃ©'"),
        ("caf\ufffd,Objects,,,,", r"row 3: wrong encoding"),
        ("oval mass,Mass", r"row 3: 2 cells under 6 columns"),
    ],
)
def test_csv_names_file_row_and_value(write, second, message):
    path = write("words.csv", table(MASS, second))
    with pytest.raises(ValueError, match=message) as caught:
        load_concepts(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_all_that_is_wrong_is_told_at_once(write):
    with pytest.raises(ValueError, match=r"2 to put right") as caught:
        load_concepts(write("words.csv", "concept\n tree\n\nfish\n"))
    assert "row 2: stray whitespace" in str(caught.value)
    assert "row 3: the concept is empty" in str(caught.value)


def test_a_long_list_of_errors_is_cut(write):
    with pytest.raises(ValueError, match=r"30 to put right(?s:.)*and 20 more"):
        load_concepts(write("words.csv", "concept\n" + "".join(f" word {chr(i)}\n" for i in range(97, 112)) + "fish\n" * 16))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("concept\nmass\ntumör\n".encode("latin-1"), r"words\.csv, line 3: wrong encoding, not UTF-8: byte 0xf6 in 'tumör'"),
        ("concept\nmass\n".encode("utf-16-le"), r"words\.csv, line 1: a zero byte; .* UTF-16 without a mark"),
        ("", r"row 1: expected a header with the column 'concept', found \[\]"),
        ("concept;category\nmass,Mass\n", r"row 2: 1 cells under 2 columns"),
        ("concept\n\n\n a\n", r"row 4: stray whitespace"),
        ('concept,tasks\n"round\n mass",\n\n a,\n', r"row 5: stray whitespace"),
        ("concept,catgory\nmass,Mass\n", r"row 1: unknown column 'catgory' \(closest: category"),
        ("concept,concept\nmass,mass\n", r"row 1: the column 'concept' stands there 2 times"),
        ("concept\n", r"holds no concepts"),
        ('concept\n"mass\n', r"check its quotation marks"),
    ],
)
def test_csv_that_cannot_be_read(write, content, message):
    with pytest.raises(ValueError, match=message):
        load_concepts(write("words.csv", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mass\n\nladder\n", r"words\.txt, row 2: the concept is empty ''"),
        ("mass\nladder\nmass\n", r"row 3: 'mass' is a duplicate of the one at words\.txt, row 1"),
        ("mass\nMass\n", r"row 2: 'Mass' is a duplicate of 'mass' .* in another case"),
        ("mass\n ladder\n", r"row 2: stray whitespace in ' ladder'"),
        ("mass\ntumör\n".encode("latin-1"), r"words\.txt, line 2: wrong encoding"),
        ("", r"row 1: the concept is empty"),
    ],
)
def test_plain_list_names_row_and_value(write, content, message):
    with pytest.raises(ValueError, match=message):
        load_concepts(write("words.txt", content))


def test_workbook_of_unknown_categories(workbook):
    with pytest.raises(ValueError, match=r"sheet 'Findings', column A, row 2: unknown category 'Mas' \(closest: Mass\)"):
        load_concepts(workbook({"Findings": [["Mas"], ["round mass"]]}))


def test_unreadable_workbook_and_unknown_kinds(write):
    with pytest.raises(ValueError, match=r"is not a workbook that can be read"):
        load_concepts(write("words.xlsx", "no zip"))
    with pytest.raises(ValueError, match=r"unknown kind of concept file '\.json'; expected \.csv, \.txt, \.xlsx"):
        load_concepts(write("words.json", "[]"))


def test_missing_set_names_the_closest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'mamography' \(closest: mammography\); expected a name \(mammography, pub"):
        load_concepts("mamography")
    with pytest.raises(FileNotFoundError, match=r"holds none of the study's concept files"):
        load_concepts(tmp_path)


# ConceptSet


def test_from_list_checks_its_items():
    with pytest.raises(ValueError, match=r"position 1: the concept is empty"):
        ConceptSet.from_list(["mass", ""])
    with pytest.raises(TypeError, match=r"\['mass'\] is a list of one"):
        ConceptSet.from_list("mass")
    with pytest.raises(TypeError, match=r"it holds 3"):
        ConceptSet.from_list(["mass", 3])
    with pytest.raises(ValueError, match=r"holds no concepts"):
        ConceptSet.from_list([])


def test_table_is_checked_and_copied():
    with pytest.raises(ValueError, match=r"missing: category"):
        ConceptSet(pd.DataFrame({"concept": ["mass"]}))
    concepts = ConceptSet.from_list(["mass"])
    changed = concepts.table
    changed.loc[0, "concept"] = "ladder"
    assert concepts.names == ["mass"]
    with pytest.raises(ValueError, match=r"one concept at least"):
        ConceptSet(concepts.table.iloc[:0])


def test_table_comes_back_from_a_file(mammography, tmp_path):
    mammography.table.to_csv(tmp_path / "concepts.csv", index=False)
    again = ConceptSet.from_table(pd.read_csv(tmp_path / "concepts.csv"))
    pd.testing.assert_frame_equal(again.table, mammography.table)


def test_subset_joins_conditions_and_keeps_the_order(mammography):
    chosen = mammography.subset(names=["silicone implant", "implant", "red"], domain="mammography")
    assert chosen.names == ["implant", "silicone implant"]
    both = mammography.subset(category=["mass", "Skin"])
    assert set(both.table["category"]) == {"Mass", "Skin"}
    assert mammography.subset(category="Mass", task="calcification").names == ["mass with calcification"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"category": "Masses"}, r"unknown category 'Masses' \(closest: Mass.*\); this concept set has: Breast struct"),
        ({"broad_category": "Colour"}, r"unknown broad_category 'Colour'"),
        ({"domain": "cats"}, r"unknown domain 'cats'; this concept set has: mammography, other"),
        ({"task": "implant"}, r"unknown tasks 'implant'"),
        ({"names": ["ladder", "lader"]}, r"unknown concept 'lader' \(closest: ladder"),
        ({"category": "Colours", "domain": "mammography"}, r"no concept fits all of .*Colours"),
    ],
)
def test_subset_names_what_is_unknown(mammography, asked, message):
    with pytest.raises(ValueError, match=message):
        mammography.subset(**asked)


def test_subset_of_a_set_without_marks():
    with pytest.raises(ValueError, match=r"unknown tasks 'mass'; this concept set has: none"):
        ConceptSet.from_list(["mass"]).subset(task="mass")


def test_size_membership_and_look(mammography):
    assert len(list(mammography)) == len(mammography) == len(set(mammography.names))
    assert "implant" in mammography
    assert "Implant" not in mammography
    assert repr(ConceptSet.from_list(["mass", "masses"])) == "ConceptSet(2 concepts: 2 of no domain, 1 notes)"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("calcification", "Calcifications"),
        ("follow-up", "follow up"),
        ("fibre", "fibers"),
        ("tumour", "tumors"),
        ("grey", "gray"),
        ("haematoma", "hematomas"),
        ("oedema", "edema"),
        ("centre", "center"),
        ("lucent-centred", "lucent centered"),
        ("localisation wire", "localization wires"),
        ("biopsy", "biopsies"),
        ("axilla", "axillae"),
        ("cooper's ligament", "coopers ligament"),
        ("café", "cafe"),
        ("labelled", "labeled"),
    ],
)
def test_variants_of_one_word(one, other):
    assert variant_key(one) == variant_key(other)


@pytest.mark.parametrize(("one", "other"), [("mass", "mas k"), ("sun", "son"), ("bi-rads 1", "bi-rads 2"), ("+", "-")])
def test_words_that_differ(one, other):
    assert variant_key(one) != variant_key(other)
