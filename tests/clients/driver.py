"""Runs the official Python client as it is told to, one JSON line a command: ``driver.py sync`` or ``async``.

The protocol: see official.py. A sync call can be aborted between two chunks only, as in any program.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any

import openai

_writing = Lock()


def say(line: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def describe(error: BaseException) -> dict[str, Any]:
    named = {"class": type(error).__name__, "message": str(error)}
    fields = {"status": "status_code", "code": "code", "param": "param", "type": "type", "body": "body"}
    return named | {name: getattr(error, attribute, None) for name, attribute in fields.items()}


def bind(client: Any, command: dict[str, Any]) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
    """The client's function with what to give it. Fields it has no parameter for go into ``extra_body``."""
    *path, name = command["operation"].split(".")
    resource = client
    for part in path:
        resource = getattr(resource, part)
    known = inspect.signature(getattr(resource, name)).parameters
    given: list[Any] = []
    keywords: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for argument in command["arguments"]:
        if isinstance(argument, dict):
            keywords |= {key: value for key, value in argument.items() if key in known}
            extra |= {key: value for key, value in argument.items() if key not in known}
        else:
            given.append(argument)
    options = command["options"]
    if extra:
        keywords["extra_body"] = extra
    if "timeout" in options:
        keywords["timeout"] = options["timeout"]
    if "headers" in options:
        keywords["extra_headers"] = options["headers"]
    function = getattr(resource if name == "stream" else resource.with_raw_response, name)
    return function, given, keywords


def answer_of(number: int, raw: Any) -> dict[str, Any]:
    return {"id": number, "answer": raw.parse().to_dict(mode="json"), "headers": dict(raw.headers)}


def run_sync(command: dict[str, Any], aborted: Event) -> None:
    number = command["id"]
    with openai.OpenAI(**command["client"]) as client:
        function, given, keywords = bind(client, command)
        if command["operation"].endswith(".stream"):
            with function(*given, **keywords) as helper:
                final = helper.get_final_completion()
            say({"id": number, "answer": final.to_dict(mode="json"), "headers": {}})
            return
        raw = function(*given, **keywords)
        if keywords.get("stream") is not True:
            say(answer_of(number, raw))
            return
        say({"id": number, "headers": dict(raw.headers)})
        with raw.parse() as stream:
            for chunk in stream:
                say({"id": number, "chunk": chunk.to_dict(mode="json")})
                if aborted.is_set():
                    stream.close()
                    say({"id": number, "error": {"class": "Aborted"}})
                    return
        say({"id": number, "end": True})


async def run_async(command: dict[str, Any]) -> None:
    number = command["id"]
    async with openai.AsyncOpenAI(**command["client"]) as client:
        function, given, keywords = bind(client, command)
        if command["operation"].endswith(".stream"):
            async with function(*given, **keywords) as helper:
                final = await helper.get_final_completion()
            say({"id": number, "answer": final.to_dict(mode="json"), "headers": {}})
            return
        raw = await function(*given, **keywords)
        if keywords.get("stream") is not True:
            say(answer_of(number, raw))
            return
        say({"id": number, "headers": dict(raw.headers)})
        async with raw.parse() as stream:
            async for chunk in stream:
                say({"id": number, "chunk": chunk.to_dict(mode="json")})
        say({"id": number, "end": True})


async def report_async(command: dict[str, Any]) -> None:
    try:
        await run_async(command)
    except asyncio.CancelledError:
        say({"id": command["id"], "error": {"class": "Aborted"}})
    except Exception as error:
        say({"id": command["id"], "error": describe(error)})


def report_sync(command: dict[str, Any], aborted: Event) -> None:
    try:
        run_sync(command, aborted)
    except Exception as error:
        say({"id": command["id"], "error": describe(error)})


async def main_async() -> None:
    running: dict[int, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if "abort" in command:
                running[command["abort"]].cancel()
            else:
                running[command["id"]] = group.create_task(report_async(command))


def main_sync() -> None:
    running: dict[int, Event] = {}
    for line in sys.stdin:
        command = json.loads(line)
        if "abort" in command:
            running[command["abort"]].set()
        else:
            aborted = running[command["id"]] = Event()
            Thread(target=report_sync, args=(command, aborted), daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1:] == ["async"]:
        asyncio.run(main_async())
    else:
        main_sync()
