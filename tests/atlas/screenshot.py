"""The README's picture of the atlas: ``python tests/atlas/screenshot.py`` after ``make figures``; needs Chromium."""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "figures" / "demo" / "atlas.png"
SEARCHED = "#?q=implant&sort=similarity%2Cdown"
COLOURS = 96


def main(atlas: Path = ROOT / "build" / "atlas.html") -> None:
    """The neurons found for a word, as the atlas opens on a screen, in few colours."""
    sys.path.insert(0, str(ROOT / "tests"))
    from laboratory import CHROMIUM, FLAGS

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 760}, color_scheme="light")
        page.goto(f"{atlas.resolve().as_uri()}{SEARCHED}")
        page.locator(".card img").first.wait_for()
        page.wait_for_timeout(500)
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
