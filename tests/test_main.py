"""`python -m stn_course`: the same, from a shell."""

import io
import json
import os
import subprocess
import sys

import pytest
import torch

from stn_course import experiments
from stn_course.__main__ import main


def test_train_writes_record_weights_and_checkpoints_and_evaluate_reads_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "nothing"))
    output = tmp_path / "run"
    assert main(["train", "rts-mnist/st-cnn", "--profile", "smoke", "--seed", "3", "--output", str(output)]) == 0
    record = json.loads((output / "record.json").read_text())
    assert record["seed"] == 3 and record["profile"] == "smoke" and record["recipe"] == "course"
    assert (output / "weights.pt").exists() and list((output / "checkpoints").iterdir())
    assert "Record, weights and checkpoints are in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "rts-mnist/lenet", "--profile", "smoke"], "expected experiment as one of rts-mnist/cnn"),
        (["train", "rts-mnist/cnn", "--profile", "fast"], "expected profile as one of smoke, quick, full, got 'fast'"),
        (
            ["train", "rts-mnist/cnn", "--profile", "smoke", "--recipe", "x"],
            "expected recipe as one of published, course",
        ),
        (
            ["train", "rts-mnist/cnn", "--profile", "smoke", "--precision", "float8"],
            "expected precision as one of float32, bfloat16, got 'float8'",
        ),
        (
            ["train", "rts-mnist/cnn", "--profile", "smoke", "--validate", "--every-epoch"],
            "expected validate or every_epoch, got both",
        ),
        (["evaluate", "rts-mnist/cnn", "--weights", "absent.pt"], "absent.pt"),
        (
            ["evaluate", "rts-mnist/cnn", "--recipe", "nonsense", "--weights", "absent.pt"],
            "expected recipe as one of published, course, or as BATCH_SIZE-RATE-LOCALISATION_RATE",
        ),
        (
            ["train", "rts-mnist/cnn", "--profile", "smoke", "--output", ""],
            "expected output as the name of a folder, got ''",
        ),
        *(
            (["train", "rts-mnist/cnn", f"--seed={seed}"], "expected seed as a whole number from 0 to 2**64 - 1")
            for seed in (-1, 10**23)
        ),
        *(
            ([*command, "--device", device], f"got {device!r}")
            for command in (["train", "rts-mnist/cnn", "--profile", "smoke"], ["evaluate", "rts-mnist/cnn"])
            for device in ("gpu", "tpu", "meta", "xla", "cpu:x", "cuda:99")
        ),
    ],
)
def test_errors_are_told_in_words_and_a_status(arguments, words, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


@pytest.mark.parametrize("seed", ["x", "1.5", ""])
def test_a_seed_that_is_no_number_is_refused_in_words(seed, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "rts-mnist/cnn", f"--seed={seed}"])
    assert ended.value.code == 2 and "argument --seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"), [(torch.OutOfMemoryError("CUDA out of memory."), 1), (RuntimeError("another"), None)]
)
def test_a_full_gpu_is_told_with_what_to_do_about_it(monkeypatch, capsys, error, status):
    def run(*arguments, **options):
        error.add_note("Use smaller batches.")
        raise error

    monkeypatch.setattr(experiments, "run", run)
    if status is None:
        with pytest.raises(RuntimeError, match="another"):
            main(["train", "rts-mnist/cnn"])
    else:
        assert main(["train", "rts-mnist/cnn"]) == status
        assert capsys.readouterr().err.splitlines()[-1] == "Use smaller batches."


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["evaluate", "rts-mnist/cnn"], "stn_course.experiments.load_pretrained"),
        (["data", "mnist"], "stn_course.data.load_mnist"),
        (["results"], "stn_course.experiments.results_table"),
        (["progress"], "stn_course.exercises.progress"),
        (["grade", "a.ipynb"], "stn_course.exercises.grade"),
        (["train", "rts-mnist/cnn"], "stn_course.experiments.run"),
        (["--help"], "stn_course.__main__._parser"),
    ],
)
def test_stopping_any_command_by_hand_is_told_in_words(arguments, where, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(where, stopped)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "Stopped by hand.\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_everything_is_printed_whatever_the_encoding(encoding, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(buffer, encoding=encoding))
    assert main(["progress"]) == 0
    print("✓ ✗ θ … 漢")
    sys.stdout.flush()
    said = buffer.getvalue().decode(encoding)
    plain = encoding != "utf-8"
    assert ("o zoom" if plain else "○ zoom") in said
    ellipsis = "..." if encoding in ("ascii", "latin-1") else "…"
    assert said.splitlines()[-1] == (f"+ x theta {ellipsis} \\u6f22" if plain else "✓ ✗ θ … 漢")


def test_nothing_heavy_is_loaded_before_a_command_can_be_stopped_in_words():
    code = "import sys; import stn_course.__main__; assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stopping_by_hand_gives_status_130(tmp_path, monkeypatch):
    def stopped(model, batches, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("stn_course.training._train_one_epoch", stopped)
    assert main(["train", "rts-mnist/cnn", "--profile", "smoke", "--output", str(tmp_path)]) == 130
    assert not (tmp_path / "record.json").exists()


def test_evaluate_reads_a_file_of_weights(tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST", _refused)
    torch.save(experiments.get_experiment("rts-mnist/cnn").model().state_dict(), tmp_path / "weights.pt")
    assert main(["evaluate", "rts-mnist/cnn", "--weights", str(tmp_path / "weights.pt"), "--device", "cpu"]) == 0
    assert "CNN: accuracy" in capsys.readouterr().out


def test_data_says_what_is_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.MNIST", _refused)
    assert main(["data", "mnist"]) == 0
    assert "MNIST sample, 2,000 digits of the train split" in capsys.readouterr().out
    monkeypatch.setattr("torchvision.datasets.CIFAR10", _refused)
    assert main(["data", "mnist", "cifar10"]) == 0
    said = capsys.readouterr().out
    assert "MNIST sample, 1,000 digits of the test split" in said
    assert "coloured shapes drawn by the package, 1,000 for testing" in said


def test_results_puts_the_table_into_a_file_and_leaves_the_rest_alone(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")
    assert main(["results", "--write", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith("before\n<!-- results:begin -->\n| network |")
    assert text.endswith("<!-- results:end -->\nafter\n") and "old" not in text
    assert "| network |" in capsys.readouterr().out


def test_results_refuses_a_file_without_the_marks(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("no marks")
    assert main(["results", "--write", str(readme)]) == 1
    assert readme.read_text() == "no marks"


def test_it_runs_as_a_module_and_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "stn_course", "--help"], capture_output=True, text=True, env=os.environ, check=True
    )
    for command in ("train", "evaluate", "data", "results"):
        assert command in done.stdout


def _refused(*args, **kwargs):
    raise OSError("no network")
