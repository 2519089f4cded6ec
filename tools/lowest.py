"""Print the lowest versions of the course's own dependencies that pyproject.toml allows, as constraints for pip."""

import tomllib
from pathlib import Path


def lowest(dependencies: list[str]) -> list[str]:
    """`name==version` for each `name>=version`; ValueError for one without a lower bound."""
    found = []
    for each in dependencies:
        name, bound, version = each.partition(">=")
        if not bound:
            raise ValueError(f"expected name>=version, got {each!r}")
        found.append(f"{name}=={version}")
    return found


if __name__ == "__main__":
    text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8")
    print(*lowest(tomllib.loads(text)["project"]["dependencies"]), sep="\n")
