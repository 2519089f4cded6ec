"""tools/lowest.py: the versions that `make test-lowest` asks for are those that pyproject.toml allows."""

import subprocess
import sys
import tomllib
from pathlib import Path

import lowest
import pytest
from packaging.requirements import Requirement


def test_every_dependency_has_a_lower_bound_and_is_held_to_it():
    done = subprocess.run([sys.executable, lowest.__file__], capture_output=True, text=True, check=True)
    pinned = dict(line.split("==") for line in done.stdout.splitlines())
    text = (Path(lowest.__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    wanted = [Requirement(each) for each in tomllib.loads(text)["project"]["dependencies"]]
    assert {each.name for each in wanted} == set(pinned)
    for each in wanted:
        version = pinned[each.name]
        assert version in each.specifier and f"{version}.dev1" not in each.specifier  # none lower is allowed


@pytest.mark.parametrize("dependency", ["numpy", "numpy<3", "numpy==2"])
def test_a_dependency_without_a_lower_bound_is_refused(dependency):
    with pytest.raises(ValueError, match="expected name>=version, got 'numpy"):
        lowest.lowest([dependency])
