"""`lab_server`: the learner's copy, what JupyterLab is told, and how the server is reached from elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stn_course import lab_server

ROOT = Path(__file__).resolve().parent.parent
ASK = """
import json, sys
from jupyterlab.labapp import LabApp
app = LabApp.initialize_server(sys.argv[1:])
lab = app.extension_manager.extension_apps["jupyterlab"].pop()
spec = app.kernel_spec_manager.get_kernel_spec("python3")
from jupyterlab_server.settings_utils import _get_overrides
print(json.dumps({
    "root": app.allow_root, "ip": app.ip, "token": bool(app.identity_provider.token), "url": lab.default_url,
    "connection": app.kernel_websocket_connection_class.__name__,
    "largest": app.tornado_settings["websocket_max_message_size"], "kernel": spec.argv[0],
    "settings": _get_overrides("nowhere")[0],
}))
"""


@pytest.fixture
def bare(monkeypatch):
    """The surroundings of a desktop, whatever these are."""
    for name in ("SSH_CONNECTION", "KUBERNETES_SERVICE_HOST", "WAYLAND_DISPLAY", "BROWSER", "JUPYTER_CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return monkeypatch


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "course"
    (folder / "notebooks").mkdir(parents=True)
    for name in (lab_server.FIRST, "01_more.ipynb"):
        (folder / "notebooks" / name).write_text(name)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_copy_is_made_once_completed_and_never_overwritten(course):
    (course / "notebooks" / "01_more.ipynb").chmod(0o444)
    copy = lab_server.working_copy(course)
    assert contents(copy) == {lab_server.FIRST: lab_server.FIRST, "01_more.ipynb": "01_more.ipynb"}
    assert os.access(copy / "01_more.ipynb", os.W_OK) and copy == course / "my-notebooks"
    (copy / "01_more.ipynb").write_text("mine")
    (copy / lab_server.FIRST).unlink()
    (course / "notebooks" / lab_server.FIRST).write_text("new")
    (course / "notebooks" / "02_new.ipynb").write_text("new")
    lab_server.working_copy(course)
    assert contents(copy) == {lab_server.FIRST: "new", "01_more.ipynb": "mine", "02_new.ipynb": "new"}


@pytest.mark.parametrize("theirs", ["course", "my-notebooks"])
def test_where_others_installed_the_course_the_copy_lies_at_home(course, tmp_path, monkeypatch, theirs):
    if theirs == "my-notebooks":  # somebody else's, in a folder that all may write
        (course / theirs).mkdir()
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != theirs)
    copy = lab_server.working_copy(course)
    assert copy == tmp_path / "home" / "my-notebooks" and (copy / lab_server.FIRST).is_file()
    assert not list(course.glob("my-notebooks/*"))


def test_a_copy_that_is_cut_short_leaves_no_half_notebook(course, monkeypatch):
    def cut_short(source, target):
        Path(target).write_text("hal")
        raise OSError("disk full")

    monkeypatch.setattr("shutil.copyfile", cut_short)
    with pytest.raises(OSError, match="disk full"):
        lab_server.working_copy(course)
    assert contents(course / "my-notebooks") == {}


def test_the_course_is_here_or_where_the_package_lies(course, tmp_path, monkeypatch):
    monkeypatch.chdir(course)
    assert lab_server.course_folder() == course
    monkeypatch.chdir(tmp_path)
    assert lab_server.course_folder() == ROOT
    monkeypatch.setattr(lab_server, "__file__", str(tmp_path / "site-packages" / "stn_course" / "lab_server.py"))
    with pytest.raises(FileNotFoundError, match=f"expected notebooks/{lab_server.FIRST} in one of {tmp_path}, "):
        lab_server.course_folder()


@pytest.mark.parametrize("user", [{}, {"ServerApp": {"tornado_settings": {}, "allow_root": False}}])
def test_jupyter_takes_the_courses_settings_first_and_this_environments_kernel(bare, tmp_path, user):
    config, kernel = tmp_path / "config", tmp_path / "data" / "kernels" / "python3"
    config.mkdir()
    kernel.mkdir(parents=True)
    (config / "jupyter_server_config.json").write_text(json.dumps(user))
    (kernel / "kernel.json").write_text('{"argv": ["theirs"], "display_name": "x", "language": "python"}')
    places = {"JUPYTER_CONFIG_DIR": config, "JUPYTER_DATA_DIR": tmp_path / "data", "JUPYTER_RUNTIME_DIR": tmp_path}
    environment = os.environ | {name: str(place) for name, place in places.items()} | lab_server.surroundings()
    command = [sys.executable, "-c", ASK, "--port=0"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert os.path.basename(found.pop("kernel")).startswith("python")
    assert found == {
        "root": True,
        "ip": "localhost",
        "token": True,
        "url": f"/lab/tree/{lab_server.FIRST}",
        "connection": "PromptConnection",
        "largest": 2**28,
        "settings": {
            "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
        },
    }


def test_a_users_path_of_configurations_comes_after_the_courses(bare):
    assert lab_server.surroundings()["JUPYTER_CONFIG_PATH"] == str(lab_server.CONFIG)
    bare.setenv("JUPYTER_CONFIG_PATH", "theirs")
    assert lab_server.surroundings()["JUPYTER_CONFIG_PATH"] == f"{lab_server.CONFIG}{os.pathsep}theirs"


def started_with(arguments, course, monkeypatch) -> list[str]:
    """What JupyterLab would be started with, and where."""
    from jupyterlab.labapp import LabApp

    seen = []
    monkeypatch.setattr(LabApp, "launch_instance", lambda argv: seen.append((argv, Path.cwd())))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.chdir(course)
    assert lab_server.main(arguments) == 0
    ((argv, folder),) = seen
    assert folder == course / "my-notebooks"
    return argv


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({"DISPLAY": ":0"}, ["--port=9"], ["--port=9"]),
        ({"WAYLAND_DISPLAY": "wayland-0"}, [], []),
        ({"BROWSER": "lynx"}, [], []),
        ({}, ["--port=9"], ["--no-browser", "--port=9"]),
        ({}, ["--ServerApp.open_browser=True"], ["--ServerApp.open_browser=True"]),
    ],
)
def test_without_a_screen_no_browser_of_the_terminal_is_opened(bare, course, environment, arguments, expected):
    bare.delenv("DISPLAY")
    bare.setattr(sys, "platform", "linux")
    for name, value in environment.items():
        bare.setenv(name, value)
    assert started_with(arguments, course, bare) == expected


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_only_linux_says_by_display_whether_there_is_a_screen(bare, course, platform):
    bare.delenv("DISPLAY")
    bare.setattr(sys, "platform", platform)
    assert started_with([], course, bare) == []


def test_a_folder_that_cannot_be_written_is_told_in_words(course, monkeypatch, capsys):
    (course / "my-notebooks").write_text("in the way")
    monkeypatch.chdir(course)
    assert lab_server.main([]) == 1
    assert "my-notebooks" in capsys.readouterr().err


def test_without_jupyterlab_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(lab_server, "find_spec", lambda name: None)
    assert lab_server.main([]) == 1
    assert "pip install jupyterlab" in capsys.readouterr().err


def test_it_starts_without_pytorch_and_hands_on_jupyterlabs_own_options(course):
    ask = """if True:
        import runpy, sys
        sys.argv = ["stn_course", "lab", "--version"]
        try:
            runpy.run_module("stn_course", run_name="__main__")
        except SystemExit as end:
            print(end.code, [name for name in ("torch", "numpy", "matplotlib") if name in sys.modules])
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=environment, cwd=course)
    version, status = done.stdout.splitlines()[-2:]
    assert version[0].isdigit() and status == "0 []"


@pytest.mark.parametrize(
    ("marks", "inside"),
    [
        ({}, False),
        ({".dockerenv": ""}, True),
        ({"run/.containerenv": ""}, True),
        ({"proc/1/cgroup": "12:cpuset:/docker/0123456789ab\n"}, True),
        ({"proc/1/cgroup": "0::/kubepods/besteffort/pod1\n"}, True),
        ({"proc/1/cgroup": "0::/init.scope\n"}, False),
    ],
)
def test_a_container_is_known_by_its_marks(bare, tmp_path, marks, inside):
    for name, text in marks.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    advice = lab_server.how_to_reach(["--no-browser"], tmp_path)
    assert (advice is not None) == inside
    if inside:
        assert "docker run -p 8888:8888" in advice and "LAB_ARGS=--ip=0.0.0.0" in advice and "\n" not in advice


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SSH_CONNECTION", "ssh -L 8888:localhost:8888"),
        ("KUBERNETES_SERVICE_HOST", "kubectl port-forward POD 8888:8888"),
    ],
)
def test_who_comes_over_the_network_is_told_how_to_bring_the_port_along(bare, tmp_path, name, words):
    bare.setenv(name, "10.0.0.1")
    (tmp_path / ".dockerenv").write_text("")
    advice = lab_server.how_to_reach([], tmp_path)
    assert words in advice and "\n" not in advice


@pytest.mark.parametrize("argument", ["--ip=0.0.0.0", "--ServerApp.ip=10.0.0.1", "--ip"])
def test_who_says_where_to_listen_needs_no_advice(bare, argument):
    bare.setenv("SSH_CONNECTION", "10.0.0.1")
    assert lab_server.how_to_reach([argument]) is None
