"""Tests of what a dissection tells, and of how it is saved, loaded and exchanged."""

from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from mdissect.dissection import Dissection

PRIOR = "prior exam"
PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
ODD_IDS = ["0012", "NA", "1e5", "a,b", 'say "x"', "übung/ß.png", " padded ", "null"]


def concept_set():
    """Three concepts, the second in two categories."""
    rows = [
        ("mass", "Mass", "Findings and characterizations", "mammography", "mass", ""),
        ("implant", "Breast implants", "Breast anatomy or structure", "mammography", "", PRIOR),
        ("implant", "Implants", "Interpretations", "mammography", "", ""),
        ("ladder", "Objects", "Environmental and Natural", "other", "", ""),
    ]
    return made_up.concept_set(rows)


def toy_dissection():
    """Two layers; the last neuron of the first cannot be named, the second neuron was labelled in spite of ties."""
    nan = np.nan
    table = pd.DataFrame(
        {
            "patient": ["0001", "0001", "NA", "", "1e3", "x", "y", "z"],
            "age": [50.5, nan, 0.1 + 0.2, 1e-9, 4, 5, 6, 7],
            "count": range(8),
            "mass": [True, False] * 4,
            "rank": list("abcdefgh"),
            "image": ["other"] * 8,
        },
        index=pd.Index(ODD_IDS, name="image_id"),
    )
    return Dissection(
        similarity={
            "early": np.array([[1, 3, 2], [0.5, 0.25, 0.125], [nan, nan, nan]], dtype=np.float32),
            "deep/late.0": np.array([[-1, -2, -0.5]], dtype=np.float32),
        },
        concepts=concept_set(),
        settings={"target": "toy", "dissector": "toys", "top_k": 2, "size": [8, 8], "notes": ["ä"]},
        activations={
            "early": np.array([range(8), [7, 7, 1, 2, 3, 4, 5, 6], [nan, 1, nan, 3, 2, 0, 0, 0]], dtype=np.float32).T,
            "deep/late.0": np.arange(8, 0, -1, dtype=np.float32)[:, None],
        },
        image_concept_sims=np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32),
        notes={"early": np.array(["", "tied", "not finite"], dtype=object), "deep/late.0": np.array([""], dtype=object)},
        probe_table=table,
    )


def test_labels_are_the_best_concepts_with_their_categories():
    labels = toy_dissection().labels()
    expected = [
        (
            "early",
            0,
            0,
            "implant",
            "Breast implants; Implants",
            "Breast anatomy or structure; Interpretations",
            3.0,
            "prior exam",
            "",
        ),
        ("early", 1, 0, "mass", "Mass", "Findings and characterizations", 0.5, "", "tied"),
        ("early", 2, 0, "", "", "", np.nan, "", "not finite"),
        ("deep/late.0", 0, 0, "ladder", "Objects", "Environmental and Natural", -0.5, "", ""),
    ]
    columns = ["layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "needs", "note"]
    pd.testing.assert_frame_equal(labels, pd.DataFrame(expected, columns=columns), check_dtype=False)


def test_labels_that_one_mammogram_cannot_show_can_be_left_out():
    visible = toy_dissection().labels(visible_only=True)
    assert visible.concept.tolist() == ["mass", "", "ladder"]
    assert toy_dissection().labels(top=2).query("neuron == 0 and layer == 'early'").needs.tolist() == [PRIOR, ""]


@pytest.mark.parametrize("top", [2, 3, 9])
def test_further_ranks_follow_by_similarity(top):
    labels = toy_dissection().labels(top=top)
    first = labels[(labels.layer == "early") & (labels.neuron == 0)]
    assert first["rank"].tolist() == list(range(min(top, 3)))
    assert first.concept.tolist() == ["implant", "ladder", "mass"][:top]
    assert first.similarity.tolist() == [3, 2, 1][:top]
    assert labels[labels.concept == ""].neuron.tolist() == [2]  # one row, however many are asked for


def test_a_label_needs_a_rank():
    with pytest.raises(ValueError, match="top=0 must be a whole number, 1 or more"):
        toy_dissection().labels(top=0)


def test_top_images_fall_in_activation_with_their_metadata():
    dissection = toy_dissection()
    found = dissection.top_images("early", 0, k=3)
    assert found["rank"].tolist() == [0, 1, 2]
    assert found.image.tolist() == ["null", " padded ", "übung/ß.png"]
    assert found.activation.tolist() == [7, 6, 5]
    assert found["count"].tolist() == [7, 6, 5]
    assert found.rank_of_image.tolist() == ["h", "g", "f"]
    assert dissection.top_images("early", 1, k=3).image.tolist() == ["0012", "NA", "null"]  # equal ones in their order
    assert dissection.top_images("early", 2, k=3).activation.tolist() == [3, 2, 1]  # what is not a number comes last
    assert len(dissection.top_images("deep/late.0", 0, k=99)) == 8


def test_a_neuron_that_is_not_there_is_named():
    dissection = toy_dissection()
    with pytest.raises(KeyError, match=r"no activations of layer 'late'; there are early, deep/late\.0"):
        dissection.top_images("late", 0)
    for neuron in (3, -1):
        with pytest.raises(IndexError, match=f"neuron {neuron} is not in layer 'early', whose neurons are 0 to 2"):
            dissection.top_images("early", neuron)


def test_it_introduces_itself():
    assert repr(toy_dissection()) == "Dissection of toy by toys: 3 concepts, neurons in early (3), deep/late.0 (1)"


def assert_equal(found, expected):
    assert found.layers == expected.layers
    for part in ("similarity", "activations", "notes"):
        assert getattr(found, part).keys() == getattr(expected, part).keys()
        for layer, values in getattr(expected, part).items():
            np.testing.assert_array_equal(getattr(found, part)[layer], values)
    np.testing.assert_array_equal(found.image_concept_sims, expected.image_concept_sims)
    pd.testing.assert_frame_equal(found.concepts.table, expected.concepts.table)
    pd.testing.assert_frame_equal(found.probe_table, expected.probe_table, check_exact=True)
    assert found.settings == expected.settings
    pd.testing.assert_frame_equal(found.labels(3), expected.labels(3))


def test_what_is_saved_is_loaded(tmp_path):
    toy_dissection().save(tmp_path / "new" / "folder")
    assert_equal(Dissection.load(tmp_path / "new" / "folder"), toy_dissection())
    toy_dissection().save(str(tmp_path / "new" / "folder"))  # over the old one
    assert_equal(Dissection.load(str(tmp_path / "new" / "folder")), toy_dissection())


def test_a_dissection_that_knows_labels_alone_is_saved_too(tmp_path):
    toy_dissection().to_csv(tmp_path / "labels.csv")
    labels_alone = Dissection.from_csv(tmp_path / "labels.csv")
    labels_alone.save(tmp_path)
    found = Dissection.load(tmp_path)
    assert found.image_concept_sims is None
    assert found.activations == {}
    assert len(found.probe_table) == 0
    pd.testing.assert_frame_equal(found.labels(), labels_alone.labels())


def test_a_folder_without_a_dissection_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no dissection"):
        Dissection.load(tmp_path)


def test_csv_has_the_columns_of_clip_dissect(tmp_path):
    toy_dissection().to_csv(tmp_path / "labels.csv", images=3)
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        "layer,unit,description,similarity,images,needs",
        "early,0,implant,3.0,[7 6 5],prior exam",
        "early,1,mass,0.5,[0 1 7],",
        "early,2,,,[3 4 1],",
        "deep/late.0,0,ladder,-0.5,[0 1 2],",
    ]
    toy_dissection().to_csv(tmp_path / "labels.csv", images=0)
    assert (tmp_path / "labels.csv").read_text().splitlines()[1] == "early,0,implant,3.0,prior exam"


def test_attached_columns_stand_last_in_a_csv_which_is_read_all_the_same(tmp_path):
    table = pd.DataFrame({"layer": "early", "neuron": [0, 1], "predicts": [0.5, np.nan], "images": ["many", "few"]})
    toy_dissection().with_columns(table).to_csv(tmp_path / "labels.csv", images=3)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0] == "layer,unit,description,similarity,images,needs,predicts,images_attached"
    assert lines[1:3] == ["early,0,implant,3.0,[7 6 5],prior exam,0.5,many", "early,1,mass,0.5,[0 1 7],,,few"]
    toy_dissection().to_csv(tmp_path / "plain.csv")
    again, plain = (Dissection.from_csv(tmp_path / name).labels() for name in ("labels.csv", "plain.csv"))
    pd.testing.assert_frame_equal(again, plain)


def test_labels_come_back_from_csv(tmp_path):
    toy_dissection().to_csv(tmp_path / "labels.csv")
    expected = toy_dissection().labels().assign(note="")
    for concepts in (None, concept_set()):
        found = Dissection.from_csv(tmp_path / "labels.csv", concepts)
        columns = ["layer", "neuron", "rank", "concept", "similarity"] if concepts is None else list(expected)
        pd.testing.assert_frame_equal(found.labels()[columns], expected[columns])
    assert found.settings == {"source": "labels.csv"}
    assert np.isnan(found.similarity["early"][0, 0])  # what a CSV does not tell stays unknown


def test_words_that_pandas_takes_for_nothing_and_numbers_stay_words(tmp_path):
    words = ["null", "nan", "NA", "2024", "1e3", "true"]
    rows = [f"7,{unit},{word},0.{unit + 1}" for unit, word in reversed(list(enumerate(words)))]
    (tmp_path / "labels.csv").write_text("\n".join(["layer,unit,description,similarity", *rows]))
    found = Dissection.from_csv(tmp_path / "labels.csv")
    assert found.layers == ["7"]
    assert found.labels().concept.tolist() == words
    np.testing.assert_allclose(found.labels().similarity, np.arange(1, 7) / 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("layer,unit,label\na,0,red", r"no column description, similarity; it has layer, unit, label"),
        ("layer,unit,description,similarity\na,0,red,1\na,2,red,1", "the units of layer a are not 0 to 1, each once"),
        ("layer,unit,description,similarity\na,0,red,1\na,0,red,1", "the units of layer a are not 0 to 1, each once"),
        ("layer,unit,description,similarity\na,0,red,1\na,one,red,1", "line 3: unit 'one' is not a number"),
        ("layer,unit,description,similarity\na,0,red,inf", "line 2: similarity 'inf' is not a number"),
        ("layer,unit,description,similarity\n\na,0,red,1,0", "line 3: 5 cells under 4 columns"),
        ("layer,unit,description,similarity\n\n\na,0,red,nan", "line 4: similarity 'nan' is not a number"),
        ("layer,unit,description,similarity\na,0,red,high", "line 2: similarity 'high' is not a number"),
        ("layer,unit,description,similarity\na,0,red,1\na,1,blue,", "line 3: the label 'blue' has no similarity"),
        (
            "layer,unit,description,similarity\na,0,red,1\na,1,bleu,2",
            r"1 labels are not among the concepts, such as \['bleu'\]",
        ),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(tmp_path, content, message):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ValueError, match=f"labels.csv.*{message}"):
        Dissection.from_csv(tmp_path / "labels.csv", ["red", "blue"])


@pytest.mark.skipif(not PUBLISHED.exists(), reason="no published tables beside the repository")
@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_published_tables_are_read_and_written_as_they_are(tmp_path, name):
    published = pd.read_csv(PUBLISHED / f"clip_dissect_{name}.csv", keep_default_na=False)
    dissection = Dissection.from_csv(PUBLISHED / f"clip_dissect_{name}.csv")
    assert {layer: len(scores) for layer, scores in dissection.similarity.items()} == published.layer.value_counts().to_dict()
    dissection.to_csv(tmp_path / "again.csv")
    again = pd.read_csv(tmp_path / "again.csv", keep_default_na=False)
    columns = ["layer", "unit", "description"]
    assert again[columns].equals(published[columns])
    np.testing.assert_allclose(again.similarity, published.similarity, rtol=1e-6)
