"""tools/install_torch.py: from where PyTorch comes, tried with a package index of our own on this machine."""

import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import zipfile
from functools import partial

import install_torch
import pytest

VERSION = "99.0+cpu"


def wheel(folder, name):
    """A package without contents, as an index offers it."""
    about = f"{name}-{VERSION}.dist-info"
    path = folder / name / f"{name}-{VERSION}-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", f"{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "index.html").write_text(f'<a href="{path.name}#sha256={digest}">{path.name}</a>')


@pytest.fixture
def index(tmp_path):
    """The address of an index that has torch and torchvision."""
    for name in ("torch", "torchvision"):
        wheel(tmp_path / "index", name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "index"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def machine(monkeypatch):
    """Linux without a GPU, where nobody has told pip anything; what is installed, and from where, is noted."""
    for name in [name for name in os.environ if name.startswith("PIP_")] + ["TORCH_INDEX"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install_torch, "has_gpu", lambda: False)
    return monkeypatch


@pytest.fixture
def asked(machine):
    """The indices that pip was asked to install from, in order; it installs nothing."""
    asked = []
    machine.setattr(install_torch, "install", lambda index, options: asked.append(index) or 0)
    return asked


def test_without_a_gpu_it_comes_from_the_index_for_cpus(machine, index, tmp_path, capfd):
    target = tmp_path / "target"
    assert install_torch.main(["--target", str(target), "--no-deps"], index) == 0
    assert {f"torch-{VERSION}.dist-info", f"torchvision-{VERSION}.dist-info"} <= set(os.listdir(target))
    said = capfd.readouterr().out
    assert f"without GPU libraries, from {index}" in said and "TORCH_INDEX=pypi" in said


def test_where_that_cannot_be_reached_it_comes_as_usual_and_says_so(asked, capsys):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert install_torch.main([], address) == 0
    assert asked == [None]
    assert f"{address}, cannot be reached" in (said := capsys.readouterr().out) and "5 GB" in said


def test_an_index_that_never_answers_is_given_up_in_time(asked, monkeypatch):
    monkeypatch.setattr(install_torch, "PATIENCE", 0.3)
    ended = threading.Event()

    def hang(*args, **kwargs):  # as a name server may, which no timeout reaches
        ended.wait()
        raise OSError("at last")

    monkeypatch.setattr("urllib.request.urlopen", hang)
    assert install_torch.main([], "http://silent.invalid") == 0  # or it would never end
    ended.set()
    assert asked == [None]


def test_an_index_without_a_wheel_for_this_python_does_not_end_the_installation(machine, index, capsys):
    asked = []
    machine.setattr(
        install_torch, "install", lambda index, options: asked.append((index, options)) or int(len(asked) < 2)
    )
    assert install_torch.main(["--quiet"], index) == 0
    assert [place for place, _ in asked] == [index, None]
    assert all("--quiet" in options for _, options in asked)
    assert "could not be installed from" in capsys.readouterr().out


@pytest.mark.parametrize(("told", "expected"), [("pypi", None), ("https://a.org/simple", "https://a.org/simple")])
def test_the_user_decides_otherwise(asked, index, machine, told, expected):
    machine.setenv("TORCH_INDEX", told)
    assert install_torch.main([], index) == 0
    assert asked == [expected]


def test_an_index_that_the_user_named_and_that_fails_is_an_error(machine, index):
    machine.setenv("TORCH_INDEX", "https://a.org/simple")
    machine.setattr(install_torch, "install", lambda index, options: 1)
    assert install_torch.main([], index) == 1


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_NO_INDEX"])
def test_who_has_told_pip_where_packages_are_keeps_that(asked, index, machine, name, capsys):
    machine.setenv(name, "1" if name == "PIP_NO_INDEX" else "https://mirror.example/simple")
    assert install_torch.main([], index) == 0
    assert asked == [None] and "where pip is told" in capsys.readouterr().out


def test_an_index_in_pips_own_configuration_is_kept_but_a_further_one_does_not_count(asked, index, machine, tmp_path):
    for key, expected in (("index-url", None), ("extra-index-url", index)):
        (tmp_path / "pip.conf").write_text(f"[global]\n{key} = https://mirror.example/simple\n")
        machine.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        asked.clear()
        assert install_torch.main([], index) == 0
        assert asked == [expected]


def test_with_a_gpu_and_on_other_systems_it_comes_as_usual_and_nobody_is_asked(asked, index, machine):
    machine.setattr(install_torch, "reachable", lambda index: pytest.fail("asked"))
    machine.setattr(install_torch, "has_gpu", lambda: True)
    assert install_torch.main([], index) == 0
    machine.setattr(install_torch, "has_gpu", lambda: False)
    machine.setattr(sys, "platform", "darwin")
    assert install_torch.main([], index) == 0
    assert asked == [None, None]


@pytest.mark.parametrize("mark", ["nvidia-smi", "driver", "nothing"])
def test_a_gpu_is_known_by_its_driver(monkeypatch, tmp_path, mark):
    monkeypatch.setattr(install_torch, "DRIVER", (str(tmp_path / "driver"),))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / mark).write_text("#!/bin/sh\n")
    (tmp_path / mark).chmod(0o755)
    assert install_torch.has_gpu() == (mark != "nothing")


def test_it_runs_on_a_python_that_has_nothing_yet():
    command = [sys.executable, "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import install_torch"]
    subprocess.run([*command, os.path.dirname(install_torch.__file__)], check=True)
