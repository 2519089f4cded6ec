"""Where things live: data, runs, a learner's progress, and on Colab the one place that outlives the runtime."""

import os
from pathlib import Path

DRIVE = Path("/content/drive/MyDrive")
"""Where Colab mounts Google Drive."""
PROGRESS_FILE = "stn_course_progress.json"


def drive_folder() -> Path | None:
    """On Colab the course's folder in Google Drive, if that is mounted: it outlives the runtime. Else None."""
    return DRIVE / "stn-course" if os.environ.get("COLAB_RELEASE_TAG") and DRIVE.is_dir() else None


def data_folder() -> Path:
    """Where data sets are looked for and downloaded to: STN_COURSE_DATA, else a folder in the user's cache."""
    if named := os.environ.get("STN_COURSE_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stn-course"


def runs_folder() -> Path:
    """Where runs are kept: `data_folder()`, unless there is a `drive_folder()` and STN_COURSE_DATA names no other."""
    drive = None if os.environ.get("STN_COURSE_DATA") else drive_folder()
    return drive or data_folder()


def progress_file() -> Path:
    """The file that STN_COURSE_PROGRESS names, else one in `drive_folder()`, else one in the working folder."""
    return Path(os.environ.get("STN_COURSE_PROGRESS") or (drive_folder() or Path()) / PROGRESS_FILE)
