"""Install PyTorch, without its 5 GB of GPU libraries where there is no GPU for them.

    python tools/install_torch.py [pip's options, such as --constraint FILE]

On Linux without an NVIDIA GPU it comes from PyTorch's own index for CPUs, and otherwise, or where that index cannot be
reached, from where pip takes all packages. TORCH_INDEX in the environment decides instead: an address, or `pypi`.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from threading import Thread

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 6.0  # seconds, whatever a name server or a firewall takes
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
DRIVER = ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/nvidiactl")


def requirements() -> list[str]:
    """What pyproject.toml says of torch and torchvision."""
    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    return [each for each in project["dependencies"] if each.startswith("torch")]


def has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None or any(map(os.path.exists, DRIVER))


def pip_is_told() -> bool:
    """Whether the user has told pip where to take all packages from, so that nothing here may choose another place."""
    done = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True)
    keys = [line.partition("=")[0] for line in done.stdout.splitlines()]
    return any(key.rpartition(".")[2] in ("index-url", "no-index") for key in keys)


def reachable(index: str) -> bool:
    """Whether the index answers for torch within a few seconds."""
    answers = []

    def ask() -> None:
        try:
            urllib.request.urlopen(f"{index}/torch/", timeout=PATIENCE).close()
            answers.append(index)
        except (OSError, ValueError):
            pass

    asking = Thread(target=ask, daemon=True)  # looking a name up knows no time limit of its own
    asking.start()
    asking.join(PATIENCE)
    return bool(answers)


def install(index: str | None, options: list[str]) -> int:
    source = [] if index is None else ["--index-url", index]
    return subprocess.run([*PIP, "install", *source, *options, *requirements()]).returncode


def main(options: list[str], index: str = CPU_INDEX) -> int:
    """Install; the exit status is pip's."""
    told = os.environ.get("TORCH_INDEX")
    if told:
        return install(None if told == "pypi" else told, options)
    if sys.platform != "linux" or has_gpu():
        return install(None, options)
    if pip_is_told():
        print("PyTorch comes from where pip is told to take packages from.", flush=True)
        return install(None, options)
    if reachable(index):
        print(f"There is no NVIDIA GPU: PyTorch comes without GPU libraries, from {index}.", flush=True)
        print("TORCH_INDEX=pypi takes the one with them.", flush=True)
        if install(index, ["--retries", "1", "--timeout", "15", *options]) == 0:
            return 0
        print(f"PyTorch could not be installed from {index}.", flush=True)
    else:
        print(f"PyTorch's index for CPUs, {index}, cannot be reached.", flush=True)
    print("So PyTorch comes with its GPU libraries, 5 GB on the disk.", flush=True)
    return install(None, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
