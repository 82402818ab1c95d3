"""The atlas in a real browser, from disk and with the network off, as a reader without Python uses it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from atlas_page import count, go, opened, rows, watched
from laboratory import wait_until

from mdissect.atlas import write_atlas
from mdissect.concepts import ConceptSet, load_concepts
from mdissect.dissection import Dissection
from mdissect.explorers import Notes

pytestmark = pytest.mark.slow
FIRST_POINT = """() => {
  const canvas = document.getElementById("points"), box = canvas.getBoundingClientRect();
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const at = Math.floor(pixels.findIndex((value, i) => i % 4 === 3 && value > 200) / 4);
  const x = at % canvas.width, y = Math.floor(at / canvas.width);
  return [box.left + x / canvas.width * box.width, box.top + (y + 2) / canvas.height * box.height];
}"""
SEARCHES = json.loads((Path(__file__).parents[1] / "concepts" / "searches.json").read_text(encoding="utf-8"))
SERIOUS = ("serious", "critical")
NAMES = [
    "implant",
    "</script><script>alert(1)</script>",
    'mass "of" <b>fat</b> & more',
    "masse étrange ☃",
    "calcification",
    "bi-rads 4",
]


@pytest.fixture(scope="module")
def few(found, tuned, probe, tmp_path_factory):
    """An atlas that has pictures of five images only."""
    path = tmp_path_factory.mktemp("few") / "atlas.html"
    write_atlas({"M": found, "C": tuned}, probe, path=path, images=5)
    return path.as_uri()


@pytest.fixture(scope="module")
def study(found, tuned, probe, tmp_path_factory):
    """A blind study of three neurons of each layer."""
    folder = tmp_path_factory.mktemp("study")
    notes = Notes(folder / "verdicts.csv", blind=True, neurons=3)
    write_atlas({"M": found, "C": tuned}, probe, path=folder / "atlas.html", notes=notes)
    return (folder / "atlas.html").as_uri()


@pytest.fixture
def blind(browser, study):
    """The study, opened and watched likewise."""
    yield from watched(browser, study)


def test_search_and_filters(page):
    assert count(page) == "36 of 36 neurons"
    search = page.locator("#search")
    for words, expected in [
        ("implants", "6 of"), ("4 birads", "6 of"), ("Bi-Rads 4", "6 of"), ("calcifications", "6 of"), ("ETRANGE", "6 of"),
        ("calc", "6 of"), ("plant", "0 of"), ("stem implant", "2 of"), ("3 stem", "2 of"), (".*(", "0 of"), ("", "36 of"),
    ]:  # fmt: skip
        search.fill(words)
        assert count(page).startswith(expected), words
    search.fill("calcifcation")
    page.get_by_role("button", name="calcification", exact=True).click()
    assert search.input_value() == "calcification"
    assert set(rows(page)) == {"calcification"}
    assert page.locator(".card").count() == 6
    page.get_by_role("button", name="clear").click()
    page.get_by_label("result", exact=True).select_option("C")
    assert count(page) == "18 of 36 neurons"
    page.get_by_label("labels", exact=True).select_option("none")
    assert count(page) == "2 of 36 neurons"
    assert "model=C" in page.url


@pytest.fixture(scope="module")
def every_concept(browser, tmp_path_factory):
    """The page of an atlas of the shipped concepts, each the label of one neuron."""
    concepts = load_concepts("mammography")
    found = Dissection({"yy": np.eye(len(concepts.names), dtype=np.float32)}, concepts, {"top_k": 1})
    path = tmp_path_factory.mktemp("every") / "atlas.html"
    write_atlas({"zz": found}, path=path)
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("tr.row")
    yield page
    page.close()


@pytest.mark.parametrize("kind", SEARCHES)
def test_the_page_finds_what_the_module_finds(every_concept, kind):
    """A space at the end says that the last word is whole."""
    page, wrong = every_concept, []
    for query, *expected in SEARCHES[kind]:
        page.locator("#search").fill(query if kind == "typing" else f"{query} ")
        seen = int(count(page).split(" ")[0].replace(",", ""))
        if kind == "meant":
            found = [page.locator("#hint button").all_inner_texts()] if not seen else [[]]
        else:
            found = [seen] + ([expected[1] if not seen or expected[1] in rows(page) else rows(page)] if kind == "whole" else [])
        if found != expected:
            wrong.append((query, found, expected))
    assert wrong == []


def test_enter_on_the_same_words_goes_to_the_first_hit_again(page):
    search = page.locator("#search")
    search.fill("implant")
    go(page, "#M/stem/3")
    opened(page, "M · stem · neuron 3")
    search.press("Enter")
    page.locator("#list").wait_for()
    assert count(page) == "6 of 36 neurons"
    assert page.locator("tr.here").get_attribute("data-neuron") == page.locator("tr.row").first.get_attribute("data-neuron")


@pytest.mark.parametrize("words", ["w" * 300, "implant " * 60, "<script>alert(1)</script>" * 12])
def test_long_searches_stay_within_the_page(page, words):
    page.locator("#search").fill(words)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sorting(page):
    head = page.get_by_role("button", name="similarity")
    head.click()
    values = [float(text) for text in page.locator("tr.row td:nth-child(3)").all_inner_texts() if text]
    assert values == sorted(values, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text() == "similarity ▼"
    head.click()
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_hostile_names_are_text(page):
    page.locator("#search").fill("script")
    assert rows(page)[0] == "</script><script>alert(1)</script>"
    page.locator("tr.row a").first.click()
    opened(page, "</script><script>alert(1)</script>")
    page.locator("#page h2 a").click()
    opened(page, "</script><script>alert(1)</script>")
    assert page.locator("h1").inner_text() == "<b>toy</b>"
    for fragment in (
        "#?concept=<img src=x onerror=alert(1)>",
        "#constructor/3",
        "#M/stem/99",
        "#%E0%A4%A",
        "#?q=%3Cimg%20src=x%3E",
    ):
        go(page, fragment)
        page.wait_for_timeout(50)
    assert page.locator("img[src=x]").count() == 0


def test_a_neuron_by_its_link_with_images_and_its_relatives(page):
    go(page, "#M/deep%2F2/6")
    opened(page, "M · deep/2 · neuron 6: implant")
    assert page.locator(".tile img").count() == 8
    page.get_by_role("button", name="show all 10").click()
    assert page.locator(".tile img").count() == 10
    assert page.locator(".mdh-mark").count() == 10
    assert page.locator(".bars .bar").count() == 6
    page.get_by_label("annotations").check()
    assert page.locator(".tile rect").count() > 0
    page.locator(".tile button").first.press("Enter")
    stage, said = page.locator("#large .mdv-stage"), page.locator("#large .mdv-said")
    wait_until(lambda: "as the atlas holds it, 8 bits" in said.inner_text())
    fitted = said.inner_text()
    stage.press("+")
    wait_until(lambda: said.inner_text() != fitted)
    stage.press("i")
    wait_until(lambda: "inverted" in said.inner_text())
    stage.press("0")
    page.locator("#close").focus()
    first = page.locator("#large p b").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#large p b").inner_text() != first
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()
    page.locator("#page li a", has_text="C · deep/2 · neuron 6:").first.click()
    opened(page, "C · deep/2 · neuron 6")


def test_a_concept_shows_its_neurons_in_every_result(page):
    go(page, "#?concept=implant")
    opened(page, "implant")
    assert page.locator("#page .card").count() == 6
    assert page.locator("#page table tbody tr").count() == 4
    assert "M: learned" in page.locator("#page").inner_text()


def test_keys(page):
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    opened(page, "M · stem · neuron 3")
    page.keyboard.press("ArrowRight")
    opened(page, "M · stem · neuron 4")
    page.keyboard.press("ArrowLeft")
    opened(page, "M · stem · neuron 3")
    page.keyboard.press("v")
    assert page.evaluate("document.activeElement.id") == "reader"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("#scroll").wait_for()
    assert page.evaluate("document.activeElement.id") == "scroll"
    assert page.locator("tr.here a").inner_text() == "M stem 3"


def test_the_map_opens_a_neuron(page):
    page.get_by_role("button", name="map").click()
    x, y = page.evaluate(FIRST_POINT)
    page.mouse.click(x, y)
    opened(page, "neuron")


def test_verdicts_are_saved_to_a_file_and_read_back(page, tmp_path):
    go(page, "#M/stem/0")
    page.get_by_role("button", name="wrong").click()  # without initials nothing is recorded
    page.get_by_label("your initials").fill("AB")
    page.get_by_role("button", name="partly").click()
    text = '=1+1, "quoted"\nnext line, étrange'
    page.get_by_label("why").fill(text)
    go(page, "#C/deep%2F2/4")
    page.get_by_role("button", name="right", exact=True).click()
    page.reload()
    assert page.get_by_role("button", name="right", exact=True).get_attribute("aria-pressed") == "true"
    with page.expect_download() as download:
        page.get_by_role("button", name="save verdicts (2)").click()
    download.value.save_as(tmp_path / "saved.csv")
    notes = Notes(tmp_path / "verdicts.csv", result="M")
    assert notes.merge(tmp_path / "saved.csv") == {"new": 2, "changed": 0, "same": 0}
    row = notes.recall("stem", 0, "AB")
    assert (row.verdict, row.text, row.label) == ("partly", text, "implant")
    assert Notes(tmp_path / "verdicts.csv", result="C").recall("deep/2", 4, "AB").verdict == "right"


SEEN = """() => [document.title, document.body.innerText, ...[...document.querySelectorAll("body *:not(script)")]
  .filter(node => node.checkVisibility()).flatMap(node => [node.title, node.ariaLabel, node.alt, node.value])]
  .filter(one => typeof one === "string").join("\\n")"""


def named(page) -> list[str]:
    """What of the labels and the images' facts is in view, in texts, titles, and what screen readers say."""
    seen = page.evaluate(SEEN)
    return [name for name in [*NAMES, "similarity", "threshold", "mass", "MLO", ".png"] if name in seen]


def test_a_blind_study_shows_a_label_after_own_words(blind, found, tuned, tmp_path):
    page, notes = blind, Notes(tmp_path / "verdicts.csv", blind=True, neurons=3)
    assert count(page) == "Blind reading: 0 of 12 judged."
    assert set(rows(page)) == {"label hidden"}
    for fragment in ("#?q=implant&sort=similarity,down&pane=map&category=", "#?concept=implant", "#?pane=map"):
        go(page, fragment)
        page.wait_for_timeout(50)
        assert named(page) == [], fragment
    page.keyboard.press("n")
    opened(page, "label hidden until you save your own words")
    page.get_by_label("your initials").fill("AB")
    page.get_by_label("your own words").fill("white rim")
    assert named(page) == []
    page.locator(".tile button").first.press("Enter")
    assert named(page) == []
    page.keyboard.press("Escape")
    expected = [
        (model, *place) for model, one in (("M", found), ("C", tuned)) for place in notes.of(one, model).places(one, "AB")
    ]
    place = re.match(r"(\w+) · (.+) · neuron (\d+)", page.locator("#page h2").inner_text())
    assert (place[1], place[2], int(place[3])) in expected
    picture(page, "blind_before")
    page.get_by_role("button", name="save words, show label").click()
    page.locator("#why").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "right"
    label = page.locator("#page h2").inner_text().partition(": ")[2]
    assert label in [*NAMES, "no label"]
    page.keyboard.press("Enter")
    picture(page, "blind_after")
    assert page.locator("#progress").inner_text() == "1 of 12 judged"
    for _ in range(11):
        page.keyboard.press("n")
        opened(page, "label hidden")
        page.get_by_label("your own words").fill("nothing")
        page.get_by_role("button", name="save words, show label").click()
        page.get_by_role("button", name="cannot tell").click()
    page.get_by_role("button", name="next unjudged").click()
    assert "12 of 12 judged: none is left" in page.locator("#told").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="save verdicts (12)").click()
    download.value.save_as(tmp_path / "saved.csv")
    assert notes.merge(tmp_path / "saved.csv") == {"new": 12, "changed": 0, "same": 0}
    own = [notes.of(one, model).table for model, one in (("M", found), ("C", tuned))]
    assert [len(table) for table in own] == [6, 6]
    table = pd.concat(own)
    assert table.verdict.value_counts().to_dict() == {"cannot tell": 11, "right": 1}
    assert table.words[table.verdict == "right"].tolist() == ["white rim"]
    assert (table.digest != "").all()
    go(page, "#?")
    page.wait_for_timeout(50)
    picture(page, "blind_list")


def test_readers_of_a_blind_study_are_apart_and_their_order_is_pythons(blind, found, tuned):
    page, notes = blind, Notes("x", blind=True, neurons=3)
    page.keyboard.press("n")
    page.get_by_label("your initials").fill("AB")
    page.get_by_label("your own words").fill("white rim")
    page.get_by_role("button", name="save words, show label").click()
    page.get_by_label("your initials").fill("é☃")
    page.keyboard.press("Tab")
    opened(page, "label hidden")
    assert named(page) == []
    go(page, "#?")
    page.locator("#scroll").wait_for()
    shown = page.locator("tr.row td:first-child").all_inner_texts()
    for model, one in (("M", found), ("C", tuned)):
        own = [text.split(" ")[1:] for text in shown if text.startswith(f"{model} ")]
        assert [(layer, int(neuron)) for layer, neuron in own] == notes.of(one, model).places(one, "é☃")
    assert page.locator("#blind").is_hidden()


def test_the_toggle_of_blind_reading(page):
    page.get_by_role("button", name="blind reading").click()
    assert set(rows(page)) == {"label hidden"}
    assert named(page) == []
    assert not page.locator("#search").is_visible()
    page.reload()
    page.wait_for_selector("tr.row")
    assert set(rows(page)) == {"label hidden"}
    page.get_by_role("button", name="blind reading").click()
    assert "implant" in rows(page)
    assert {"implant", "similarity"} <= set(named(page))
    assert count(page) == "36 of 36 neurons"
    page.get_by_role("button", name="similarity").click()
    page.locator("tr.row a").first.click()
    page.locator(".verdict").wait_for()


def picture(page, name):
    """A screenshot in build/, to be looked at."""
    folder = Path(__file__).parents[2] / "build"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"atlas_{name}.png", full_page=True)


def test_the_state_travels(page, atlas):
    page.locator("#search").fill("implant")
    page.get_by_role("button", name="similarity").click()
    before = rows(page)
    link = page.url.partition("#")[2]
    page.goto("about:blank")
    page.goto(f"{atlas}#{link}")
    page.wait_for_selector("tr.row")
    assert rows(page) == before
    page.locator("#search").fill("atlas.html#M/stem/2?boxes=1&tile=300")
    opened(page, "M · stem · neuron 2")
    assert page.get_by_label("annotations").is_checked()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 800, 390])
def test_nothing_is_clipped_and_nothing_bars_readers(browser, few, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install axe-playwright-python")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.goto(few)
    for fragment in ("#?", "#?pane=map", "#?pane=concepts", "#M/deep%2F2/6", "#?concept=implant"):
        go(page, fragment)
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), fragment
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in SERIOUS] == [], fragment
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_a_blind_study_on_a_small_screen_and_for_screen_readers(browser, study, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install axe-playwright-python")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.goto(study)
    for fragment in ("#?", "#M/deep%2F2/6"):
        go(page, fragment)
        page.wait_for_timeout(100)
        picture(page, f"blind_{width}_{scheme}_{'page' if '/' in fragment else 'list'}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), fragment
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in SERIOUS] == [], fragment
    context.close()


def test_thousands_of_neurons_are_shown_and_filtered_at_once(browser, tmp_path):
    """Only the rows in view are in the page."""
    rng = np.random.default_rng(0)
    names = [f"finding {i} of kind {i % 40}" for i in range(763)]
    table = pd.DataFrame({"view": ["CC", "MLO"] * 100}, index=[f"i{i}" for i in range(200)])
    many = Dissection(
        {"deep": rng.normal(size=(2048, 763)).astype(np.float32)},
        ConceptSet.from_list(names),
        {"top_k": 20},
        {"deep": rng.normal(size=(200, 2048)).astype(np.float32)},
        probe_table=table,
    )
    write_atlas(many, path=tmp_path / "atlas.html")
    page = browser.new_page()
    page.goto((tmp_path / "atlas.html").as_uri())
    page.wait_for_selector("tr.row")
    assert page.locator("tr.row").count() < 80
    page.locator("#search").fill("kind 7")
    assert 0 < int(count(page).split(" ")[0]) < 200
    page.locator("#search").fill("")
    page.locator("#scroll").evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.locator("tr.row[data-neuron='2047']").wait_for()
    page.close()
