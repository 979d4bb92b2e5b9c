from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from gateway.cli import main
from gateway.cli.options import endpoint_flag
from gateway.config import Config, DrainSettings
from gateway.keys import Keys, key_line
from gateway.ports import holder_of

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"


class ModelServer(ThreadingHTTPServer):
    """Answers /v1/models as a model server does; notes the Authorization headers that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Models)
        self.status = 200
        self.location: str | None = None
        self.body: Any = {"object": "list", "data": [{"id": "served", "object": "model", "max_model_len": 4096}]}
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Models(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        body = json.dumps(self.server.body).encode()
        self.send_response(self.server.status if self.path == "/v1/models" else 404)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `yardstick ARGUMENTS` in an empty folder. An exception that is not an exit fails the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


Run = Callable[..., Result]


def one_pool(url: str, more: str = "") -> str:
    return f"pools:\n  - model: {SHORT}\n    endpoints:\n      - url: {url}\n{more}"


class TestHelp:
    def test_every_command_has_help(self, run: Run) -> None:
        assert run("--help").exit_code == 0
        for name in main.commands:
            result = run(name, "--help")
            assert (result.exit_code, name in result.output) == (0, True)

    def test_version(self, run: Run) -> None:
        assert "0.1.0" in run("--version").output

    def test_as_a_module_without_loading_the_gateway(self) -> None:
        code = "import sys, gateway.cli; sys.exit('litestar' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        assert subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, check=True).stdout


class TestServe:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "yardstick init"),
            (["--endpoint", "http://h"], "expected MODEL=URL"),
            (["--endpoint", "a=h:1"], "http:// or https://"),
            (["--endpoint", "a=http://h,key=sk-secret"], "only ,key-env=NAME may follow"),
            (["--endpoint", "a=http://u:sk-secret@h"], "no user name or password"),
            (["--endpoint", "a=http://h:9-8"], "ports 9-8 are no range"),
            (["--endpoint", "a=http://h:1-65535,key-env=sk-secret"], "no range of at most 64"),
            (["--config", "nowhere.yaml"], "does not exist"),
            (["--endpoint", f"{SHORT}=http://h", "--port", "70000"], "70000"),
        ],
    )
    def test_a_wrong_command_line(self, run: Run, arguments: list[str], says: str) -> None:
        result = run("serve", *arguments)
        assert result.exit_code == 2
        assert says in result.output
        assert "sk-secret" not in result.output

    @pytest.mark.parametrize("host", ["h", "[::1]"])
    def test_a_range_of_ports_is_an_endpoint_each(self, host: str) -> None:
        found = endpoint_flag(f"{SHORT}=http://{host}:8001-8003/v1,key-env=KEY")
        expected = [(SHORT, f"http://{host}:{port}/v1", "KEY") for port in (8001, 8002, 8003)]
        assert [(model, settings.url, settings.api_key_env) for model, settings in found] == expected

    def test_a_key_instead_of_its_variable_is_not_repeated(self, run: Run) -> None:
        result = run("serve", "--endpoint", f"{SHORT}=http://h,key-env=sk-secret")
        assert result.exit_code == 1
        assert "never the key itself" in result.output
        assert "sk-secret" not in result.output

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_without_keys_only_loopback_is_bound(self, run: Run, host: str) -> None:
        result = run("serve", "--endpoint", f"{SHORT}=http://h", "--host", host)
        assert result.exit_code == 1
        assert "--host: " in result.output
        assert "yardstick keys new" in result.output

    def test_a_taken_port_says_who_holds_it(self, run: Run, taken_port: int) -> None:
        result = run("serve", "--endpoint", f"{SHORT}=http://h", "--port", str(taken_port))
        assert result.exit_code == 1
        assert f"port {taken_port} on 127.0.0.1 is taken by pid {os.getpid()} (" in result.output
        assert "--port" in result.output

    def test_a_port_taken_on_all_addresses(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text(key_line("a", "a-long-enough-key") + "\n")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = str(listener.getsockname()[1])
            command = [
                "serve",
                "--endpoint",
                f"{SHORT}=http://h",
                "--host",
                "0.0.0.0",
                "--port",
                port,
                "--api-key-file",
                "keys",
            ]
            assert f"is taken by pid {os.getpid()}" in run(*command).output

    def test_a_foreign_address(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text(key_line("a", "a-long-enough-key") + "\n")
        result = run("serve", "--endpoint", f"{SHORT}=http://h", "--host", "192.0.2.1", "--api-key-file", "keys")
        assert (result.exit_code, "no address of this machine" in result.output) == (1, True)

    def test_a_file_that_is_no_tokenizer(self, tmp_path: Path) -> None:
        (tmp_path / "t.json").write_text("{}")
        (tmp_path / "c.yaml").write_text(one_pool("http://h", "    tokenizer: t.json\nport: 0\n"))
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "c.yaml")]
        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert str(tmp_path / "t.json") in result.stderr

    def test_it_serves(self, tmp_path: Path, model_server: ModelServer) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        endpoint = f"{SHORT}={model_server.url}"
        command = [sys.executable, "-m", "gateway", "serve", "--endpoint", endpoint, "--port", port]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                lines = iter(process.stderr.readline, "")
                mapping = next((line for line in lines if "serves 'served', window 4,096" in line), None)
            finally:
                process.terminate()
        assert mapping is not None
        assert mapping.startswith(SHORT)
        assert process.returncode in (0, -15)

    def test_a_wrong_file_is_told_with_its_lines(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text(one_pool("http://h", "prot: 1\n"))
        result = run("serve", "--config", "c.yaml")
        assert result.exit_code == 1
        assert result.output.startswith("c.yaml:5:1: prot: unknown key (did you mean 'port'?)")


def test_the_holder_is_another_process() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        holder = holder_of("127.0.0.1", port)
        assert holder is not None
        assert (holder.pid, "socket.create_server" in holder.command) == (process.pid, True)
        process.communicate("\n")
    assert holder_of("127.0.0.1", port) is None


class TestInit:
    def test_check_accepts_what_init_writes(self, run: Run, tmp_path: Path) -> None:
        assert run("init").exit_code == 0
        assert (tmp_path / "yardstick.yaml").read_text().startswith("# ")
        result = run("check", "--offline")
        assert (result.exit_code, "yardstick.yaml: fine" in result.output) == (0, True)

    def test_it_overwrites_only_when_told(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("mine")
        result = run("init", "mine.yaml")
        assert (result.exit_code, "--force" in result.output) == (1, True)
        assert (tmp_path / "mine.yaml").read_text() == "mine"
        assert run("init", "mine.yaml", "--force").exit_code == 0
        assert "pools:" in (tmp_path / "mine.yaml").read_text()

    def test_a_folder_that_is_not_there(self, run: Run) -> None:
        result = run("init", "none/y.yaml")
        assert (result.exit_code, "cannot be written" in result.output) == (1, True)


class TestCheck:
    def test_problems_have_positions(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text(one_pool("http://h", "prot: 1\nport: 1\nport: 2\n"))
        result = run("check", "--config", "c.yaml")
        assert result.exit_code == 1
        assert result.output.splitlines() == [
            "c.yaml:5:1: prot: unknown key (did you mean 'port'?)",
            "c.yaml:7:1: port: given twice, first on line 6: drop one",
            "c.yaml: 2 errors",
        ]
        report = json.loads(run("check", "--config", "c.yaml", "--json").output)
        assert report["ok"] is False
        assert [(p["line"], p["column"], p["setting"]) for p in report["problems"]] == [(5, 1, "prot"), (7, 1, "port")]

    def test_no_file(self, run: Run) -> None:
        result = run("check")
        assert (result.exit_code, "yardstick init yardstick.yaml" in result.output) == (1, True)

    def test_it_asks_the_endpoints(
        self, run: Run, tmp_path: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODEL_KEY", "endpoint-key")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        (tmp_path / "c.yaml").write_text(one_pool(model_server.url + "/v1/", "        api_key_env: MODEL_KEY\n"))
        result = run("check", "--config", "c.yaml")
        assert result.exit_code == 0
        assert f"{SHORT} -> {model_server.url}/v1/: served as served, window 4,096" in result.output
        assert f"auto -> always {SHORT}" in result.output
        assert model_server.authorizations == ["Bearer endpoint-key"]
        assert "endpoint-key" not in result.output

    @pytest.mark.parametrize(
        ("status", "body", "says"),
        [
            (401, {}, "wants an API key"),
            (500, {}, "answers 500"),
            (302, {}, "answers 302"),
            (200, [], "list of models"),
            (200, {"data": [{"id": "a"}, {"id": "b"}]}, "served_name"),
        ],
    )
    def test_an_endpoint_that_is_no_use_is_a_warning(
        self, run: Run, tmp_path: Path, model_server: ModelServer, status: int, body: Any, says: str
    ) -> None:
        model_server.status, model_server.body = status, body
        model_server.location = "http://127.0.0.1:1/elsewhere" if status == 302 else None
        (tmp_path / "c.yaml").write_text(one_pool(model_server.url))
        result = run("check", "--config", "c.yaml", "--json")
        report = json.loads(result.output)
        assert (result.exit_code, report["ok"]) == (0, True)
        assert [p["severity"] for p in report["problems"]] == ["warning"]
        assert says in report["problems"][0]["message"]

    def test_an_endpoint_that_is_down_is_a_warning(self, run: Run, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            url = f"http://127.0.0.1:{gone.getsockname()[1]}"
        (tmp_path / "c.yaml").write_text(one_pool(url))
        result = run("check", "--config", "c.yaml")
        assert (result.exit_code, "cannot be reached: Connection refused" in result.output) == (0, True)

    def test_a_window_larger_than_the_servers_is_a_warning(
        self, run: Run, tmp_path: Path, model_server: ModelServer
    ) -> None:
        (tmp_path / "c.yaml").write_text(one_pool(model_server.url, "    window: 5000\n"))
        result = run("check", "--config", "c.yaml")
        assert (result.exit_code, "has a window of 4096 tokens" in result.output) == (0, True)


class TestRoute:
    @pytest.mark.parametrize(
        ("body", "says"),
        [("", "it is empty"), ('{"a":', "line 1 column 6"), ("[]", "JSON object"), ("\x00", "not JSON")],
    )
    def test_a_body_that_is_no_request(self, run: Run, body: str, says: str) -> None:
        result = run("route", "--endpoint", f"{SHORT}=http://127.0.0.1:1", stdin=body)
        assert (result.exit_code, says in result.output) == (1, True)

    def test_the_decision_is_one_json_object(self, run: Run, tmp_path: Path, model_server: ModelServer) -> None:
        body = {"model": "auto", "messages": [{"role": "user", "content": "reverse a list"}], "max_tokens": 16}
        (tmp_path / "request.json").write_text(json.dumps(body))
        endpoints = ("--endpoint", f"{SHORT}={model_server.url}", "--endpoint", f"{LONG}={model_server.url}")
        decision = json.loads(run("route", *endpoints, "request.json").stdout)
        assert decision["model"] == SHORT
        unknown = run("route", *endpoints, stdin=json.dumps(body | {"model": "nothing"}))
        assert (unknown.exit_code, "nothing" in unknown.output) == (1, True)


class TestKeys:
    def test_new_prints_a_key_and_its_line(self, run: Run, tmp_path: Path) -> None:
        result = run("keys", "new", "alice")
        key, line = result.stdout.splitlines()
        assert line == key_line("alice", key)

    def test_new_appends_to_a_private_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "keys").touch(0o600)
        (tmp_path / "keys").unlink()
        alice = run("keys", "new", "alice", "--file", "keys").stdout.strip()
        bob = json.loads(run("keys", "new", "bob", "--file", "keys", "--json").stdout)["key"]
        assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
        keys = Keys.load(tmp_path / "keys")
        assert [keys.name_of(f"Bearer {key}".encode()) for key in (alice, bob)] == ["alice", "bob"]
        assert alice not in (tmp_path / "keys").read_text()

    def test_an_unfinished_last_line_is_ended_first(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("# clients")
        run("keys", "new", "alice", "--file", "keys")
        assert len(Keys.load(tmp_path / "keys")) == 1

    def test_hash_reads_the_key_from_stdin(self, run: Run, tmp_path: Path) -> None:
        result = run("keys", "hash", "alice", stdin="sk-an-existing-key\n")
        assert result.stdout == key_line("alice", "sk-an-existing-key") + "\n"
        assert run("keys", "hash", "alice", "--file", "keys", stdin="sk-an-existing-key\n").exit_code == 0
        twice = run("keys", "hash", "bob", "--file", "keys", stdin="sk-an-existing-key\n")
        assert (twice.exit_code, "under another name" in twice.output) == (1, True)

    def test_what_is_refused(self, run: Run, tmp_path: Path) -> None:
        assert run("keys", "new", "a:b").exit_code == 2
        assert run("keys", "hash", "a", stdin="short\n").exit_code == 1
        run("keys", "new", "alice", "--file", "keys")
        before = (tmp_path / "keys").read_text()
        again = run("keys", "new", "alice", "--file", "keys")
        assert (again.exit_code, "already" in again.output, "sk-ys" in again.output) == (1, True, False)
        assert (tmp_path / "keys").read_text() == before
        (tmp_path / "plain").write_text("sk-plain\n")
        assert "plain:1: " in run("keys", "new", "bob", "--file", "plain").output


class TestSimulate:
    COMMAND: ClassVar = ["engine", "simulate", "--model", SHORT]

    def test_a_taken_port(self, run: Run, taken_port: int) -> None:
        result = run(*self.COMMAND, "--port", str(taken_port))
        assert (result.exit_code, f"is taken by pid {os.getpid()}" in result.output) == (1, True)

    def test_it_starts_with_its_options(self, tmp_path: Path) -> None:
        tokenizer = Tokenizer(WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        options = ["--port", "0", "--window", "4096", "--tokenizer", str(tmp_path / "tokenizer.json"), "--tools"]
        command = [sys.executable, "-m", "gateway", *self.COMMAND, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                started = process.stdout.readline()
            finally:
                process.terminate()
        assert "window 4096 tokens" in started
        assert re.search(rf"{SHORT}.*127\.0\.0\.1:\d+", started)
        assert process.returncode in (0, -15)

    def test_an_unknown_model(self, run: Run, tmp_path: Path) -> None:
        Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "t.json"))
        result = run("engine", "simulate", "--model", "m", "--port", "0", "--tokenizer", "t.json")
        assert (result.exit_code, SHORT in result.output) == (2, True)

    def test_a_file_that_is_no_tokenizer(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text("{}")
        result = run(*self.COMMAND, "--port", "0", "--tokenizer", "tokenizer.json")
        assert (result.exit_code, "tokenizer.json is no tokenizer.json" in result.output) == (1, True)

    def test_a_missing_key_variable(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MODEL_KEY", raising=False)
        result = run(*self.COMMAND, "--port", "0", "--api-key-env", "MODEL_KEY")
        assert (result.exit_code, "not set" in result.output) == (1, True)

    def test_a_cache_that_cannot_be_written(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        result = run(*self.COMMAND, "--port", "0")
        assert (result.exit_code, "--tokenizer" in result.output) == (1, True)


def test_demo_says_who_holds_its_port(run: Run, taken_port: int) -> None:
    result = run("demo", "--port", str(taken_port))
    assert (result.exit_code, "is taken by pid" in result.output) == (1, True)


def test_the_defaults_of_serve_are_the_configs() -> None:
    """The help text names them; this keeps it true."""
    options = {option.name: getattr(option, "help", "") for option in main.commands["serve"].params}
    assert f"default {Config.model_fields['host'].default}" in options["host"]
    assert f"default {Config.model_fields['port'].default}" in options["port"]
    assert f"default {Config.model_fields['workers'].default}" in options["workers"]
    text = main.commands["serve"].help or ""
    assert f"{DrainSettings().grace:g} s at most" in text
    assert f"for {DrainSettings().delay:g} s (drain.delay)" in text
