"""What the browser tests of the atlas share: an opened page that is watched, and what is read from it."""


def watched(browser, atlas):
    context = browser.new_context(viewport={"width": 1400, "height": 900}, offline=True, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
    page.on("request", lambda request: request.url.startswith(("data:", atlas)) or problems.append(request.url))
    page.goto(atlas)
    page.wait_for_selector("tr.row")
    yield page
    assert problems == []
    context.close()


def rows(page) -> list[str]:
    return page.locator("tr.row td:nth-child(2)").all_inner_texts()


def count(page) -> str:
    return page.locator("#count").inner_text()


def go(page, fragment: str) -> None:
    page.evaluate("fragment => { location.hash = fragment }", fragment)


def opened(page, heading: str) -> None:
    """Wait for the page of this heading: addresses are followed a moment later."""
    page.locator("#page h2", has_text=heading).wait_for()
