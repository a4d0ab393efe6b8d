"""`morphkit get`, from a server on this machine: what arrives is what was asked for, or is not kept."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from morphkit.cli import main
from morphkit.commands import downloads as module
from morphkit.commands.downloads import Download, downloads

CONTENT = {"model/one.obj": b"v 0 0 0\n", "model/two.obj": b"v 1 1 1\n", "LICENSE": b"MIT"}


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of three files, which morphkit knows as "tiny"."""
    root = tmp_path / "served"
    for path, content in CONTENT.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=root))
    served.asked, served.root = [], root
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}
    url = f"http://127.0.0.1:{served.server_port}/"
    tiny = Download("tiny", "A tiny model", "MIT", "its page", url, 1, "model", hashes)
    monkeypatch.setattr(module, "downloads", lambda: {"tiny": tiny})
    monkeypatch.setattr(module, "_RETRIES", 0)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def run(*arguments):
    return CliRunner().invoke(main, ["get", *map(str, arguments)])


def held(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_files_arrive_and_are_not_fetched_twice(server, tmp_path):
    told = run("tiny", "-o", tmp_path / "got", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {"name": "tiny", "model": str(tmp_path / "got" / "model")}
    assert "A tiny model: MIT" in told.stderr
    assert held(tmp_path / "got") == CONTENT
    assert sorted(server.asked) == sorted(f"/{path}" for path in CONTENT)
    server.asked.clear()
    assert run("tiny", "-o", tmp_path / "got").exit_code == 0
    assert server.asked == []


def test_a_download_that_was_cut_short_goes_on(server, tmp_path):
    run("tiny", "-o", tmp_path / "got")
    (tmp_path / "got" / "model" / "two.obj").unlink()
    server.asked.clear()
    assert run("tiny", "-o", tmp_path / "got").exit_code == 0
    assert server.asked == ["/model/two.obj"]
    assert held(tmp_path / "got") == CONTENT


def test_a_persons_own_file_is_not_overwritten(server, tmp_path):
    mine = tmp_path / "got" / "LICENSE"
    mine.parent.mkdir()
    mine.write_text("All rights reserved")
    told = run("tiny", "-o", tmp_path / "got")
    assert told.exit_code == 2
    assert f"{mine} is there already, and is not the file of tiny; move it away" in told.stderr
    assert mine.read_text() == "All rights reserved"
    assert server.asked == []


def test_a_mirror_that_is_no_address_is_said(server, tmp_path):
    told = run("tiny", "-o", tmp_path / "got", "--mirror", "example.org")
    assert told.exit_code == 2
    assert "example.org is no address of a copy" in told.stderr


def test_another_file_than_the_expected_is_not_kept(server, tmp_path):
    (server.root / "model" / "two.obj").write_bytes(b"v 6 6 6\n")
    told = run("tiny", "-o", tmp_path / "got")
    assert told.exit_code == 1
    assert "model/two.obj is not the file that was expected" in told.stderr
    assert len(told.stderr.strip().splitlines()[-1:]) == 1
    assert "model/two.obj" not in held(tmp_path / "got")


def test_a_server_without_the_file_is_said(server, tmp_path):
    (server.root / "LICENSE").unlink()
    told = run("tiny", "-o", tmp_path / "got")
    assert told.exit_code == 1
    assert "LICENSE could not be downloaded: the server answered 404" in told.stderr


def test_no_server_is_said_and_a_mirror_helps(server, tmp_path):
    mirror = f"http://127.0.0.1:{server.server_port}"
    told = run("tiny", "-o", tmp_path / "new" / "got", "--mirror", "http://127.0.0.1:9")
    assert told.exit_code == 1
    assert (
        "http://127.0.0.1:9/model/one.obj could not be downloaded: the server cannot be reached"
        in told.stderr
    )
    assert not (tmp_path / "new").exists()
    assert run("tiny", "-o", tmp_path / "got", "--mirror", mirror).exit_code == 0


def test_an_unknown_name_lists_what_there_is():
    told = run("bfm")
    assert told.exit_code == 2
    assert "no download called 'bfm'; there are: ict" in told.stderr
    assert run().stdout.startswith("ict: ICT-FaceKit")


def test_the_pinned_files_are_those_of_one_version_of_ict_facekit():
    ict = downloads()["ict"]
    names = set(ict.files)
    assert {f"FaceXModel/identity{i:03d}.obj" for i in range(100)} < names
    assert {"LICENSE", "FaceXModel/generic_neutral_mesh.obj", "FaceXModel/vertex_indices.json"} < names
    assert len(names) == 160
    assert all(len(bytes.fromhex(digest)) == 32 for digest in ict.files.values())
    assert len(set(ict.files.values())) == 160
    assert ict.url.startswith("https://")
    assert len(ict.url.rstrip("/").rsplit("/", 1)[-1]) == 40  # a commit, not a branch
