"""What the viewer does not let others do: run what a file is named, or look on from another page."""

import html
import http.client
import re

import pytest
from click.testing import CliRunner
from viewer_scenes import HOSTILE, hostile_model

from morphkit.cli import main
from morphkit.errors import MorphkitError
from morphkit.viewer.guarding import Guard, start_guarded
from morphkit.viewer.viewing import view
from morphkit.viewer.wording import one_line, plain

_MARKUP = set("<>\"'`*_[]()!|~\\{}$@^=+-\r\t\0\x1b\x7f\x85\u2028\u202e")

# --- words from files -------------------------------------------------------------------------------


def test_ordinary_words_stay_as_they_are():
    for text in ("ibug68 30", "Nose, left", "C:/faces/one.ply", "é 顔 👩‍🔬", "80.5 % of 3/4; why?"):
        assert one_line(text) == plain(text) == text


def test_no_letter_of_markup_is_left():
    markup = """&<>"'`*_[]()#!|~\\{}$@^=+-"""
    made = plain(markup + "\n\r\t\0\x1b\x7f\x85\u2028\u202e.")
    assert not set(made) & _MARKUP
    assert html.unescape(made) == markup + " \ufffd\ufffd\ufffd \ufffd."


def test_markdown_shows_any_text_as_it_is(rng):
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    render = markdown.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render
    letters = [*"&<>\"'`*_[]()#!|~\\{}+-=.:/ \n\t19ab@", "<b>", "![", "](", "```", "://", "http"]
    texts = ["".join(rng.choice(letters, 30)) for _ in range(1000)]
    for text in (HOSTILE, "1. one", "2) two", "- x", "+ x", "# x", "> x", "---", "a\n===", "\tx", *texts):
        shown = render(plain(text)).removeprefix("<p>").removesuffix("</p>\n").replace("\u2060", "")
        assert "<" not in shown
        assert html.unescape(shown) == one_line(text)


def test_no_address_becomes_a_link():
    for text in ("https://evil.example/x", "HTTP://evil.example", "www.evil.example", "WWW.evil.example"):
        made = html.unescape(plain(text))
        assert "://e" not in made
        assert "www." not in made.lower()
        assert made.replace("\u2060", "") == text


def test_half_a_letter_does_not_stop_the_page():
    assert one_line("a\ud800b") == "a\ufffdb"
    one_line("a\ud800b").encode()


# --- who is answered --------------------------------------------------------------------------------

HERE = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("host", "asked", "origin", "answered"),
    [
        ("127.0.0.1", HERE, None, True),  # no page
        ("127.0.0.1", HERE, f"http://{HERE}", True),
        ("127.0.0.1", "localhost:8080", "http://localhost:8080", True),
        ("127.0.0.1", "LOCALHOST:8080", "http://localhost:8080", True),
        ("127.0.0.1", HERE, "http://localhost:8080", True),
        ("::1", "[::1]:8080", "http://[::1]:8080", True),
        ("127.0.0.7", "127.0.0.7:8080", "http://127.0.0.7:8080", True),
        ("127.0.0.1", "localhost:9000", "http://localhost:9000", True),  # a forwarded port
        ("127.0.0.1", HERE, "http://evil.example", False),
        ("127.0.0.1", HERE, "http://evil.example:8080", False),
        ("127.0.0.1", HERE, "http://localhost:9000", False),  # another server of this machine
        ("127.0.0.1", HERE, "http://127.0.0.1", False),
        ("127.0.0.1", HERE, "http://127.0.0.1.evil.example:8080", False),
        ("127.0.0.1", HERE, "http://127.0.0.1:8080@evil.example", False),
        ("127.0.0.1", HERE, "http://evil.example/127.0.0.1:8080", False),
        ("127.0.0.1", HERE, "null", False),  # a sandbox, a file
        ("127.0.0.1", HERE, "", False),
        ("127.0.0.1", HERE, "file://", False),
        ("127.0.0.1", HERE, f"chrome-extension://{HERE}", False),
        ("127.0.0.1", HERE, "http://localhost:99999", False),
        ("127.0.0.1", "evil.example", None, False),  # rebound names
        ("127.0.0.1", "evil.example:8080", "http://evil.example:8080", False),
        ("127.0.0.1", "localhost.evil.example:8080", None, False),
        ("127.0.0.1", "evil@localhost:8080", None, False),
        ("127.0.0.1", "", None, False),
        ("127.0.0.1", None, None, False),
        ("localhost", "localhost:8080", "http://localhost:8080", True),
        ("localhost", "evil.example:8080", None, False),
        ("0.0.0.0", "studio.example:8080", "http://studio.example:8080", True),  # noqa: S104 - whoever comes
        ("0.0.0.0", "studio.example", "https://studio.example", True),  # noqa: S104 - behind TLS
        ("0.0.0.0", "studio.example:8080", None, True),  # noqa: S104
        ("0.0.0.0", "studio.example:8080", "http://evil.example", False),  # noqa: S104
        ("0.0.0.0", "studio.example:8080", "null", False),  # noqa: S104
        ("", "studio.example:8080", "http://evil.example:8080", False),
        ("", "studio.example:8080", "http://studio.example:8080", True),
    ],
)
def test_who_is_answered(host, asked, origin, answered):
    headers = ([] if value is None else [value] for value in (asked, origin))
    assert Guard(host).allows(*headers, port=8080) is answered


def test_headers_that_are_there_twice_are_refused():
    assert not Guard("127.0.0.1").allows([HERE, HERE], [], 8080)
    assert not Guard("127.0.0.1").allows([HERE], [f"http://{HERE}"] * 2, 8080)


def test_a_server_that_is_not_guarded_is_stopped():
    pytest.importorskip("websockets", reason="websockets is not installed")
    stopped = []

    class Other:
        def stop(self):
            stopped.append(self)

    with pytest.raises(MorphkitError, match=r"install viser 1\.1\.1"):
        start_guarded(Other, Guard("127.0.0.1"))
    assert len(stopped) == 1


# --- over the network -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    pytest.importorskip("viser", reason="viser is not installed")
    with view(hostile_model(), browser=False, output=tmp_path_factory.mktemp("a_`b`_[c](d)")) as viewer:
        yield viewer


def wired(viewer, **options):
    from viewer_wire import Wire

    return Wire(viewer.url, **options)


def status(viewer, host, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", int(viewer.url.rsplit(":", 1)[1]), timeout=10)
    connection.request("GET", "/", headers={"Host": host, **headers})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, len(body)


def test_another_sites_page_is_not_let_in(viewer):
    from websockets.exceptions import InvalidStatus

    port = viewer.url.rsplit(":", 1)[1]
    for origin in ("http://evil.example", f"http://evil.example:{port}", "null", "http://localhost:1"):
        with pytest.raises(InvalidStatus) as refused:
            wired(viewer, origin=origin)
        assert refused.value.response.status_code == 403
    for name in ("127.0.0.1", "localhost", "[::1]"):
        with wired(viewer, origin=f"http://{name}:{port}") as wire:
            wire.listen(lambda wire=wire: "/face" in wire.surfaces)


def test_a_name_that_was_rebound_is_not_answered(viewer):
    port = viewer.url.rsplit(":", 1)[1]
    refused = status(viewer, f"evil.example:{port}")
    assert refused[0] == 403
    assert refused[1] < 200
    assert status(viewer, "evil.example")[0] == 403
    assert status(viewer, f"127.0.0.1:{port}", Origin="http://evil.example")[0] == 403
    assert status(viewer, f"localhost:{port}")[0] == 200
    assert status(viewer, f"127.0.0.1:{port}")[1] > 100_000


def test_other_programs_servers_are_left_alone(monkeypatch):
    server = pytest.importorskip("websockets.asyncio.server", reason="websockets is not installed")
    calls = []
    monkeypatch.setattr(server, "serve", lambda _, **options: calls.append(options))
    original = server.serve

    class Other:
        def stop(self):
            pass

    def start():
        server.serve(test_other_programs_servers_are_left_alone, port=1)
        return Other()

    with pytest.raises(MorphkitError):
        start_guarded(start, Guard("127.0.0.1"))
    assert calls == [{"port": 1}]
    assert server.serve is original


def test_names_of_files_are_shown_as_they_are(viewer):
    def found(wire, words):
        return next((text for text in wire.markdown if words in text), "")

    with wired(viewer) as wire:
        wire.listen(lambda: "Coefficients (.json)" in wire.labels)
        assert one_line(HOSTILE) in wire.labels  # a checkbox's text, which is no markup
        wire.click((0.03, 0.02, 5.0), (0.0, 0.0, -1.0))
        wire.listen(lambda: found(wire, "strays by"))
        told = found(wire, "strays by")
        own = told.partition("\n")[0]
        assert re.fullmatch(r"\*\*Vertex \d+\*\* at \([-\d., ]+\) mm  ", own)
        assert not set(told.removeprefix(own)) & _MARKUP
        assert html.unescape(told).replace("\u2060", "").count(HOSTILE) == 3  # set, landmark, mask
        wire.press("Coefficients (.json)")
        wire.listen(lambda: found(wire, "written to"))
        assert not set(found(wire, "written to")) & _MARKUP
        assert "a_`b`_[c](d)" in html.unescape(found(wire, "written to"))


def test_an_error_is_shown_as_it_is(viewer, monkeypatch):
    def fail(suffix):
        raise MorphkitError(HOSTILE)

    monkeypatch.setattr(viewer.session, "export", fail)
    with wired(viewer) as wire:
        wire.listen(lambda: "Mesh (.ply)" in wire.labels)
        wire.press("Mesh (.ply)")
        wire.listen(lambda: plain(HOSTILE) in wire.markdown)


def test_help_says_whom_it_refuses():
    said = " ".join(CliRunner().invoke(main, ["view", "--help"]).output.split())
    assert "Pages of other sites in the same browser are refused." in said
