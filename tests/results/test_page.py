"""A page escapes what it is given, asks for nothing, and is known again."""

import html.parser

import numpy as np
import pytest
from pretended_runs import completed, record_of

from keras_prokt.results.class_figures import draw_calibration, draw_confusion
from keras_prokt.results.class_tables import class_report_of
from keras_prokt.results.page import (
    Example,
    Examples,
    Folded,
    Lines,
    Section,
    Table,
    check_free,
    drawn,
    image_uri,
    render_page,
    write_page,
)
from keras_prokt.results.tables import Grid
from keras_prokt.runs import RunSpec

EVIL = '<script>alert(1)</script>" onload="alert(2)'


class Read(html.parser.HTMLParser):
    """Tags with their attributes, and the texts between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def evil_record():
    from keras_prokt.outputs.reports import class_report

    labels = np.arange(12) % 3
    record = completed(record_of(RunSpec.resolve("digits", "prokt")), 0.5)
    record["class_names"] = [EVIL, "$x_1$ & co", "c"]
    report = class_report(labels, np.roll(labels, 1), np.full((12, 3), 1 / 3))
    record["results"]["reports"] = {"student": {"test": report}}
    return record


@pytest.fixture(scope="module")
def page():
    classes = class_report_of(evil_record())
    pictures = [
        drawn(draw, f"caption {EVIL}", f"alt {EVIL}", classes, ...)
        for draw in (draw_confusion, draw_calibration)
    ]
    pixels = np.zeros((400, 300, 1), "uint8")
    blocks = [
        Lines([EVIL]),
        Table(Grid([EVIL, "n"], [[EVIL, "1.5"]]), EVIL, [EVIL]),
        *pictures,
        Examples(EVIL, [Example([EVIL], EVIL, image_uri(pixels), EVIL)], [EVIL]),
        Folded(EVIL, [Lines(["inner", "turned \u202e text\x1b[2J"])]),
    ]
    return render_page(EVIL, [Section(EVIL, blocks), Section("second", [])])


@pytest.mark.slow
def test_what_is_given_is_text(page):
    found = Read(page)
    tags = {tag for tag, _ in found.tags}
    assert "script" not in tags and "svg" not in tags
    names = {name for _, attributes in found.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert sum(EVIL in text for text in found.texts) >= 9
    assert [a["alt"] for tag, a in found.tags if tag == "img"][0] == f"alt {EVIL}"
    assert "inner" in page and "\x1b" not in page and "\u202e" not in page


def test_nothing_is_asked_for_from_elsewhere(page):
    for tag, attributes in Read(page).tags:
        for name in ("src", "srcset", "href", "data", "action"):
            assert attributes.get(name, "#").startswith(("data:", "#")), (tag, attributes)
    assert "url(" not in page and "@import" not in page
    assert "default-src 'none'" in page


def test_every_picture_has_both_looks_and_words(page):
    found = Read(page).tags
    sources = [attributes for tag, attributes in found if tag == "source"]
    images = [attributes for tag, attributes in found if tag == "img"]
    assert len(sources) == 2 and len(images) == 3 and all(one["alt"] for one in images)
    dark = {one["srcset"] for one in sources}
    assert all(one["media"] == "(prefers-color-scheme: dark)" for one in sources)
    assert dark.isdisjoint(one["src"] for one in images)


def test_large_pictures_are_reduced():
    import base64
    import io

    from PIL import Image

    uri = image_uri(np.zeros((400, 300, 3), "uint8"))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.size == (120, 160)


def test_a_page_replaces_a_page_alone(page, tmp_path):
    mine, other = tmp_path / "mine.html", tmp_path / "other.html"
    write_page(mine, page)
    check_free(mine, overwrite=False)
    other.write_text("<html>keras_prokt report</html>")
    with pytest.raises(ValueError, match="an older report"):
        check_free(other, overwrite=False)
    check_free(other, overwrite=True)
    with pytest.raises(ValueError, match="received the folder"):
        check_free(tmp_path, overwrite=True)
