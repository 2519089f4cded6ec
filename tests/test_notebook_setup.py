"""`notebook.setup`: the four lines every notebook starts with."""

from pathlib import Path

import pytest

from stn_course import places
from stn_course.data import load_mnist
from stn_course.exercises import progress_file
from stn_course.notebook import setup
from stn_course.places import data_folder


def test_it_says_versions_device_profile_and_data(capsys, monkeypatch):
    monkeypatch.setenv("STN_COURSE_PROFILE", "smoke")
    setup()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["stn_course", "device", "profile", "data"]
    assert "MNIST sample, 1,000 digits of the test split that come with the package" in lines[3]


@pytest.mark.parametrize("ratio, precision", [(1.714, "bfloat16"), (0.5, "float32")])
def test_it_says_the_precision_and_how_it_was_chosen(capsys, monkeypatch, tmp_path, ratio, precision):
    import torch

    from stn_course.experiments import hardware

    def device_line(profile):
        monkeypatch.setenv("STN_COURSE_PROFILE", profile)
        setup()
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("device"))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("stn_course.notebook.load_mnist", lambda split, offline: load_mnist(split, offline=True))
    cpu = f"device    cpu, {torch.get_num_threads()} threads"
    assert device_line("quick") == f"{cpu}, float32 (no bfloat16 in this hardware)"
    monkeypatch.setattr(hardware, "native_bfloat16", lambda device: True)
    monkeypatch.setattr(hardware, "measure", lambda *given: ratio)
    monkeypatch.setattr(hardware, "_measured", {})
    assert device_line("smoke") == f"{cpu}, float32 (too short to measure)"
    assert device_line("quick") == f"{cpu}, {precision} (measured: bfloat16 {ratio:.2f} times as fast)"


def test_an_unknown_profile_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("STN_COURSE_PROFILE", "fast")
    with pytest.raises(ValueError, match="smoke, quick, full, got 'fast'"):
        setup()


def test_without_data_and_network_quick_goes_on_with_the_digits_that_come_along(capsys, monkeypatch, tmp_path):
    import torchvision.datasets

    def refused(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "MNIST", refused)
    monkeypatch.setenv("STN_COURSE_PROFILE", "quick")
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    setup()
    assert "going on with the 3,000 real digits" in capsys.readouterr().out


def test_colab_without_a_gpu_says_how_to_get_one(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setenv("STN_COURSE_PROFILE", "smoke")
    setup()
    assert "Change runtime type" in capsys.readouterr().out


def test_colab_offers_drive_as_the_place_for_runs_and_uses_it_once_mounted(capsys, monkeypatch, tmp_path):
    drive = tmp_path / "MyDrive"
    monkeypatch.setattr(places, "DRIVE", drive)
    monkeypatch.setenv("STN_COURSE_PROFILE", "smoke")
    monkeypatch.delenv("STN_COURSE_DATA", raising=False)
    monkeypatch.delenv("STN_COURSE_PROGRESS", raising=False)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    setup()
    assert "Drive" not in capsys.readouterr().out
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    setup()
    assert "drive.mount('/content/drive')" in capsys.readouterr().out
    assert places.runs_folder() == data_folder()
    assert places.progress_file() == Path(places.PROGRESS_FILE)
    drive.mkdir()
    setup()
    said = capsys.readouterr().out
    assert "drive.mount" not in said and f"runs      {drive / 'stn-course'}" in said
    assert places.runs_folder() == drive / "stn-course"
    assert places.progress_file() == drive / "stn-course" / places.PROGRESS_FILE
    progress_file.note("grid", True, "right")
    assert (drive / "stn-course" / places.PROGRESS_FILE).is_file() and progress_file.read()["grid"]["solved"]
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    assert places.runs_folder() == tmp_path
    monkeypatch.delenv("STN_COURSE_DATA")
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    assert places.runs_folder() == data_folder()
    assert places.progress_file() == Path(places.PROGRESS_FILE)
