"""A process that serves: its listener, its event loop, and what signals and changed files make it do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from gateway.app import VERSION, Gateway, Telemetry
from gateway.config import Config
from gateway.downstream import Connection
from gateway.drain import Ending, drain
from gateway.generation import Material
from gateway.reload import PERIOD, Source, Watch, refusal
from gateway.shadow.live.start import shadow_process
from gateway.shadow.tap import Beside
from gateway.telemetry import shared
from gateway.telemetry.log import LineLog
from gateway.telemetry.traces import open_traces
from gateway.workers import Applied, Drain, Listeners, Order, Post, Reload, Supervisor

BACKLOG = 4096
Say = Callable[[str], None]
Job = Callable[[], Coroutine[Any, Any, None]]


def run(source: Source, config: Config) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. Raises ValueError for a tokenizer that can't be used."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    material = Material.read(config)
    listeners = bind(config)
    port = listeners[0][0].getsockname()[1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    with shadow_process(config, port) as beside:
        say(f"yardstick {VERSION} on http://{host}:{port} (API description: /docs)")
        if config.workers == 1:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_alone(source, material, listeners[0], beside))
        return _several(source, material, listeners, beside)


def _several(source: Source, material: Material, listeners: Sequence[Listeners], beside: Beside | None) -> int:
    slots = shared.Slots(len(listeners))

    def work(number: int, given: Material, own: Listeners, post: Post) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_as_worker(number, given, own, post, slots, beside))

    return Supervisor(source, material, listeners, slots, work, say).run()


def say(line: str) -> None:
    """To people, if there are any: a closed pipe must not end the gateway, nor keep it from draining."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode())


def bind(config: Config) -> list[Listeners]:
    """For each worker a socket for each address of the host, all with the same port. Raises ValueError.

    The kernel deals connections out among the workers by a hash of addresses. Several processes that accept from one
    socket share badly: of 64 connections, two got 52 and 12 (measured).
    """
    listeners: list[Listeners] = []
    port = config.port
    try:
        found = socket.getaddrinfo(config.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for _ in range(config.workers):
            own = []
            for family, kind, protocol, _, address in dict.fromkeys(found):
                listener = socket.socket(family, kind, protocol)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if config.workers > 1:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address[0], port, *address[2:]))
                listener.setblocking(False)
                port = listener.getsockname()[1]
                own.append(listener)
            listeners.append(own)
    except OSError as error:
        raise ValueError(f"{config.host}, port {port}, cannot be listened on: {error.strerror}") from None
    return listeners


async def _alone(source: Source, material: Material, listeners: Listeners, beside: Beside | None) -> int:
    """One process, without a supervisor. The exit code."""
    ending = Ending()
    hangup = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    loop.add_signal_handler(signal.SIGTERM, lambda: ending.ask(delayed=True))
    loop.add_signal_handler(signal.SIGINT, lambda: ending.ask(delayed=False))
    log = LineLog(sys.stdout.fileno())
    traces = open_traces(material.config.traces, say)
    gateway = Gateway(material.config, say, log, material=material, beside=beside, traces=traces)
    return await serve(gateway, listeners, ending, say, lambda: follow(source, gateway, hangup, say))


async def _as_worker(
    number: int, material: Material, listeners: Listeners, post: Post, slots: shared.Slots, beside: Beside | None
) -> int:
    """One of several: it is the supervisor who is asked to reload and to end. The exit code."""
    ending = Ending()
    orders: asyncio.Queue[Order] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: ending.ask_once(delayed=True))
    loop.add_reader(post.fileno(), lambda: _take_order(post, orders, ending))

    def tell(news: str | Applied) -> None:
        with contextlib.suppress(OSError):  # nobody is there to hear it
            post.send(news)

    log = LineLog(sys.stdout.fileno(), at_once=select.PIPE_BUF)
    telemetry = _shared_telemetry(number, slots)
    # Here, after the fork; what is told of losses comes from another thread, and the post is this one's.
    traces = open_traces(material.config.traces, lambda line: _call_in(loop, tell, line))
    gateway = Gateway(material.config, tell, log, material=material, telemetry=telemetry, beside=beside, traces=traces)
    return await serve(gateway, listeners, ending, lambda line: None, lambda: _obey(orders, gateway, tell))


def _call_in(loop: asyncio.AbstractEventLoop, tell: Callable[[str], None], line: str) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed: nobody listens any more
        loop.call_soon_threadsafe(tell, line)


def _take_order(post: Post, orders: asyncio.Queue[Order], ending: Ending) -> None:
    try:
        order = post.recv()
    except (EOFError, OSError):  # the supervisor is gone: what comes after it needs the port
        asyncio.get_running_loop().remove_reader(post.fileno())
        order = Drain(delayed=False)
    if isinstance(order, Drain):
        ending.ask_once(delayed=order.delayed)
    else:
        orders.put_nowait(order)


async def _obey(orders: asyncio.Queue[Order], gateway: Gateway, tell: Callable[[str | Applied], None]) -> None:
    while True:
        order = await orders.get()
        if isinstance(order, Reload):
            if await _replace(gateway, order.material.with_counters, tell):
                tell(Applied(order.number))
        else:
            gateway.config_state.reloads["refused"] += 1


def _shared_telemetry(number: int, slots: shared.Slots) -> Telemetry:
    before = slots.read(number)  # what a predecessor in this place has counted

    def publish(registry: CollectorRegistry) -> None:
        slots.write(number, shared.continued(before, shared.snapshot(registry, number)))

    def expose(registry: CollectorRegistry) -> bytes:
        publish(registry)
        return shared.exposition(shared.merged(slots.read_all()))

    return Telemetry(expose, publish)


async def serve(gateway: Gateway, listeners: Listeners, ending: Ending, say: Say, *jobs: Job) -> int:
    """Serves, and does the jobs, until the end is asked for; then drains. The exit code."""
    loop = asyncio.get_running_loop()
    try:
        async with ending.scope(), gateway.running(), asyncio.TaskGroup() as group:
            servers = [
                await loop.create_server(lambda: Connection(gateway), sock=listener, backlog=BACKLOG)
                for listener in listeners
            ]
            tasks = [group.create_task(job()) for job in jobs]
            await ending.asked()
            for task in tasks:
                task.cancel()
            say(f"shutting down; open connections: {len(gateway.connections)}. The next signal ends at once")
            late = await drain(gateway, servers, delayed=ending.delayed)
            if late:
                say(f"{late} answers were not complete after {gateway.config.drain.grace:g} s and ended with an error")
    finally:
        for connection in tuple(gateway.connections):
            connection.transport.abort()
    return ending.exit_code


async def follow(source: Source, gateway: Gateway, hangup: asyncio.Event, say: Say) -> None:
    """Reloads when it is asked to, and when a file has changed."""
    watch = Watch(source.files(gateway.config))
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PERIOD):
                await hangup.wait()
        if hangup.is_set():
            hangup.clear()
            watch.follow(source.files(gateway.config))
        elif not watch.look():
            continue
        if await _replace(gateway, source.read_again, say):
            say(f"{source.name}: reloaded")
            watch.change_to(source.files(gateway.config))


async def _replace(gateway: Gateway, read: Callable[[Material], Material], say: Say) -> bool:
    """Reads in a thread, because a tokenizer takes seconds; all or nothing."""
    try:
        material = await asyncio.to_thread(read, gateway.generation.material)
        await gateway.reload(material)
    except Exception as error:  # whatever is wrong with it, the old one still serves
        gateway.config_state.reloads["refused"] += 1
        if not isinstance(error, ValueError):
            gateway.recorder.log_fault("reload", error)
        say(refusal(error))
        return False
    return True
