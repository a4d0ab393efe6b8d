"""A headless Chromium for tests, drawing WebGL in software; tests skip where there is none."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run")

# Counts the draws of large surfaces, with the time of each, and the uploads of large vertex buffers.
_WATCH = """
window.drawn = []; window.uploaded = [];
for (const kind of [WebGL2RenderingContext]) {
  const draw = kind.prototype.drawElements, fill = kind.prototype.bufferData;
  kind.prototype.drawElements = function (mode, count, ...rest) {
    if (count > 10000) window.drawn.push(performance.now());
    return draw.call(this, mode, count, ...rest);
  };
  kind.prototype.bufferData = function (target, data, ...rest) {
    if (target === 34962 && data && data.byteLength > 20000) window.uploaded.push(performance.now());
    return fill.call(this, target, data, ...rest);
  };
}
"""


def chromium() -> str:
    """Return the browser's path, or skip the test."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("MORPHKIT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium")
    return found


@contextmanager
def opened(url: str, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Open a page; whatever it asks for from elsewhere is refused and noted."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", *_SOFTWARE, *_QUIET]
        )
        try:
            yield Page(browser.new_page(viewport={"width": width, "height": height}), url)
        finally:
            browser.close()


class Page:
    """An open page, with what it asked for and complained of."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.asked, self.complaints = page, [], []
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.route("**/*", self._route)
        page.add_init_script(_WATCH)
        page.goto(url)

    @property
    def strangers(self) -> list[str]:
        """What was asked for from other machines."""
        schemes = ("data", "blob", "about")
        return [
            url
            for url in self.asked
            if urlsplit(url).scheme not in schemes and urlsplit(url).hostname not in LOOPBACK
        ]

    def wait_for_face(self, seconds: float = 60.0) -> None:
        """Wait until a surface has been drawn, and the page has come to rest."""
        self.page.wait_for_function("window.drawn.length > 0", timeout=1000 * seconds)
        self.rest()

    def rest(self, seconds: float = 30.0) -> None:
        """Wait until nothing has been drawn for a while."""
        self.page.wait_for_function(
            "window.drawn.length > 0 && performance.now() - window.drawn.at(-1) > 700", timeout=1000 * seconds
        )

    def canvas(self) -> np.ndarray:
        """Return the scene's pixels, (h, w, 3) int, without what lies over it."""
        taken = self.page.evaluate("document.querySelector('canvas').toDataURL('image/png')")
        import base64

        picture = Image.open(io.BytesIO(base64.b64decode(taken.split(",", 1)[1]))).convert("RGB")
        return np.asarray(picture).astype(int)

    def _route(self, route: Any) -> None:
        url = route.request.url
        self.asked.append(url)
        local = urlsplit(url).hostname in LOOPBACK or urlsplit(url).scheme in ("data", "blob")
        route.continue_() if local else route.abort()
