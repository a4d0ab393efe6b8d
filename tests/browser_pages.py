"""A headless Chromium for tests, drawing WebGL in software; tests skip where there is none."""

from __future__ import annotations

import base64
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SOFTWARE = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
_QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run")

SCENE = "[...document.querySelectorAll('canvas')].sort((a, b) => b.width * b.height - a.width * a.height)[0]"

# Counts the draws of large surfaces, with the time of each, and the uploads of large vertex buffers. With
# `window.undrawn` these draws are counted but not made, which leaves what a page costs without a GPU's work.
_WATCH = """
window.drawn = []; window.uploaded = []; window.undrawn = false;
for (const kind of [WebGL2RenderingContext]) {
  const draw = kind.prototype.drawElements, fill = kind.prototype.bufferData;
  kind.prototype.drawElements = function (mode, count, ...rest) {
    if (count > 10000) window.drawn.push(performance.now());
    if (count > 10000 && window.undrawn) return;
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
def running() -> Iterator[Any]:
    """Start the browser; there can be one at a time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", *_SOFTWARE, *_QUIET]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, url: str, width: int = 1000, height: int = 700) -> Iterator[Page]:
    """Open a page; whatever it asks for from elsewhere is refused and noted."""
    page = browser.new_page(viewport={"width": width, "height": height})
    try:
        yield Page(page, url)
    finally:
        page.close()


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

    def wait_for_face(self, seconds: float = 90.0) -> np.ndarray:
        """Wait until a face is drawn and stands still; return the scene's pixels."""
        self.page.wait_for_function("window.drawn.length > 0", timeout=1000 * seconds)
        return self.settled(seconds)

    def settled(self, seconds: float = 60.0) -> np.ndarray:
        """Wait until the scene shows something and stands still; return its pixels."""
        end, last = time.monotonic() + seconds, self.canvas()
        while time.monotonic() < end:
            self.page.wait_for_timeout(1000)
            now = self.canvas()
            if (now == last).all() and now.min() < 200:
                return now
            last = now
        raise TimeoutError("the scene did not come to rest")

    def until(self, shows: Callable[[np.ndarray], object], seconds: float = 60.0) -> np.ndarray:
        """Wait until the scene's pixels are as wanted, and return them."""
        end = time.monotonic() + seconds
        while not shows(canvas := self.canvas()):
            if time.monotonic() > end:
                raise TimeoutError("the scene did not come to show what it should")
            self.page.wait_for_timeout(200)
        return canvas

    def canvas(self) -> np.ndarray:
        """Return the scene, (h, w, 3) int, without what lies over it, at a quarter of its size on the page.

        On a slow machine viser draws with fewer pixels; averaged, both are the same picture.
        """
        taken = self.page.evaluate(f"{SCENE}.toDataURL('image/png')")
        picture = Image.open(io.BytesIO(base64.b64decode(taken.split(",", 1)[1]))).convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        box = self.scene_box()
        size = max(int(box["width"]) // 4, 1), max(int(box["height"]) // 4, 1)
        drawn = Image.alpha_composite(paper, picture).convert("RGB")
        return np.asarray(drawn.resize(size, Image.Resampling.BOX)).astype(int)

    def scene_box(self) -> dict[str, float]:
        """Return where on the page the scene is drawn."""
        box: dict[str, float] = self.page.evaluate(f"{SCENE}.getBoundingClientRect().toJSON()")
        return box

    def _route(self, route: Any) -> None:
        url = route.request.url
        self.asked.append(url)
        local = urlsplit(url).hostname in LOOPBACK or urlsplit(url).scheme in ("data", "blob")
        route.continue_() if local else route.abort()
