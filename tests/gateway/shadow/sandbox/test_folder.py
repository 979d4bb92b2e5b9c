"""A job's folder on a real disk is measured and removed, whatever the job made of it."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from gateway.shadow.sandbox.runner import folder

MEGABYTE = 1 << 20


@pytest.fixture
def job(tmp_path: Path) -> Path:
    made = tmp_path / "job"
    made.mkdir()
    return made


def deepen(start: Path, levels: int) -> None:
    """``levels`` folders inside each other, with a file in the last: deeper than a path can be long."""
    descriptor = os.open(start, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 50, dir_fd=descriptor)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_files_are_counted_wherever_they_lie(job: Path) -> None:
    inner = job / "a" / "b"
    inner.mkdir(parents=True)
    (job / "one").write_bytes(b"x" * MEGABYTE)
    (inner / "two").write_bytes(b"x" * MEGABYTE)
    assert 2 * MEGABYTE <= folder.used(str(job), 1 << 40) <= 2 * MEGABYTE + 64 * 1024


def test_many_empty_files_count_too(job: Path) -> None:
    for number in range(1000):
        (job / str(number)).touch()
    assert folder.used(str(job), 1 << 40) >= MEGABYTE


def test_links_lead_nowhere(job: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x" * MEGABYTE)
    (job / "link").symlink_to(tmp_path)
    assert folder.used(str(job), 1 << 40) < MEGABYTE


def test_a_tree_too_deep_to_look_at_is_too_much(job: Path) -> None:
    deepen(job, 300)
    assert folder.used(str(job), 1 << 40) == folder.TOO_MUCH


def test_unlinked_files_count_while_they_are_open(job: Path) -> None:
    device = folder.device_of(str(job))
    before = folder.unlinked([os.getpid()], device)
    with (job / "gone").open("wb", buffering=0) as file:
        file.write(b"x" * MEGABYTE)
        os.unlink(file.name)
        assert folder.unlinked([os.getpid()], device) - before >= MEGABYTE
    assert folder.unlinked([os.getpid()], device) == before


def test_a_file_that_is_only_mapped_is_too_much(job: Path) -> None:
    """Hidden as nothing but C can: Python's own mmap keeps a descriptor."""
    device = folder.device_of(str(job))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    with (job / "gone").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        os.unlink(file.name)
        address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    assert folder.unlinked([os.getpid()], device) == folder.TOO_MUCH
    libc.munmap(ctypes.c_void_p(address), mmap.PAGESIZE)
    assert folder.unlinked([os.getpid()], device) < folder.TOO_MUCH


def test_everything_is_removed_and_nothing_outside(job: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (job / "link").symlink_to(kept)
    (job / "plain").touch()
    os.mkfifo(job / "fifo")
    for number in range(5):
        (job / f"folder {number}" / "inner").mkdir(parents=True)
        (job / f"folder {number}" / "inner" / "file").touch()
    (job / "folder 0").chmod(0)
    deepen(job, 300)
    folder.remove(str(job))
    assert not job.exists()
    assert [path.name for path in kept.iterdir()] == ["file"]
