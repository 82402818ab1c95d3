"""The page: nothing in the data can leave its place, and nothing is loaded from elsewhere."""

import base64
import hashlib
import json
import re

from mdissect.atlas.page import SCRIPTS, as_json, opening, part

TITLE = '</title><script>alert("1")</script>'


def test_data_cannot_end_their_script():
    text = as_json({"name": "</script><!-- & \u2028 ☃"})
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"name": "</script><!-- & \u2028 ☃"}


def test_the_policy_allows_this_script_and_style_alone():
    page = opening(TITLE, {"key": "@SCRIPT@ @STYLE@"})
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert '"@SCRIPT@ @STYLE@"' in page  # what is filled in is not filled again


def test_the_title_is_text():
    assert "<script>alert" not in opening(TITLE, {})


def test_the_script_makes_no_html_of_texts_and_asks_no_network():
    script = "".join(part(f"{name}.js") for name in SCRIPTS)
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "XMLHttp",
        "import(",
    )
    assert [word for word in forbidden if word in script] == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", script + part("atlas.css") + part("atlas.html")) == []


def test_the_table_comes_before_the_pictures():
    page = opening("atlas", {"key": 1})
    assert page.index('id="data"') < page.index("function start()")
    assert 'class="pictures"' not in page
