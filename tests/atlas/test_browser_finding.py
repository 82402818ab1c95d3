"""The atlas in a real browser: concepts, ranges of numbers, lists, one image of each patient, verdicts of a file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from atlas_page import count, go, opened, rows, watched

from mdissect.atlas import write_atlas
from mdissect.explorers import Notes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(found, probe, tmp_path_factory):
    """An atlas of a result whose truth is known, with attached columns, and labels of its own that are better than chance."""
    implants = np.arange(len(found.probe_table)) % 4 < 2
    table = found.probe_table.assign(implant=np.where(implants, "implant", ""))
    layer = {"layer": "stem", "neuron": range(6)}
    columns = pd.DataFrame(
        {**layer, "predicts": np.linspace(-0.1, 0.4, 6), "predicts_low": -0.5, "predicts_high": 0.9, "kind": "odd"}
    )
    trust = pd.DataFrame({**layer, "q": np.linspace(0.001, 0.5, 6), "concept": ["implant", "", "calcification", "", "", ""]})
    trust = trust.assign(p=0.01, p_label=0.02, stability=0.5, flag="")
    one = replace(
        found, probe_table=table, similarity={"stem": found.similarity["stem"]}, activations={"stem": found.activations["stem"]}
    )
    path = tmp_path_factory.mktemp("measured") / "atlas.html"
    write_atlas({"M": one.with_columns(columns)}, probe, path=path, trust={"M": trust})
    return path.as_uri()


@pytest.fixture
def known(browser, measured):
    yield from watched(browser, measured)


def test_numbers_of_a_range(known):
    known.get_by_label("number", exact=True).select_option(label="predicts")
    known.get_by_label("from", exact=True).fill("0.05")
    assert count(known) == "4 of 6 neurons"
    known.get_by_label("to", exact=True).fill("0.25")
    assert count(known) == "2 of 6 neurons"
    assert "of=own%20predicts" in known.url
    link = known.url
    known.goto("about:blank")
    known.goto(link)
    known.wait_for_selector("tr.row")
    assert count(known) == "2 of 6 neurons"
    assert known.get_by_label("to", exact=True).input_value() == "0.25"
    known.get_by_role("button", name="clear").click()
    assert count(known) == "6 of 6 neurons"
    heads = known.locator("#table th").all_inner_texts()
    assert {"better than chance", "p of the label", "predicts", "kind"} <= set(heads)
    assert "flag" not in heads  # of which there is none
    assert "predicts low" not in heads  # an end of an interval


def test_a_page_says_what_is_known_of_the_label_and_of_the_images(known):
    go(known, "#stem/0")
    opened(known, "neuron 0: implant")
    text = known.locator("#page").inner_text()
    assert "predicts unseen patients: r -0.10 (-0.50 to 0.90)" in text
    assert "p of the label 0.020" in text
    assert "rule highest similarity" in text
    top = known.locator(".tile figcaption").all_inner_texts()
    assert {"shows it" in one or "does not show it" in one for one in top} == {True}
    shown = text[text.index(" of 10 show “implant”") - 2 :].split(" ")[0]
    known.get_by_role("button", name="show all 10").click()
    every = known.locator(".tile figcaption").all_inner_texts()
    assert int(shown) == sum("· shows it" in one for one in every)
    assert "so do 50 % of all images" in text
    assert known.locator("abbr", has_text="stability").get_attribute("title")
    go(known, "#stem/2")
    opened(known, "neuron 2")
    assert "Which to trust: better than chance is calcification" in known.locator("#page").inner_text()


def test_one_image_of_each_patient(known):
    go(known, "#stem/0")
    opened(known, "neuron 0")
    known.get_by_role("button", name="show all 10").click()
    everything = known.locator(".tile").count()
    n = int(known.locator("#page", has_text="images are of").inner_text().partition("images are of ")[2].split(" ")[0])
    known.get_by_label("one of each patient").check()
    assert known.locator(".tile").count() == n < everything
    assert known.locator("#which").inner_text() == f"Strongest images: {n}, one of each patient, of 10"
    assert known.locator(".mdh-mark").count() == n
    known.locator("#copy").click()
    known.locator("#told", has_text="Copied").or_(known.locator("#told", has_text="each=1")).wait_for()
    go(known, "#stem/0?each=1")
    assert known.get_by_label("one of each patient").is_checked()


def test_a_search_without_hits_leads_to_the_concept_and_to_the_other_label(known):
    known.locator("#search").fill("bi-rads 4")
    assert count(known) == "1 of 6 neurons"
    known.locator("#search").fill("neuron 3")
    assert count(known) == "1 of 6 neurons"
    go(known, "#?")
    known.locator("#search").fill("fat")  # the label of neuron 2, which is better named calcification
    assert count(known) == "1 of 6 neurons"
    known.get_by_label("labels", exact=True).select_option("none")
    assert count(known) == "0 of 6 neurons"
    assert known.locator("#hint").inner_text() == "No neuron fits all that is asked for: clear the filters."
    known.get_by_role("button", name="clear").click()
    known.locator("#search").fill("script")  # a concept that is the label of none
    assert count(known) == "0 of 6 neurons"
    assert known.locator("#hint").inner_text().startswith("No neuron has such a label; the nearest neurons of ")
    known.locator("#hint a").first.click()
    opened(known, "</script><script>alert(1)</script>")


def test_a_concept_counts_the_neurons_of_which_it_is_better_than_chance(known):
    """Neuron 2 is shown as another concept; better than chance it is calcification, as neuron 4 is shown."""
    known.get_by_role("button", name="concepts").click()
    told = dict(text.split("\t") for text in known.locator("#concepts tbody tr").all_inner_texts())
    assert told["calcification"].endswith(" (1)")
    assert told["implant"] == "0"  # that of neuron 0 is shown already, below the threshold
    go(known, "#?concept=calcification")
    opened(known, "calcification")
    said = known.locator("#page").inner_text()
    assert "the label better than chance of 1 further neuron" in said
    assert "Neurons of M for which it is better than chance, though another label is shown" in said


def test_escape_and_arrows_in_the_search(page):
    search = page.locator("#search")
    search.fill("implant")
    search.press("Escape")
    assert (search.input_value(), count(page)) == ("", "36 of 36 neurons")
    search.fill("implant")
    search.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "scroll"
    page.keyboard.press("Enter")
    opened(page, "implant")
    page.keyboard.press("/")
    page.keyboard.type("calc")
    assert search.input_value() == "calc"


def test_the_concepts_of_all_results(page):
    page.get_by_role("button", name="concepts").click()
    table = page.locator("#concepts tbody tr")
    assert table.count() == 6
    first = [text.split("\t") for text in table.all_inner_texts()]
    assert all(len(row) == 3 for row in first)
    totals = [int(row[1]) + int(row[2]) for row in first]
    assert totals == sorted(totals, reverse=True)
    for option, missed in (
        ("none", [row[0] for row in first if row[1] == row[2] == "0"]),
        ("no:C", [row[0] for row in first if row[2] == "0"]),
    ):
        page.locator("#by-learned").select_option(option)
        assert [text.split("\t")[0] for text in table.all_inner_texts()] == missed
    assert "learned=no%3AC" in page.url
    page.get_by_role("button", name="clear").click()
    page.locator("#search").fill("implants")
    assert table.count() == 1
    table.get_by_role("link").click()
    opened(page, "implant")
    assert "learned (label of" in page.locator("#page").inner_text()


def test_a_missed_concept_names_the_neurons_that_come_near(browser, found, tmp_path):
    scores = np.full((3, len(found.concepts.names)), 0.1, np.float32)
    scores[:, 0], scores[0, 4] = [5, 4, 1], 4.9  # implant is the label of all; calcification comes near in neuron 0
    near = replace(found, similarity={"deep": scores}, activations={}, notes={"deep": np.array([""] * 3, dtype=object)})
    write_atlas({"M": near}, path=tmp_path / "atlas.html")
    for page in watched(browser, (tmp_path / "atlas.html").as_uri()):
        go(page, "#?concept=calcification")
        opened(page, "calcification")
        said = page.locator("#page").inner_text()
        assert (
            "M: missed as a label, though some neurons are similar enough, such as deep · neuron 0: implant (similarity 4.90)"
            in said
        )
        go(page, "#?concept=bi-rads 4")
        opened(page, "bi-rads 4")
        assert "M: missed as a label; no neuron’s similarity reaches the threshold" in page.locator("#page").inner_text()


def test_a_list_travels_in_the_link(page, atlas):
    for place in ("M/stem/0", "C/deep%2F2/4"):
        go(page, f"#{place}")
        opened(page, f"neuron {place[-1]}")
        page.get_by_role("button", name="add to my list").click()
    page.get_by_role("button", name="my list (2)").click()
    page.wait_for_selector("tr.row")
    assert count(page) == "2 of 36 neurons"
    page.locator("#search").fill("lizard")
    assert count(page) == "0 of 36 neurons"
    page.locator("#search").fill("")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("tr.row")
    assert page.locator("tr.row td:first-child").all_inner_texts() == ["M stem 0", "C deep/2 4"]
    page.locator("tr.row a").first.click()
    opened(page, "M · stem · neuron 0")
    page.get_by_role("button", name="take off my list").click()
    page.get_by_role("button", name="my list (1)").click()
    page.wait_for_selector("tr.row")
    assert count(page) == "36 of 36 neurons"


def test_next_unjudged_stays_among_those_found(page):
    page.locator("#search").fill("implant")
    found = page.locator("tr.row td:first-child").all_inner_texts()
    page.locator("tr.row a").first.click()
    opened(page, "M · stem · neuron 0")
    page.get_by_label("your initials").fill("AB")
    page.keyboard.press("Escape")  # out of the field, then keys act
    seen = []
    for _ in found:
        seen.append(page.locator("#page h2").inner_text().split(":")[0])
        page.keyboard.press("1")
        page.keyboard.press("n")
        page.wait_for_timeout(80)
    assert [one.replace(" · ", " ").replace("neuron ", "") for one in seen] == found
    assert "6 of 6 judged of those in the table: none is left" in page.locator("#told").inner_text()


def test_blind_reading_of_those_found(page):
    page.locator("#search").fill("implant")
    found = set(page.locator("tr.row td:first-child").all_inner_texts())
    page.get_by_role("button", name="blind reading").click()
    assert set(page.locator("tr.row td:first-child").all_inner_texts()) == found
    assert set(rows(page)) == {"label hidden"}
    assert count(page) == "Blind reading: 0 of 6 judged."
    page.reload()
    page.wait_for_selector("tr.row")
    assert set(page.locator("tr.row td:first-child").all_inner_texts()) == found
    page.get_by_role("button", name="blind reading").click()
    assert set(rows(page)) != {"label hidden"}
    assert count(page) == "36 of 36 neurons"


def test_the_search_comes_back_after_a_blind_reading(page):
    page.locator("#search").fill("implant")
    for _ in range(2):
        page.get_by_role("button", name="blind reading").click()
    assert page.locator("#search").input_value() == "implant"
    assert count(page) == "6 of 36 neurons"


def test_verdicts_of_a_file_are_taken_over_and_shown_after_ones_own(page, found, tmp_path):
    notes = Notes(tmp_path / "other.csv", result="M").of(found)
    notes.record("stem", 0, "KR", label="implant", verdict="wrong", text='=1+1, "no"\nimplant')
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    page.locator("#loaded").set_input_files(tmp_path / "no.csv")
    page.locator("#told", has_text="This is not a file of verdicts.").wait_for()
    page.locator("#loaded").set_input_files(tmp_path / "other.csv")
    page.locator("#told", has_text="1 verdicts loaded").wait_for()
    go(page, "#M/stem/0")
    opened(page, "M · stem · neuron 0")
    page.get_by_label("your initials").fill("AB")
    assert "Others:" not in page.locator("#page").inner_text()
    page.get_by_role("button", name="right", exact=True).click()
    assert 'Others: KR wrong (=1+1, "no" implant)' in page.locator(".verdict").inner_text().replace("\n", " ")
    with page.expect_download() as download:
        page.get_by_role("button", name="save verdicts (1)").click()
    download.value.save_as(tmp_path / "own.csv")
    merged = Notes(tmp_path / "merged.csv", result="M")
    assert merged.merge(tmp_path / "own.csv") == {"new": 1, "changed": 0, "same": 0}  # KR's stay KR's
    page.locator("#loaded").set_input_files(tmp_path / "own.csv")
    page.locator("#told", has_text="0 verdicts loaded, 1 were known").wait_for()


def test_filters_are_folded_on_a_small_screen(page):
    filters, fold = page.locator("#filters"), page.locator("#fold > summary")
    assert filters.is_visible()
    assert not fold.is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    page.wait_for_selector("tr.row")
    assert not filters.is_visible()
    fold.click()
    page.get_by_label("layer", exact=True).select_option("stem")
    assert count(page) == "12 of 36 neurons"
