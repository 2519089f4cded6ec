"""The script that proves on a GPU what the course says of GPUs runs from end to end, and nothing stops it."""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
ALL = [str(number) for number in range(1, 16)]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its data classes are looked up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_check_runs_on_a_cpu_at_its_tiniest_size(tmp_path):
    command = [sys.executable, str(SCRIPT), "--dry", "--tiny", "--output", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["checks"]
    assert sorted(told, key=int) == ALL
    assert {one["status"] for one in told.values()} == {"PASS", "not run"}
    assert [number for number in told if told[number]["status"] == "not run"] == ["9", "6"]  # none was asked for
    assert all(one["claim"] and one["words"] for one in told.values())
    lines = done.stdout.splitlines()
    assert [line.split()[-1 if line.startswith("not") else 1] for line in lines if line.startswith("PASS")] == [
        number for number in told if told[number]["status"] == "PASS"
    ]
    assert lines[-1] == "13 PASS, 0 FAIL, 2 not run"


BROKEN = """
import os, sys, time
sys.path.insert(0, {folder!r})
import gpu
def claim(work):
    work.__doc__ = "A claim."
    return gpu.Check(work, 1 if work is hangs else 60)
def hangs(size):
    time.sleep(60)
def dies(size):
    os._exit(7)
def raises(size):
    raise ValueError("no such thing")
def leaves(size):
    sys.exit("gone")
def lacks(size):
    raise gpu.NotRun("nothing is here")
def holds(size):
    return True, "it holds", {{"figure": 1.5}}
for number, work in enumerate((hangs, dies, raises, leaves, lacks, holds), start=1):
    gpu.CHECKS[number] = claim(work)
sys.argv[1:] = ["--dry", "--output", {output!r}, "--only", *"123456"]
gpu.ORDER = tuple(range(1, 7))
sys.exit(gpu.main())
"""


def test_a_check_that_hangs_dies_or_raises_stops_no_other(tmp_path):
    code = BROKEN.format(folder=str(SCRIPT.parent), output=str(tmp_path / "gpu.json"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    told = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["checks"].values()
    assert [(one["status"], one["words"]) for one in told] == [
        ("FAIL", "not done after 1 s"),
        ("FAIL", "its process ended with 7"),
        ("FAIL", "ValueError: no such thing"),
        ("FAIL", "SystemExit: gone"),
        ("not run", "nothing is here"),
        ("PASS", "it holds"),
    ]
    assert [one["figures"] for one in told][-1] == {"figure": 1.5}


def test_data_travels_in_parts_and_is_joined_once_all_are_there(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "PARTS", tmp_path / "parts")
    monkeypatch.setattr(script, "PART", 1000)
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    files = {"MNIST/raw/t10k-labels-idx1-ubyte": bytes(range(256)) * 9, "cifar10.npz": b"\n{" * 7, "mnist.npz": b""}
    noise = {"MNIST/raw/train-images-idx3-ubyte": random.Random(0).randbytes(2500)}
    for name, content in (files | noise).items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    assert script.pack() == 0
    parts = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert parts == ["1", "2", "3", "4"] and "4 files in 4 parts" in capsys.readouterr().out
    monkeypatch.delenv("STN_COURSE_DATA")
    kept = (tmp_path / "parts" / "3").rename(tmp_path / "kept")
    script.unpack()
    assert "Of 4 parts of the data only 3 are here" in capsys.readouterr().out
    assert not (tmp_path / "parts" / "joined").exists()
    kept.rename(tmp_path / "parts" / "3")
    for _ in range(2):
        script.unpack()
        joined = Path(script.os.environ["STN_COURSE_DATA"])
        found = {str(path.relative_to(joined)): path.read_bytes() for path in joined.rglob("*") if path.is_file()}
        assert found == files | noise
        monkeypatch.delenv("STN_COURSE_DATA")


def test_without_the_data_nothing_is_packed(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(script, "PARTS", tmp_path / "parts")
    assert script.pack() == 1
    assert f"Neither data set is in {tmp_path}" in capsys.readouterr().err
