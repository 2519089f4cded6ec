"""Downloads as they go in a room with bad wifi: a server on this machine plays what can happen between here and there.

torchvision itself does the downloading, from that server and not from the usual ones, and small files.
"""

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import small_cifar10
import small_mnist
import torch
import torchvision

from stn_course.data import load_cifar10, load_mnist, source


def tar(contents: dict[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in contents.items():
                entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return file.getvalue()


ARCHIVES = {  # what the servers have
    **{f"{name}.gz": gzip.compress(content, mtime=0) for name, content in small_mnist.CONTENT.items()},
    "cifar-10-python.tar.gz": tar(small_cifar10.CONTENT | {"batches.meta": small_cifar10.META}),
}


class Server(ThreadingHTTPServer):
    """Sends archives, or does what `plays` says with them; how often an archive was asked for is counted."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.plays, self.asked, self.over = whole, [], threading.Event()

    def handle_error(self, request, client_address):
        pass  # whoever hangs up in the middle of an answer is meant to


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if name == "login":
            return self.send(b"<html>Please accept our terms.</html>", "text/html")
        self.server.asked.append(name)
        return self.server.plays(self, ARCHIVES[name])

    def send(self, content, kind="application/gzip", length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def whole(handler, archive):
    handler.send(archive)


def slow(handler, archive):
    handler.send(b"", length=len(archive))
    for part in (archive[start : start + 999] for start in range(0, len(archive), 999)):
        handler.wfile.write(part)
        handler.server.over.wait(0.002)


def cut_at(share):
    def cut(handler, archive):
        handler.send(archive[: int(share * len(archive))], length=len(archive))

    return cut


def cut_without_a_length(handler, archive):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(archive[: len(archive) // 2])


def altered(handler, archive):
    handler.send(archive[:-9] + bytes([archive[-9] ^ 1]) + archive[-8:])


def stalled(handler, archive):
    handler.send(archive[: len(archive) // 2], length=len(archive))
    handler.server.over.wait(60)


def silent(handler, archive):
    handler.server.over.wait(60)


def redirected_to_a_page(handler, archive):
    handler.send_response(302)
    handler.send_header("Location", "/login")
    handler.end_headers()


def redirected_without_end(handler, archive):
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def a_page_in_its_place(handler, archive):
    handler.send(b"<html>Please log in.</html>", "text/html")


def not_found(handler, archive):
    handler.send_error(404)


def broken(handler, archive):
    handler.send_error(500)


def hung_up(handler, archive):
    handler.connection.close()


FAULTS = {
    "cut before the first byte": cut_at(0),
    "cut after a third": cut_at(1 / 3),
    "cut one byte short": cut_at(0.9999),
    "cut without a length": cut_without_a_length,
    **{
        function.__name__.replace("_", " "): function
        for function in (
            altered,
            stalled,
            silent,
            redirected_to_a_page,
            redirected_without_end,
            a_page_in_its_place,
            not_found,
            broken,
            hung_up,
        )
    },
}


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    small_mnist.with_small_originals(monkeypatch)
    small_cifar10.with_small_originals(monkeypatch)
    resources = [(name, md5(content)) for name, content in ARCHIVES.items() if "cifar" not in name]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{server.url}/one/", f"{server.url}/two/"])
    cifar = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar, "url", f"{server.url}/{cifar.filename}")
    monkeypatch.setattr(cifar, "tgz_md5", md5(ARCHIVES[cifar.filename]))
    files = {name: md5(content) for name, content in small_cifar10.CONTENT.items()}
    monkeypatch.setattr(cifar, "train_list", [(name, files[name]) for name in small_cifar10.FILES["train"]])
    monkeypatch.setattr(cifar, "test_list", [(name, files[name]) for name in small_cifar10.FILES["test"]])
    monkeypatch.setattr(cifar, "meta", cifar.meta | {"md5": md5(small_cifar10.META)})
    monkeypatch.setattr(source, "STALLED", 0.3)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


SETS = {"MNIST": (load_mnist, small_mnist.small_mnist), "CIFAR-10": (load_cifar10, small_cifar10.small_cifar10)}
each_set = pytest.mark.parametrize("name", SETS)


def assert_is_the_original(name, folder):
    load, small = SETS[name]
    for split in ("train", "test"):
        found = load(split, folder, offline=False)
        assert torch.equal(found.images, small(split).images) and torch.equal(found.labels, small(split).labels)
        assert found.complete


def left_in(folder: Path, name) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.name != f"{name}.lock"]


@each_set
@pytest.mark.parametrize("plays", [whole, slow])
def test_a_download_however_slow_brings_the_originals(server, tmp_path, name, plays):
    server.plays = plays
    assert_is_the_original(name, tmp_path)
    assert not list(tmp_path.glob(".download-*"))


@each_set
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_lasts_leaves_nothing_and_the_stand_in_goes_on(server, tmp_path, capsys, name, fault):
    server.plays = FAULTS[fault]
    load, _ = SETS[name]
    found = load("test", tmp_path)
    assert not found.complete and len(found) == 1000
    assert f"{name} (" in (said := capsys.readouterr().out) and "could not be downloaded" in said
    assert left_in(tmp_path, name) == []
    with pytest.raises(ConnectionError, match=f"{name} is not in .* and could not be downloaded"):
        load("test", tmp_path, offline=False)
    assert left_in(tmp_path, name) == []
    server.plays = whole  # the next try is not held up by what happened
    assert_is_the_original(name, tmp_path)


@each_set
def test_without_a_network_nobody_waits_for_it_at_every_load(server, tmp_path, capsys, monkeypatch, name):
    load, small = SETS[name]
    server.plays = not_found
    load("test", tmp_path)
    asked = len(server.asked)
    assert asked and "could not be downloaded" in capsys.readouterr().out
    server.plays = whole
    for split in ("train", "test"):
        assert not load(split, tmp_path).complete
    assert len(server.asked) == asked and capsys.readouterr().out == ""
    assert load("test", tmp_path / "elsewhere").complete  # another folder is another matter
    monkeypatch.setattr(source, "ASK_AGAIN", 0)
    assert torch.equal(load("test", tmp_path).images, small("test").images)


@each_set
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_got_over(server, tmp_path, name, fault):
    def at_first(handler, archive):
        (FAULTS[fault] if len(server.asked) <= 2 else whole)(handler, archive)

    server.plays = at_first
    assert_is_the_original(name, tmp_path)


def test_what_arrived_whole_is_not_fetched_again(server, tmp_path):
    last = list(ARCHIVES)[3]

    def all_but_the_last(handler, archive):
        (cut_at(0.5) if handler.path.endswith(last) and server.asked.count(last) < 6 else whole)(handler, archive)

    server.plays = all_but_the_last
    assert_is_the_original("MNIST", tmp_path)
    assert all(server.asked.count(name) == 2 for name in list(ARCHIVES)[:3])  # once to see whether it has moved


def test_a_file_that_was_unpacked_by_half_is_not_trusted(server, tmp_path, monkeypatch):
    unpack, unpacked = torchvision.datasets.utils.extract_archive, []

    def unpack_half_of_the_last(archive, to=None, remove_finished=False):
        unpacked.append(target := Path(unpack(archive, to, remove_finished)))
        if len(unpacked) == len(small_mnist.CONTENT):  # torchvision itself would now find four files, and be content
            target.write_bytes(target.read_bytes()[:10])
            raise OSError("No space left on device")

    monkeypatch.setattr(torchvision.datasets.utils, "extract_archive", unpack_half_of_the_last)
    assert_is_the_original("MNIST", tmp_path)
    assert len(unpacked) > len(small_mnist.CONTENT)


@each_set
@pytest.mark.parametrize("server_says", ["nothing", "unknown"])
def test_a_name_that_nobody_knows_is_asked_for_once(server, tmp_path, monkeypatch, capsys, name, server_says):
    """On some systems a name server that does not answer is waited for half a minute, for each file and mirror."""
    asked, over = [], threading.Event()

    def look_up(host, *arguments, **options):
        asked.append(host)
        if server_says == "nothing":
            over.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(source, "LOOKED_UP", 0.05)
    load, _ = SETS[name]
    try:
        with pytest.raises(ConnectionError, match="the name 127.0.0.1 could not be looked up"):
            load("test", tmp_path, offline=False)
    finally:
        over.set()
    assert server.asked == [] and "trying again" not in capsys.readouterr().out
    assert socket.getaddrinfo is look_up
    if server_says == "nothing":
        assert len(asked) == 1


@each_set
def test_where_nothing_comes_nothing_is_tried_for_long(server, tmp_path, monkeypatch, capsys, name):
    server.plays = silent
    monkeypatch.setattr(source, "PATIENCE", 0)
    with pytest.raises(ConnectionError):
        SETS[name][0]("test", tmp_path, offline=False)
    assert "trying again" not in capsys.readouterr().out
    server.plays = cut_at(1 / 3)  # something comes
    with pytest.raises(ConnectionError):
        SETS[name][0]("test", tmp_path, offline=False)
    assert capsys.readouterr().out.count("trying again") == 2


@each_set
def test_where_nobody_answers(server, tmp_path, monkeypatch, name):
    server.shutdown()
    server.server_close()
    load, _ = SETS[name]
    with pytest.raises(ConnectionError, match="refused"):
        load("train", tmp_path, offline=False)
    assert not load("train", tmp_path).complete


def test_other_connections_keep_their_patience(server, tmp_path):
    socket.setdefaulttimeout(77)
    try:
        assert_is_the_original("MNIST", tmp_path)
        assert socket.getdefaulttimeout() == 77
    finally:
        socket.setdefaulttimeout(None)
