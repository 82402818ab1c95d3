"""A reader with nothing but the file, step by step: finds the neurons of a label, judges three, hands the verdicts back."""

import pytest

from mdissect.atlas import write_atlas
from mdissect.explorers import Notes

pytestmark = pytest.mark.slow
JUDGED = ("right", "partly", "wrong")


def read_as_a_radiologist(page, folder, picture=lambda name: None) -> list[str]:
    """The steps in an open atlas; the headings of the neurons judged. `picture` takes a screenshot."""
    picture("1_opened")
    page.locator("#search").fill("implant")
    picture("2_searched")
    labels = page.locator("tr.row td:nth-child(2)").all_inner_texts()
    assert labels
    assert all("implant" in label for label in labels)
    page.locator("tr.row a").first.click()
    headings = []
    for i, verdict in enumerate(JUDGED):
        page.locator("#page h2").wait_for()
        headings.append(page.locator("#page h2").inner_text())
        picture(f"3_neuron_{i}")
        if i == 0:
            page.get_by_label("images", exact=True).select_option("weakest")
            assert page.locator("#which").inner_text() == "Images: weakest"
            assert 0 < page.locator(".tile").count() <= 8
            picture("4_weakest")
            first = page.locator(".mdh-bin").first
            said = first.get_attribute("aria-label")
            first.click()
            assert page.locator("#which").inner_text().startswith("Activation ")
            assert page.locator(".tile").count() > 0, said
            picture("5_bin")
            page.get_by_role("button", name="back to the strongest images").click()
            assert page.locator("#which").inner_text() == "Strongest images"
            page.locator(".tile button").first.click()
            page.locator("#large .mdv-stage").wait_for()
            page.wait_for_timeout(300)
            picture("6_enlarged")
            page.keyboard.press("Escape")
            page.get_by_label("your initials").fill("RA")
        page.get_by_role("button", name=verdict, exact=True).click()
        page.get_by_label("why").fill(f"reason {i}")
        if i < len(JUDGED) - 1:
            page.locator("#next").click()
            page.wait_for_function("old => document.querySelector('#page h2').innerText !== old", arg=headings[-1])
    picture("7_judged")
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(folder / "verdicts_RA.csv")
    picture("8_saved")
    return headings


def test_three_verdicts_travel_from_the_file_to_the_notes(browser, found, tuned, probe, tmp_path):
    write_atlas({"M": found, "C": tuned}, probe, path=tmp_path / "atlas.html")
    context = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True, accept_downloads=True)
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "atlas.html").as_uri())
    page.wait_for_selector("tr.row")
    headings = read_as_a_radiologist(page, tmp_path)
    context.close()
    assert [one for one in requests if not one.startswith(("file:", "data:", "blob:"))] == []
    notes = Notes(tmp_path / "verdicts.csv", result="M")
    assert notes.merge(tmp_path / "verdicts_RA.csv") == {"new": 3, "changed": 0, "same": 0}
    assert [f"{one.partition(' · neuron')[0]}" for one in headings] == ["M · stem", "M · deep/2", "M · deep/2"]
    rows = [notes.recall(layer, neuron, "RA") for layer, neuron in (("stem", 0), ("deep/2", 0), ("deep/2", 6))]
    assert [(row.verdict, row.text, row.label) for row in rows] == [(v, f"reason {i}", "implant") for i, v in enumerate(JUDGED)]
