"""Run pytest as on other machines: other instructions, other threads, other last bits of float32 results.

    python tools/machines.py                                every machine that this one can pretend to be
    python tools/machines.py last-bit -- notebooks --nbval  one of them, with pytest arguments of your own

A number that a notebook prints has to be the same on all of them, and a test has to pass.
"""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PRETEND = ROOT / "tools" / "pretend"  # its sitecustomize.py does the arithmetic

MACHINES = {
    "old": {  # a processor without AVX, or none of Intel's and AMD's; one core
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OMP_NUM_THREADS": "1",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OMP_NUM_THREADS": "2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_CBWR": "AVX512",
        "OMP_NUM_THREADS": "2",
    },
    "exact": {"STN_COURSE_ARITHMETIC": "exact"},  # more exactly than usual, as another library, ARM or a GPU may
    "last-bit": {"STN_COURSE_ARITHMETIC": "last-bit"},  # and no two libraries round alike
}


def here() -> list[str]:
    """The machines that this one can pretend to be: no processor has instructions because it is told so."""
    ask = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    plain = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    answer = subprocess.run([sys.executable, "-c", ask], env=plain, capture_output=True, text=True, check=True)
    has = answer.stdout.strip().lower()
    missing = {"avx512": set(), "avx2": {"avx512"}}.get(has, {"avx2", "avx512"})
    return [name for name in MACHINES if name not in missing]


def test(name: str, arguments: list[str]) -> bool:
    """Run pytest as on a machine, and say how that went."""
    print(f"--- as on another machine: {name}", flush=True)
    started = time.monotonic()
    surroundings = {**os.environ, **MACHINES[name]}
    surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PRETEND), os.environ.get("PYTHONPATH"))))
    with TemporaryDirectory() as data:  # nothing trained yet: what another machine has trained would be gone on with
        surroundings["STN_COURSE_DATA"] = data
        done = subprocess.run([sys.executable, "-m", "pytest", *arguments], env=surroundings, cwd=ROOT)
    passed = done.returncode == 0
    took = time.monotonic() - started
    print(f"--- as on another machine: {name}: {'passed' if passed else 'failed'} in {took:.0f} s", flush=True)
    return passed


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "machines", nargs="*", help=f"of {', '.join(MACHINES)}; the default is all that can be had here"
    )
    own = sys.argv[1:]
    split = own.index("--") if "--" in own else len(own)
    named, arguments = parser.parse_args(own[:split]).machines, own[split + 1 :]
    if unknown := sorted(set(named) - set(MACHINES)):
        parser.error(f"expected machines of {', '.join(MACHINES)}, got {', '.join(unknown)}")
    wanted, possible = named or list(MACHINES), here()
    for name in wanted:
        if name not in possible:
            print(f"This processor cannot pretend to be {name}: it lacks the instructions.")
    failed = [name for name in wanted if name in possible and not test(name, arguments)]
    if failed:
        sys.exit(f"Not the same on: {', '.join(failed)}")
