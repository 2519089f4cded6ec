"""`tools/machines.py`: float32 results as other machines round them, and what is not theirs is left alone."""

import os
import subprocess
import sys

import machines
import pytest

ASK = """
from importlib.util import find_spec
assert find_spec("torch") is not None  # to ask for it is not to import it
import torch
a = torch.rand(40, 30, generator=torch.Generator().manual_seed(0), requires_grad=True)
product, exact = a @ a.T, a.double() @ a.double().T
product.sum().backward()
print(product.dtype, bool((product == exact.float()).all()), bool(torch.equal(product, a @ a.T)))
ulp = exact.float().abs() * 2**-23
print(bool(((product - exact).abs() <= ulp).all()), a.grad.dtype, a.grad.shape == a.shape)
whole = torch.arange(12.0).view(3, 4)
print((whole @ whole.T).tolist() == (whole.double() @ whole.double().T).tolist(), torch.zeros(3, 4).sum().item())
half = a.half() @ a.half().T
normalise = torch.nn.BatchNorm2d(1)
normalise(torch.arange(4.0).view(1, 1, 2, 2))
turned = torch.rand(2, 3, 5, 5).to(memory_format=torch.channels_last)
turned = torch.conv2d(turned, torch.rand(4, 3, 2, 2))
print(normalise.running_mean.item(), turned.is_contiguous(memory_format=torch.channels_last))
print(half.dtype, (a + 1).dtype, a.argmax().dtype, exact.dtype)
"""


def told(arithmetic: str | None, code: str = ASK) -> subprocess.CompletedProcess:
    surroundings = {name: value for name, value in os.environ.items() if name != "STN_COURSE_ARITHMETIC"}
    surroundings["PYTHONPATH"] = str(machines.PRETEND)
    surroundings |= {"STN_COURSE_ARITHMETIC": arithmetic} if arithmetic else {}
    return subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("arithmetic", "nearest"), [("exact", True), ("last-bit", False), (None, False)])
def test_products_are_rounded_as_asked_for_and_the_same_each_time(arithmetic, nearest):
    done = told(arithmetic)
    assert done.stderr == ""
    one, two, three, four, five = done.stdout.splitlines()
    assert one == f"torch.float32 {nearest} True"
    assert arithmetic is None or two == "True torch.float32 True"  # no more than the other of the two neighbours
    assert three == "True 0.0"  # nothing had to be rounded
    assert four[:4] == "0.15" and four.endswith(" True")  # what is changed in place, and how it lies in memory
    assert five == "torch.float16 torch.float32 torch.int64 torch.float64"


def test_an_unknown_arithmetic_is_refused_in_words():
    done = told("sloppy", "")
    assert done.returncode == 1 and "expected STN_COURSE_ARITHMETIC as exact or last-bit, got 'sloppy'" in done.stderr


def test_python_without_torch_is_left_alone():
    assert told("exact", "import sys; assert 'torch' not in sys.modules").returncode == 0


def capability(monkeypatch, has: str) -> None:
    done = subprocess.CompletedProcess([], 0, stdout=f"{has}\n")
    monkeypatch.setattr(machines.subprocess, "run", lambda *arguments, **options: done)


@pytest.mark.parametrize(
    ("has", "lacking"),
    [("DEFAULT", {"avx2", "avx512"}), ("AVX2", {"avx512"}), ("AVX512", set()), ("SVE256", {"avx2", "avx512"})],
)
def test_a_machine_does_not_pretend_to_have_what_it_lacks(monkeypatch, has, lacking):
    capability(monkeypatch, has)
    assert set(machines.MACHINES) - set(machines.here()) == lacking


def test_pytest_runs_in_the_surroundings_of_the_machine_and_its_failure_is_told(monkeypatch, capsys):
    ran = []

    def run(command, env, cwd):
        ran.append((command[1:], env))
        return subprocess.CompletedProcess(command, len(ran) - 1)

    monkeypatch.setattr(machines.subprocess, "run", run)
    assert machines.test("old", ["notebooks"]) and not machines.test("exact", [])
    (command, env), (_, exact) = ran
    assert command == ["-m", "pytest", "notebooks"] and env["OMP_NUM_THREADS"] == "1"
    assert exact["PYTHONPATH"].split(os.pathsep)[0] == str(machines.PRETEND)
    assert "exact: failed" in capsys.readouterr().out
