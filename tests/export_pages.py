"""What every page must be: parsed, not eyed."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "img", "br", "input", "hr", "link"}
_FETCHING = {"src", "href", "srcset", "poster", "data", "action", "xlink:href", "formaction"}
_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
_FREE = re.compile(r"https?://www\.w3\.org/(?:2000/svg|1999/xlink|TR/xhtml1/DTD/xhtml1-strict\.dtd)")


class Page(HTMLParser):
    """A page that has been read: what is wrong with it stands in `faults`."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.text = path.read_text(encoding="utf-8")
        self.faults: list[str] = []
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(self.text)
        self.close()
        self.faults += [f"<{tag}> stays open" for tag in self.open]
        self.faults += [f"the id {name} comes {count} times" for name, count in self.ids.items() if count > 1]
        self.faults += [
            f"fetches: {found}" for found in re.findall(r"\burl\((?!['\"]?#)[^)]*\)|@import", self.text)
        ]
        self.faults += [
            f"names a host: {host}"
            for host in re.findall(r"https?://[^\s\"'<>)]*", self.text)
            if not _FREE.fullmatch(host)
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags[tag] += 1
        if len(values) < len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice: {attrs}")
        if values.get("id") is not None:
            self.ids[str(values["id"])] += 1
        if tag == "img" and not values.get("alt"):
            self.faults.append("an <img> without words")
        if tag == "svg" and values.get("role") == "img" and not values.get("aria-label"):
            self.faults.append("an <svg> without words")
        if tag in ("input", "select") and not (values.get("aria-label") or "label" in self.open):
            self.faults.append(f"an <{tag}> without a label")
        if tag == "table" and "div" not in self.open:
            self.faults.append("a <table> that cannot scroll")
        for name in _FETCHING & values.keys():
            value = values[name] or ""
            if _SCHEME.match(value) and not value.startswith("data:image/"):
                self.faults.append(f"<{tag} {name}={value[:60]}>")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:] or 'nothing'}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)
