"""Runs a notebook's code cells in a kernel and says what became of each. `grade` starts it, as a process of its own.

    python -P cells.py < {"sources": […], "timeout": 600, "grace": 10}

prints a line of JSON for each thing that happens, {"cell", "state", "said"}. The kernel's output is not connected, so a
cell that prints for ever prints to nobody. Nothing heavy is imported: this process only waits.
"""

import json
import os
import subprocess
import sys
import time
from queue import Empty

RUNNING, FINE, FAILED, CUT, ENDED = "running", "fine", "failed", "cut", "ended"
START = 120  # seconds to start a kernel and to load PyTorch on a busy machine: no cell's limit counts them
FIRST = """
import io, os, sys

class Nowhere(io.TextIOWrapper):
    def __setattr__(self, name, value):
        pass  # IPython puts another write in its place, which keeps all that was ever printed

sys.stdout = sys.stderr = Nowhere(open(os.devnull, "wb"), encoding="utf-8", errors="replace")
import stn_course.exercises
"""  # nobody reads what is printed, and waiting for somebody it would fill the memory
LONGEST = 1000  # characters of what is passed on


class _KernelEndedError(Exception):
    """The kernel is gone, or was ended; why, in words."""


def main() -> None:
    """Run the cells that standard input names."""
    job = json.load(sys.stdin)
    try:
        from jupyter_client import KernelManager

        manager = KernelManager(kernel_name="python3")
        nowhere = subprocess.DEVNULL
        manager.start_kernel(stdin=nowhere, stdout=nowhere, stderr=nowhere)
        client = manager.blocking_client()
        client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        _reply(manager, client, client.execute(f"exec({FIRST!r}, {{}})", silent=True), START, 0)
    except Exception as error:
        return _say(0, ENDED, f"its kernel could not be started: {type(error).__name__}: {error}")
    try:
        for number, source in enumerate(job["sources"], start=1):
            _say(number, RUNNING)
            _say(number, *_run(manager, client, source, job["timeout"], job["grace"]))
    except _KernelEndedError as error:
        _say(number, ENDED, f"code cell {number} {error}")
    manager.shutdown_kernel(now=True)


def _run(manager, client, source: str, timeout: float, grace: float) -> tuple[str, str]:
    """What became of a cell, and what is to be said of it."""
    try:
        message = client.execute(source, store_history=True, allow_stdin=False, stop_on_error=False)
    except Exception as error:  # text that cannot even be sent
        return FAILED, f"{type(error).__name__}: {error}"
    content, cut = _reply(manager, client, message, timeout, grace)
    if cut:
        return CUT, f"cut at the limit of {timeout:g} s"
    if content.get("status") == "ok":
        return FINE, ""
    return FAILED, f"{content.get('ename', 'error')}: {content.get('evalue', '')}"


def _reply(manager, client, message: str, timeout: float, grace: float) -> tuple[dict, bool]:
    """The kernel's answer to a message, and whether it had to be interrupted: three times, then it is killed."""
    parent, limit, cut = os.getppid(), time.monotonic() + timeout, False
    interrupt = limit
    while True:
        try:
            reply = client.get_shell_msg(timeout=0.2)
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"], cut
        except Empty:
            pass
        except Exception as error:
            raise _KernelEndedError(f"made its kernel answer in no known way ({type(error).__name__})") from error
        now = time.monotonic()
        if os.getppid() != parent:  # whoever wanted to know is gone
            manager.shutdown_kernel(now=True)
            sys.exit(1)
        if not manager.is_alive():
            raise _KernelEndedError("ended its kernel")
        if now > limit + grace:
            manager.shutdown_kernel(now=True)
            raise _KernelEndedError(f"did not end in {timeout:g} s, nor when it was interrupted")
        if now > interrupt:
            manager.interrupt_kernel()
            cut, interrupt = True, now + grace / 3


def _say(cell: int, state: str, said: str = "") -> None:
    print(json.dumps({"cell": cell, "state": state, "said": said[:LONGEST]}), flush=True)


if __name__ == "__main__":
    main()
