"""The fork server: warm, trusted and single-threaded. Reads jobs from a socket that nothing hostile ever holds."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import resource
import select
import shutil
import socket
import sys
import time
import traceback
from dataclasses import replace
from typing import Any, NoReturn, Protocol

from . import linux, watch
from .check.known import Standing
from .check.separate import rehearse
from .request import IN_PROCESS, Request, request

_MESSAGE = 1 << 17
_REASON = 2000  # characters
_DESCRIPTORS = 3
_LOOK_EVERY_MS = 50
_ALWAYS = ("unittest", "unittest.mock")


class Walls(Protocol):
    """What a level does; all calls are the server's. ``own``: processes below the server that are no job's."""

    own: frozenset[int]

    def enter(self) -> None: ...
    def seal(self) -> None: ...
    def start(self, request: Request, ready: int) -> int: ...
    def used(self, enough: int) -> int: ...
    def end(self) -> None: ...


def main(settings: dict[str, Any]) -> NoReturn:
    """Serve jobs until the host hangs up. ``settings``: level, socket, preload, and what the level needs."""
    host = socket.socket(fileno=settings["socket"])
    host.set_inheritable(False)
    walls = _walls(settings)
    walls.enter()
    linux.adopt_orphans()
    skipped, threaded = _warm(settings["preload"])
    walls.seal()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    sys.argv = [""]
    _settle()
    _answer(host, {"ready": True, "skipped": skipped, "threaded": threaded})
    _serve(walls, host)


def _serve(walls: Walls, host: socket.socket) -> NoReturn:
    standing: Standing | None = None
    while True:
        message, descriptors, _, _ = socket.recv_fds(host, _MESSAGE, _DESCRIPTORS)
        if not message:
            os._exit(0)  # the host is gone; the jobs' namespaces go with this process
        header = json.loads(message)
        if "find" in header:
            _answer(host, {"missing": [name for name in header["find"] if not _exists(name)]})
            continue
        try:
            job = request(header, descriptors)
            if job.kind == IN_PROCESS and standing is None:  # takes most of a second, once
                standing = Standing()
                _settle()
            answer = _run(walls, replace(job, standing=standing), host)
        except Exception:  # the host is told why, and starts another server
            _answer(host, {"end": "lost", "cpu": 0.0, "wall": 0.0, "reason": traceback.format_exc()[-_REASON:]})
            os._exit(1)
        _answer(host, answer)


def _settle() -> None:
    """Make forks cheap: what there is by now is left alone by their garbage collectors, and lies in large pages."""
    rehearse()
    gc.collect()
    gc.freeze()
    linux.collapse_pages()


def _walls(settings: dict[str, Any]) -> Walls:
    if settings["level"] == "bubblewrap":
        from .namespaces import NamespaceWalls

        return NamespaceWalls(settings)
    from .landlocked import LandlockWalls

    return LandlockWalls(settings)


def _answer(host: socket.socket, answer: dict[str, Any]) -> None:
    try:
        host.send(json.dumps(answer).encode())
    except OSError:
        os._exit(0)


def _warm(modules: list[str]) -> tuple[list[str], list[str]]:
    """Import ``modules``: those that failed, and those that started a thread, which one that forks may not have."""
    _take_font_cache()
    skipped, threaded = [], []
    before = _threads()
    for name in (*_ALWAYS, *modules):
        try:
            importlib.import_module(name)
        except BaseException:
            skipped.append(name)
        if _threads() > before:
            threaded.append(name)
            before = _threads()
    return skipped, threaded


def _take_font_cache() -> None:
    """matplotlib's list of fonts, which takes seconds to make, if it was made along with the environment."""
    made, wanted = os.path.join(sys.prefix, "matplotlib"), os.path.expandvars("$MPLCONFIGDIR")
    if os.path.isdir(made) and not os.path.exists(wanted):
        shutil.copytree(made, wanted)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _exists(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _run(walls: Walls, job: Request, host: socket.socket) -> dict[str, Any]:
    """One job from start to its last process's end."""
    began = time.monotonic()
    meter = watch.CpuMeter()
    hidden = watch.HiddenMemory()
    reaped = _cpu_of_reaped()
    is_ready, ready = os.pipe()
    try:
        first = walls.start(job, ready)
    finally:
        os.close(ready)
        job.close()
    end = _supervise(walls, job, first, meter, hidden, host)
    left = _tree(walls)
    meter.add(left)
    waited = watch.waited(left) if end == "wall" else 0.0
    walls.end()
    os.set_blocking(is_ready, False)
    with open(is_ready, "rb") as file:
        said = file.read() or b""
    cpu = max(meter.add([]), _cpu_of_reaped() - reaped)
    if end == "exited" and cpu >= job.limits.cpu:
        end = "cpu"
    answer = {"end": end, "cpu": cpu, "wall": time.monotonic() - began, "waited": waited}
    if said != b"1":
        answer |= {"end": "lost", "reason": said.decode(errors="replace")}
    return answer


def _cpu_of_reaped() -> float:
    """CPU seconds of all processes that this one, or one of them, has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _supervise(
    walls: Walls, job: Request, first: int, meter: watch.CpuMeter, hidden: watch.HiddenMemory, host: socket.socket
) -> str:
    """How the job ends: its first process is then dead, or still to be killed."""
    deadline = time.monotonic() + job.limits.wall
    ended = os.pidfd_open(first)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(host, select.POLLIN)
        while True:
            left = max(deadline - time.monotonic(), 0) * 1000
            events = dict(poll.poll(min(left, _LOOK_EVERY_MS)))
            if ended in events:
                return "exited"
            if host.fileno() in events:  # no job is sent before the last one's answer: the host hung up
                walls.end()
                os._exit(0)
            over = _over(walls, job, meter, hidden)
            if over or time.monotonic() >= deadline:
                return over or "wall"
    finally:
        os.close(ended)


def _tree(walls: Walls) -> list[watch.Process]:
    """The job's processes."""
    return [process for process in watch.descendants(os.getpid()) if process.pid not in walls.own]


def _over(walls: Walls, job: Request, meter: watch.CpuMeter, hidden: watch.HiddenMemory) -> str | None:
    tree = _tree(walls)
    if meter.add(tree) >= job.limits.cpu:
        return "cpu"
    most = job.limits.memory
    if watch.memory(tree, most) > most or hidden.grown(tree, most):
        return "memory"
    return "files" if walls.used(job.limits.files) > job.limits.files else None
