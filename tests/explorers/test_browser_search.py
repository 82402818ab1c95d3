"""The search of the explorers in JupyterLab, typed and clicked as a reader does; screenshots go to build/."""

import pytest
import toys
from laboratory import ROOT, wait_until
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CELL = """
import numpy as np, pandas as pd, mdissect
from mdissect.concepts import load_concepts
from mdissect.dissection import Dissection
from mdissect.probes import Probe
concepts, rng = load_concepts("mammography"), np.random.default_rng(0)
dissector = mdissect.load_dissector("demo/mammo")
texts = dissector.embed_texts(concepts.names).numpy()
ids = [f"image-{i}" for i in range(30)]
found = Dissection(
    {"deep": rng.normal(size=(256, len(concepts))).astype(np.float32)}, concepts, {},
    {"deep": rng.normal(size=(30, 256)).astype(np.float32)}, probe_table=pd.DataFrame({"view": "CC"}, index=ids),
    image_embeddings=texts[:30], text_embeddings=texts,
)
probe = Probe.from_arrays([np.full((24, 12), 8 * i, np.uint8) for i in range(30)], ids=ids)
mdissect.explore(found, probe=probe, dissector=dissector)
"""
OWN = """
import mdissect, toys
target, dissector, probe = toys.toy_target(), toys.RowDissector(), toys.toy_probe()
mdissect.explore(toys.toy_dissect(target), probe=probe, target=target, dissector=dissector)
"""


@pytest.fixture(scope="module")
def page(lab, browser):
    page = lab.open(browser, "search.ipynb", CELL)
    yield page
    lab.close(page)


@pytest.fixture(scope="module")
def explorer(page):
    explorer = page.locator(".mdissect-explorer").first
    explorer.locator(".mdissect-bars").wait_for()
    return explorer


def search(explorer, words, told):
    """Type words, hit Enter, and wait for what is told."""
    box = explorer.locator(".mdissect-search input")
    box.fill(words)
    box.press("Enter")
    explorer.get_by_text(told, exact=False).first.wait_for()


def neuron(explorer):
    return int(explorer.locator(".mdissect-heading").inner_text().partition("neuron ")[2].partition(":")[0])


def settled(explorer):
    """The neuron in view, once it stays."""
    seen = []
    wait_until(lambda: not seen.append(neuron(explorer)) and len(seen) > 12 and len(set(seen[-12:])) == 1)
    return seen[-1]


def go_to(explorer, number):
    box = explorer.locator("input[type=number]").first
    box.fill(str(number))
    box.press("Enter")
    wait_until(lambda: neuron(explorer) == number)


def offered(explorer):
    return explorer.locator(".mdissect-offers button:visible").all_inner_texts()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("implants", "14 concepts have “implants” in them"),
        ("birads 4", "2 concepts have “birads 4” in them"),
        ("calcifications", "75 concepts have “calcifications” in them"),
        ("masses", "52 concepts have “masses” in them"),
        ("clips", "4 concepts have “clips” in them"),
        ("spiculated masses", "3 concepts have “spiculated masses” in them"),
        ("mass spiculated", "3 concepts have “mass spiculated” in them"),
        ("implant implants", "14 concepts have “implant implants” in them"),
        ("car", "one concept has “car” in it"),
        ("cc", "7 concepts have “cc” in them"),
        ("egg", "one concept has “egg” in it"),
    ],
)
def test_b1_whole_words_in_any_order_and_number(explorer, words, told):
    search(explorer, words, told)
    assert offered(explorer) == ["images nearest to these words"]
    assert explorer.get_by_text("50 of 256 neurons are listed").count() == 1  # B3


@pytest.mark.parametrize(
    ("words", "told", "buttons"),
    [
        ("calcifcation", "did you mean “calcification”?", ["calcification"]),
        ("spiculated lesion", "the dissector finds nearest", ["irregular spiculated mass"]),
        ("<script>", "“<script>” in it, and the dissector finds none near to it", []),
        (".*(", "“.*(” in it, and the dissector finds none near to it", []),
        ("xqzvbw", "“xqzvbw” in it, and the dissector finds none near to it", []),
    ],
)
def test_b1_what_is_not_found_moves_nothing(explorer, words, told, buttons):
    go_to(explorer, 77)
    search(explorer, words, told)
    assert settled(explorer) == 77
    assert offered(explorer)[: max(len(buttons), 1)] == (buttons or ["images nearest to these words"])
    if buttons:
        explorer.locator(".mdissect-offers button:visible", has_text=buttons[0]).first.click()
        wait_until(lambda: explorer.locator(".mdissect-search input").input_value() == buttons[0])
        wait_until(lambda: neuron(explorer) != 77)


def test_b2_enter_on_the_same_words_goes_back(page, explorer):
    search(explorer, "implant", "14 concepts have “implant” in them")
    first = settled(explorer)
    other = (first + 1) % 256
    while explorer.locator("select option", has_text=f"{other}: ").count():
        other = (other + 1) % 256
    go_to(explorer, other)
    found = explorer.locator("select").filter(has_text="is not among the 50 hits")
    found.wait_for()
    chosen = found.evaluate("list => list.selectedOptions[0].text").replace("\xa0", " ")
    assert chosen == f"neuron {other} is not among the 50 hits"
    explorer.locator(".mdissect-search input").press("Enter")
    wait_until(lambda: neuron(explorer) == first)
    (ROOT / "build").mkdir(exist_ok=True)
    explorer.screenshot(path=ROOT / "build" / "explorer_search.png")


def test_b3_all_hits_can_be_listed(explorer):
    search(explorer, "implant", "50 of 256 neurons are listed")
    explorer.get_by_label("all 256").check()
    explorer.get_by_text("256 of 256 neurons are listed").wait_for()
    explorer.get_by_label("all 256").uncheck()
    explorer.get_by_text("50 of 256 neurons are listed").wait_for()


@pytest.mark.parametrize("width", [1280, 800])
def test_b5_long_words_stay_within_the_view(page, explorer, width):
    page.set_viewport_size({"width": width, "height": 1400})
    search(explorer, "w" * 300, f"“{'w' * 40}…” in it")
    message = explorer.get_by_text(f"“{'w' * 40}…” in it").first
    inner, outer = message.bounding_box(), explorer.bounding_box()
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1
    assert message.evaluate("line => line.scrollWidth <= line.clientWidth")
    assert explorer.get_by_text("tokenizer").count() == 0


def test_images_nearest_to_words(explorer):
    search(explorer, "axilla", "concept")
    explorer.get_by_role("button", name="images nearest to these words").click()
    explorer.get_by_text("Images that the dissector finds nearest to “axilla”").wait_for()
    wait_until(lambda: explorer.locator(".mdissect-offers .mdissect-caption:visible").count() == 8)
    explorer.get_by_role("button", name="hide these images").click()
    wait_until(lambda: explorer.locator(".mdissect-offers .mdissect-caption:visible").count() == 0)


DROPPED = """bytes => {
  const moved = new DataTransfer();
  moved.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
  return moved;
}"""


def test_an_image_of_ones_own(lab, browser, tmp_path):
    page = lab.open(browser, "own.ipynb", OWN)
    own = page.locator(".mdissect-own-image")
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="an image of your own").click()
    Image.fromarray((toys.toy_images(8)[2] // 257).astype("uint8")).save(tmp_path / "mine.png")
    chooser.value.set_files(tmp_path / "mine.png")
    own.get_by_text("Neurons of neurons that respond most").wait_for()
    picture = own.get_by_alt_text("Your image mine.png, 8 x 8 pixels")
    picture.wait_for()
    wait_until(lambda: picture.evaluate("image => image.complete && image.naturalWidth > 0"))
    assert own.get_by_text("row 2").first.is_visible()
    button = own.locator("button.mdissect-neuron").nth(1)
    number = button.inner_text().partition(":")[0]
    (ROOT / "build").mkdir(exist_ok=True)
    page.locator(".mdissect-explorer").screenshot(path=ROOT / "build" / "explorer_own_image.png")
    button.click()
    page.locator(".mdissect-heading", has_text=f"neuron {number}:").wait_for()
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="an image of your own").click()
    (tmp_path / "no.png").write_bytes(b"no image")
    chooser.value.set_files(tmp_path / "no.png")
    own.get_by_text("This file cannot be used: no.png: not a PNG").wait_for()
    dropped = page.evaluate_handle(DROPPED, list((tmp_path / "mine.png").read_bytes()))
    own.locator(".mdissect-drop").dispatch_event("drop", {"dataTransfer": dropped})
    own.get_by_alt_text("Your image dropped.png, 8 x 8 pixels").wait_for()
    own.get_by_text("Neurons of neurons that respond most").wait_for()
    lab.close(page)
