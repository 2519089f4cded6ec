"""The allocator's settings: made in a process of their own, where they can change no other test."""

import ctypes
import subprocess
import sys

import pytest

from stn_course.allocator import reuse_freed_memory


def test_telling_it_twice_changes_nothing():
    script = """
import platform, sys
from stn_course.allocator import reuse_freed_memory
before = sorted(bytearray(2**24))[-1]
told = reuse_freed_memory(), reuse_freed_memory()
blocks = [bytearray([i]) * 2**21 for i in range(8)]
assert all(block[0] == block[-1] == i for i, block in enumerate(blocks))
glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
assert told == (glibc, glibc), told
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_where_there_is_no_glibc_nothing_is_done(monkeypatch):
    def no_library(name):
        raise AssertionError("the C library was asked for")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        assert reuse_freed_memory() is False


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_c_library(monkeypatch, error):
    def other_library(name):
        raise error("no mallopt here")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", other_library)
    assert reuse_freed_memory() is False


def test_what_the_c_library_is_told(monkeypatch):
    class Library:
        @staticmethod
        def mallopt(parameter, value):
            told[parameter] = value
            return answer

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    for answer in (1, 0):
        told = {}
        assert reuse_freed_memory() is bool(answer)
    assert told.get(-4) == 0  # M_MMAP_MAX: no array is mapped on its own, to be unmapped when it is freed
    answer, told = 1, {}
    reuse_freed_memory()
    assert set(told) == {-1, -2, -4}
    assert told[-1] >= 2**30  # M_TRIM_THRESHOLD: how much may lie free
    assert 0 < told[-2] < 2**30  # M_TOP_PAD: how much is fetched at a time
