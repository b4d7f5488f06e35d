"""Downloads from a server on this machine that breaks off, stays silent, knows no parts, or sends something else."""

import hashlib
import io
import random
import stat
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.data.open_sets.archive import extract
from anomaly_diffusion.data.open_sets.catalogue import OPEN_SETS
from anomaly_diffusion.data.open_sets.download import DownloadError, download

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Sends the server's content; `how` says what goes wrong, `asked` what was asked for."""

    def do_GET(self):
        server, content = self.server, self.server.content
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked[6:-1]) if asked and "whole" not in server.how else 0
        if "missing" in server.how:
            self.send_error(404)
            return
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if "unmeasured" not in server.how:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if "breaks" in server.how and len(server.asked) < 3:
            self.wfile.write(content[start : start + len(content) // 3])
        elif "silent" in server.how:
            self.wfile.write(content[start : start + 1000] if start == 0 else b"")
            server.over.wait(20)
        else:
            self.wfile.write(content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.how, server.asked, server.over = CONTENT, "", [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/set.tar.xz"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("how", ["", "whole", "unmeasured", "breaks", "breaks whole"])
def test_what_arrives_is_whole(server, tmp_path, how):
    server.how, seen = how, []
    target = tmp_path / "new" / "set.tar.xz"
    download(server.url, target, SHA256, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert not list(target.parent.glob("*.part"))
    assert seen[-1] == (len(CONTENT), None if how == "unmeasured" else len(CONTENT))
    assert len(server.asked) == (3 if "breaks" in how else 1)


def test_it_goes_on_where_it_was_interrupted(server, tmp_path):
    (tmp_path / "set.part").write_bytes(CONTENT[:5000])
    download(server.url, tmp_path / "set", SHA256)
    assert server.asked == ["bytes=5000-"]
    assert (tmp_path / "set").read_bytes() == CONTENT
    download(server.url, tmp_path / "set", SHA256)
    assert len(server.asked) == 1  # it is there


def test_all_of_it_had_arrived(server, tmp_path):
    (tmp_path / "set.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "set", SHA256)
    assert (tmp_path / "set").read_bytes() == CONTENT


def test_something_else_is_told_and_deleted(server, tmp_path):
    server.content = b"<html>moved</html>"
    with pytest.raises(DownloadError, match="sent something else"):
        download(server.url, tmp_path / "set", SHA256)
    assert not list(tmp_path.iterdir())
    (tmp_path / "set.part").write_bytes(CONTENT[:-9] + b"x" * 20)  # longer than the file
    with pytest.raises(DownloadError, match="sent something else"):
        download(server.url, tmp_path / "set", SHA256)
    assert not list(tmp_path.iterdir())


def test_a_server_that_stays_silent(server, tmp_path):
    server.how = "silent"
    with pytest.raises(DownloadError, match=r"1,000 bytes are kept.*run the command again"):
        download(server.url, tmp_path / "set", SHA256, patience=0.2, attempts=2)
    server.how = ""
    download(server.url, tmp_path / "set", SHA256)
    assert server.asked[-1] == "bytes=1000-"


def test_nobody_answers_and_not_found(server, tmp_path):
    with pytest.raises(DownloadError, match="refused"):
        download("http://127.0.0.1:9/set", tmp_path / "set", SHA256, patience=0.2, attempts=2)
    with pytest.raises(DownloadError, match="no http"):
        download("file:///etc/passwd", tmp_path / "set", SHA256)
    server.how = "missing"
    with pytest.raises(DownloadError, match="404"):
        download(server.url, tmp_path / "set", SHA256)


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK if isinstance(content, str) else stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return file.getvalue()


@pytest.mark.parametrize("packed", [tarred, zipped])
def test_an_archive_becomes_a_folder(tmp_path, packed):
    (tmp_path / "a").write_bytes(packed({"root/screw/1.png": b"one", "readme": b"no"}))
    extract(tmp_path / "a", tmp_path / "set", "root")
    assert (tmp_path / "set/screw/1.png").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "set"]


@pytest.mark.parametrize("packed", [tarred, zipped])
@pytest.mark.parametrize("member", ["../out", "good/../../out", "/tmp/anomaly-diffusion-out", "link"])
def test_nothing_in_an_archive_gets_out(tmp_path, packed, member):
    content = "../../out" if member == "link" else b"bad"
    (tmp_path / "a").write_bytes(packed({"good/1.png": b"fine", member: content}))
    if packed is tarred and member.startswith("/"):  # the filter of tar files drops the slash
        extract(tmp_path / "a", tmp_path / "set")
    else:
        with pytest.raises(ValueError, match="cannot be unpacked"):
            extract(tmp_path / "a", tmp_path / "set")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", tarred({"a": random.Random(0).randbytes(9999)})[:5000]])
def test_a_damaged_archive_is_told(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"(?s)cannot be unpacked.*get it again"):
        extract(tmp_path / "a", tmp_path / "set")


@pytest.fixture
def offered(server, monkeypatch):
    server.content = tarred({"bottle/train/good/000.png": b"a photograph"})
    sha256 = hashlib.sha256(server.content).hexdigest()
    small = replace(OPEN_SETS["mvtec_ad"], url=server.url, sha256=sha256, gigabytes=1e-6)
    monkeypatch.setitem(OPEN_SETS, "mvtec_ad", small)
    return small


def test_a_set_is_got_once_its_licence_is_accepted(offered, tmp_path, capsys):
    words = ["data", "get", "mvtec_ad", "--folder", str(tmp_path / "sets")]
    assert main(words) == 1
    assert "--accept_licence" in capsys.readouterr().err
    assert not (tmp_path / "sets").exists()
    assert main([*words, "--accept_licence"]) == 0
    said = capsys.readouterr().out
    assert offered.licence in said
    assert f"ANOMALY_DIFFUSION_DATA={tmp_path / 'sets'}" in said
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["mvtec_ad"]
    assert (tmp_path / "sets/mvtec_ad/bottle/train/good/000.png").read_bytes() == b"a photograph"
    assert main([*words, "--accept_licence"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_too_little_room_is_told_before(offered, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(OPEN_SETS, "mvtec_ad", replace(offered, gigabytes=1e9))
    assert main(["data", "get", "mvtec_ad", "--folder", str(tmp_path), "--accept_licence"]) == 1
    assert "GB left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_list_names_licence_and_page(capsys):
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    for one in OPEN_SETS.values():
        assert all(text in said for text in (one.name, one.licence, one.page, one.reference))
        assert one.url.startswith("https://")
        assert len(one.sha256) == 64
