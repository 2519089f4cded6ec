"""What every test has in common with every notebook kernel that pytest starts: the kernels inherit it."""

import os
import tempfile

import hypothesis

os.environ.setdefault("STN_COURSE_PROFILE", "smoke")
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # each has its share of the cores, and so have its kernels
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
# A learner's own progress is left alone: nothing is there, and what is not attempted is not noted.
os.environ["STN_COURSE_PROGRESS"] = os.path.join(tempfile.gettempdir(), f"stn-course-progress-{os.getpid()}.json")
os.environ.pop("MPLBACKEND", None)  # a kernel draws inline only where no other backend is named

import matplotlib
import matplotlib.font_manager  # builds the font cache: a kernel would say so on stderr, which nbval compares

matplotlib.use("agg")

hypothesis.settings.register_profile("course", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("course")


def pytest_terminal_summary(terminalreporter):
    """Say how much was checked against the real data, so that nobody takes a skip for a pass."""

    def count(outcome: str) -> int:
        return sum("real_data" in report.keywords for report in terminalreporter.getreports(outcome))

    terminalreporter.write_line(f"real data: {count('passed')} tests ran, {count('skipped')} skipped")
