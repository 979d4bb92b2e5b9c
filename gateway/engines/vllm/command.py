"""The `vllm serve` command line of a model, from its family and the settings of its pool. Flags as vLLM 0.32 has them.

Nothing here looks at the machine: the same arguments give the same line, and Kubernetes manifests are made from it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import SecretStr

from gateway.config_engine import EngineSettings
from gateway.engines.vllm.tiny import cache_bytes
from gateway.families import Model

API_KEY = "VLLM_API_KEY"


class LaunchError(ValueError):
    """What is asked for cannot be: the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One server. ``arguments`` are those of the `vllm` command, ``environment`` is to be added to ours.

    A key stands in ``environment`` only. ``files`` have to be written before the start. ``gpus``: how many.
    """

    model: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[Path, str]
    host: str
    port: int
    gpus: int
    tiny: bool


def launch(
    model: Model,
    settings: EngineSettings,
    *,
    host: str,
    port: int,
    gpus: tuple[int, ...] = (),
    weights: str | None = None,
    window: int | None = None,
    tiny: bool = False,
    api_key: SecretStr | None = None,
    folder: Path,
) -> Launch:
    """``gpus``: numbers of those it may use, by default all it can see. ``folder``: where its files will stand.

    ``tiny``: on the CPU, with a tiny checkpoint; then ``weights`` has to be its folder. Otherwise ``weights`` overrides
    the settings. ``window``: tokens of prompt and output, by default the model's for a pool. Raises LaunchError.
    """
    size = server_size(model, settings, tiny=tiny)
    window = window or model.pool_window
    _check(model, size, gpus, window)
    if tiny and weights is None:
        raise ValueError("a tiny server needs the folder of its checkpoint")
    files = _files(model, folder)
    source = weights or settings.weights or model.hub_id
    arguments = (
        *("serve", source, "--served-model-name", model.name, "--host", host, "--port", str(port)),
        *_engine_flags(model, settings, size, window),
        *_model_flags(model, settings, folder, tiny=tiny),
        *_server_flags(settings),
        *(_tiny_flags(model, window) if tiny else ()),
        *settings.flags,
    )
    environment = {**_environment(model, settings, gpus), **(_tiny_environment(size) if tiny else {})}
    if api_key is not None:
        environment[API_KEY] = api_key.get_secret_value()  # never an argument: any user can read those
    return Launch(
        model=model.name,
        arguments=arguments,
        environment=environment,
        files=files,
        host=host,
        port=port,
        gpus=size,
        tiny=tiny,
    )


def server_size(model: Model, settings: EngineSettings, *, tiny: bool) -> int:
    """GPUs of one server; of a tiny one, processes."""
    return settings.tensor_parallel_size or (1 if tiny else model.serving.tensor_parallel)


def groups(gpus: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """The GPUs of each server, ``size`` of them; no GPUs named are one server on what it can see."""
    if not gpus:
        return [()]
    if len(gpus) % size:
        raise LaunchError(
            f"{_several(len(gpus), 'GPU')} cannot be divided into servers of {size}: name a multiple of {size} with"
            " --gpus, or another --tensor-parallel"
        )
    return [tuple(gpus[start : start + size]) for start in range(0, len(gpus), size)]


def shell_line(launch: Launch, vllm: str, secrets: Mapping[str, str]) -> str:
    """The command for a shell. Of ``secrets`` (variables of the server) the variable of ours is printed, in quotes."""
    given = {name: shlex.quote(value) for name, value in launch.environment.items()}
    given |= {name: f'"${variable}"' for name, variable in secrets.items()}
    return " ".join([*(f"{name}={value}" for name, value in given.items()), shlex.join([vllm, *launch.arguments])])


def _check(model: Model, size: int, gpus: tuple[int, ...], window: int) -> None:
    sizes = model.serving.tensor_parallel_sizes
    if size not in sizes:
        raise LaunchError(
            f"{model.name} cannot be spread over {_several(size, 'GPU')}: its tensor parallel sizes are"
            f" {', '.join(map(str, sizes))}"
        )
    if gpus and len(gpus) != size:
        raise LaunchError(f"{_several(len(gpus), 'GPU')} named for a server of {size}")
    if window > model.native_window:
        raise LaunchError(
            f"{model.name} was made for {model.native_window:,} tokens: it cannot have a window of {window:,}"
        )


def _files(model: Model, folder: Path) -> dict[Path, str]:
    files = {}
    if model.chat_template is not None:
        files[_template(model, folder)] = model.chat_template
    if plugin := _plugin(model):
        files[folder / plugin] = resources.files(__package__).joinpath("plugins", plugin).read_text("utf-8")
    return files


def _template(model: Model, folder: Path) -> Path:
    return folder / f"{model.name}.jinja"


def _plugin(model: Model) -> str | None:
    """The name of its file."""
    return f"{model.serving.tool_parser}_tool_parser.py" if model.serving.tool_parser_plugin else None


def _engine_flags(model: Model, settings: EngineSettings, size: int, window: int) -> Iterator[str]:
    yield from ("--tensor-parallel-size", str(size))
    yield from ("--dtype", settings.dtype)
    yield from ("--max-model-len", str(window))
    yield from ("--max-num-batched-tokens", str(settings.max_num_batched_tokens))
    yield from ("--max-num-seqs", str(settings.max_num_seqs))
    # A prompt of the whole window is many steps long: without chunks it would have to fit one. (vLLM's default.)
    yield "--enable-chunked-prefill"
    # vLLM refuses a threshold above the window.
    yield from ("--long-prefill-token-threshold", str(min(settings.long_prefill_token_threshold, window)))
    yield "--enable-prefix-caching" if settings.enable_prefix_caching else "--no-enable-prefix-caching"
    yield from ("--gpu-memory-utilization", str(settings.gpu_memory_utilization))
    yield from ("--kv-cache-dtype", settings.kv_cache_dtype)
    if model.architecture is not None and model.architecture.loops > 1:
        # On by default, but given up in silence where something does not go with it. Asked for, that is an error:
        # a looped model would need twice the KV cache for each token, since its windows of 64 became whole ones.
        yield "--no-disable-hybrid-kv-cache-manager"
    yield from ("--scheduling-policy", settings.scheduling_policy)
    yield from ("--max-num-queued-reqs", str(settings.max_num_queued_reqs))


def _model_flags(model: Model, settings: EngineSettings, folder: Path, *, tiny: bool) -> Iterator[str]:
    serving = model.serving
    # vLLM's default, said because answers hang on it: sampling as the checkpoint's makers recommend where a request
    # says nothing. The gateway adds a family's defaults itself; for a model without any, these are better than none.
    yield from ("--generation-config", "auto")
    if serving.trust_remote_code and not tiny:  # a tiny checkpoint brings no code
        yield "--trust-remote-code"
    if settings.revision is not None and not tiny:
        for flag in ("--revision", "--code-revision", "--tokenizer-revision"):
            yield from (flag, settings.revision)
    if model.chat_template is not None:
        # Ours, not the checkpoint's: the gateway counts with it, and a count has to be exact.
        yield from ("--chat-template", str(_template(model, folder)))
    if serving.tool_parser is not None:
        yield from ("--enable-auto-tool-choice", "--tool-call-parser", serving.tool_parser)
    if plugin := _plugin(model):
        yield from ("--tool-parser-plugin", str(folder / plugin))
    if serving.reasoning_parser is not None:
        yield from ("--reasoning-parser", serving.reasoning_parser)


def _server_flags(settings: EngineSettings) -> Iterator[str]:
    yield "--enable-request-id-headers"  # so that a log line here is found by the id of the gateway's
    yield "--enable-prompt-tokens-details"  # cached tokens in usage: whether affinity works
    yield "--disable-uvicorn-access-log"  # the gateway has a line for each request; probes would drown the rest
    yield from ("--shutdown-timeout", str(settings.shutdown_timeout))
    yield from ("--sse-keep-alive-interval", str(settings.sse_keep_alive_interval))
    if settings.otlp_traces_endpoint is not None:
        yield from ("--otlp-traces-endpoint", settings.otlp_traces_endpoint)


def _tiny_flags(model: Model, window: int) -> Iterator[str]:
    yield "--enforce-eager"  # compiling takes longer than anything that a tiny server is asked
    # Otherwise vLLM takes a share of the machine's memory, whatever else runs on it.
    yield from ("--kv-cache-memory-bytes", str(cache_bytes(model, window)))


def _environment(model: Model, settings: EngineSettings, gpus: tuple[int, ...]) -> dict[str, str]:
    environment = {
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(settings.keep_alive),
        "VLLM_NO_USAGE_STATS": "1",  # vLLM reports to its makers otherwise
    }
    if gpus:
        # CUDA's own order is by speed; nvidia-smi's, by which GPUs are named, is by place.
        environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    if settings.otlp_traces_endpoint is not None:
        environment["OTEL_SERVICE_NAME"] = model.name
    return environment


def _tiny_environment(size: int) -> dict[str, str]:
    environment = {
        "HF_HUB_OFFLINE": "1",  # everything is in the checkpoint's folder
        "TORCH_COMPILE_DISABLE": "1",  # the first request for logprobs would compile for half a minute
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process less, of a gigabyte
    }
    if size > 1:
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(map(str, range(size)))  # a core for each; vLLM finds none
    return environment


def _several(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
