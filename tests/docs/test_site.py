"""The built site: no dead link, and nothing that is loaded from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.process


class Page(HTMLParser):
    """Links, what a browser loads, and places to which links lead."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.places = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])
        elif tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.loaded.append(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs_autorefs", reason='needs mkdocs: pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    return {path: Page(path.read_text("utf-8")) for path in folder.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site):
    assert len(site) > 40
    for path, page in site.items():
        for address in page.loaded:
            assert not urlsplit(address).netloc, f"{path}: {address}"
    styles = next(iter(site)).parents[1].rglob("*.css")
    assert not [path for path in styles if "url(http" in path.read_text("utf-8")]


def test_every_link_leads_somewhere(site):
    root = min(site, key=lambda path: len(path.parts)).parent
    dead = []
    for path, page in site.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            is_place = not parts.fragment or (
                target in site and unquote(parts.fragment) in site[target].places
            )
            if not (target.exists() and is_place):
                dead.append(f"{path.relative_to(root)}: {address}")
    assert not dead
