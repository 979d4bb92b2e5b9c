from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config import Config, EndpointSettings, Settings, cache_dir
from gateway.config_document import ConfigError, Problem
from gateway.config_file import Flags, load, without_empty_sections
from gateway.config_problems import is_loopback
from gateway.config_schema import settings_in
from gateway.config_template import template
from gateway.keys import key_line

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
POOLS = f"""\
pools:
  - model: {SHORT}
    endpoints: [{{url: "http://127.0.0.1:9001"}}]
  - model: {LONG}
    endpoints: [{{url: "http://127.0.0.1:9002/v1/"}}]
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "yardstick.yaml"


def problems(path: Path, text: str, flags: Flags | None = None) -> list[Problem]:
    path.write_text(text)
    try:
        return list(load(path, flags or Flags()).warnings)
    except ConfigError as error:
        return list(error.problems)


def only(path: Path, text: str, flags: Flags | None = None) -> Problem:
    found = problems(path, text, flags)
    assert len(found) == 1, found
    return found[0]


def flag(model: str, url: str, **more: Any) -> tuple[str, EndpointSettings]:
    return model, EndpointSettings(url=url, **more)


class TestEndpoint:
    @pytest.mark.parametrize(
        ("url", "base"),
        [
            ("http://h:1", "http://h:1"),
            ("http://h:1/", "http://h:1"),
            ("http://h:1/v1", "http://h:1"),
            ("https://h/v1/", "https://h"),
            ("https://h/models/v1", "https://h/models"),
            ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ],
    )
    def test_with_or_without_v1(self, url: str, base: str) -> None:
        assert EndpointSettings(url=url).base_url == base

    @pytest.mark.parametrize(
        "url",
        [
            "h:1",
            "ftp://h",
            "http://",
            "http://u:p@h",
            "http://h?x=1",
            "http://h#x",
            "http://h:0",
            "http://h:x",
            "http://a b",
        ],
    )
    def test_no_address(self, url: str) -> None:
        with pytest.raises(ValidationError):
            EndpointSettings(url=url)

    def test_its_key_is_in_the_file_or_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_KEY", "from-env")
        assert EndpointSettings(url="http://h").key() is None
        assert EndpointSettings(url="http://h", api_key_env="MODEL_KEY").key() == "from-env"
        endpoint = EndpointSettings.model_validate({"url": "http://h", "api_key": "a-secret"})
        assert endpoint.key() == "a-secret"
        assert "a-secret" not in repr(endpoint)

    def test_an_error_does_not_quote_the_key(self) -> None:
        with pytest.raises(ValidationError) as caught:
            EndpointSettings.model_validate({"url": "http://h", "api_key": "a-secret", "api_key_env": "X"})
        assert "a-secret" not in str(caught.value)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "yardstick"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "yardstick"


class TestTemplate:
    def test_it_is_accepted_and_means_the_defaults(self, config_file: Path) -> None:
        assert problems(config_file, template()) == []
        config = load(config_file, Flags()).config
        assert config == Config.model_validate({"pools": [pool.model_dump() for pool in config.pools]})
        assert [pool.model for pool in config.pools] == [config.routing.short, config.routing.long]

    def test_every_setting_appears(self) -> None:
        def names(settings: type[Settings]) -> set[str]:
            inner = [settings_in(field.annotation) for field in settings.model_fields.values()]
            return set(settings.model_fields).union(*(names(one) for one in inner if one))

        written = set(re.findall(r"^ *(?:- )?#?([a-z][a-z0-9_]*):", template(), re.MULTILINE))
        assert names(Config) <= written

    def test_taking_away_one_hash_leaves_a_valid_file(self) -> None:
        lines = template().splitlines()
        commented = [number for number, line in enumerate(lines) if re.match(r" *#[a-z]", line)]
        assert len(commented) > 25
        for number in commented:
            text = "\n".join([*lines[:number], lines[number].replace("#", "", 1), *lines[number + 1 :]])
            Config.model_validate(without_empty_sections(yaml.safe_load(text), Config))


class TestPositions:
    @pytest.mark.parametrize(
        ("text", "position", "says"),
        [
            ("prot: 1\n", (6, 1), r"^prot: unknown key \(did you mean 'port'\?\)"),
            ("limits:\n  body_byte: 1\n", (7, 3), "did you mean 'body_bytes'"),
            ("threshold: 1\n", (6, 1), "unknown key here: it belongs to routing"),
            ("zzz: 1\n", (6, 1), "known here: host, port"),
            ("port: '8080'\n", (6, 7), "not the text '8080': write 8080 without quotes"),
            ("port: yes\n", (6, 7), "not the yes-or-no value true"),
            ("port: 70000\n", (6, 7), "less than or equal to 65535, not 70000"),
            ("timeouts: {total: 2, connect: -1}\n", (6, 31), "greater than 0, not -1"),
            ("routing: {exact: Near}\n", (6, 18), "should be 'near' or 'always', not the text 'Near'"),
            ("routing: 3\n", (6, 10), "routing: should be an object, not 3"),
            ("aliases: {a: 4}\n", (6, 14), "put it in quotes"),
            ("aliases: {a: nothing}\n", (6, 14), f"no pool serves 'nothing': an alias stands for one of auto, {SHORT}"),
            ("aliases: {a: b, b: auto}\n", (6, 10), "names another alias"),
            (f"aliases: {{{SHORT}: auto}}\n", (6, 29), "is a model already"),
            ("routing: {short: codegeex4-all}\n", (6, 18), f"did you mean '{SHORT}'"),
            ("host: 127.0.0.1\nhost: 127.0.0.1\n", (7, 1), "given twice, first on line 6"),
            ("host: 0.0.0.0\n", (6, 7), "yardstick keys new"),
            ("api_key_file: nowhere\n", (6, 15), "No such file"),
            ("limits: [\n", (7, 1), "is not YAML"),
            ("\tport: 1\n", (6, 1), "spaces, not tabs"),
        ],
    )
    def test_one_problem(self, config_file: Path, text: str, position: tuple[int, int], says: str) -> None:
        problem = only(config_file, POOLS + text)
        assert (problem.file, problem.line, problem.column) == (str(config_file), *position)
        assert re.search(says, str(problem).removeprefix(f"{config_file}:{position[0]}:{position[1]}: "))

    @pytest.mark.parametrize(
        ("text", "position", "says"),
        [
            ("", (1, 1), "has to hold settings"),
            ("- a\n", (1, 1), "not a list"),
            ("port: 1\n", (1, 1), "pools: is missing; `yardstick init`"),
            ("pools: []\n", (1, 8), "needs at least one entry"),
            ("pools: [{model: codegeex4-all-9b}]\n", (1, 9), "endpoints: is missing"),
            ("pools: [{model: codegeex4-all-9b, endpoints: [{url: 'h:1'}]}]\n", (1, 53), "http:// or https://"),
            (
                "pools: [{model: codegeex4-all-9b, endpoints: [{url: http://h, api_key: k, api_key_env: K}]}]\n",
                (1, 47),
                "keep one",
            ),
            (
                "pools: [{model: codegeex4-all-9b, endpoints: [{url: http://h}, {url: http://h/v1}]}]\n",
                (1, 70),
                "twice",
            ),
            (
                "pools: [{model: codegeex4-all-9b, tokenizer: ./no.json, endpoints: [{url: http://h}]}]\n",
                (1, 46),
                "cannot be read",
            ),
            ("pools: [{model: auto, endpoints: [{url: http://h}]}]\n", (1, 17), "name the model"),
            ("pools: [{model: codegeex4, endpoints: [{url: http://h}]}]\n", (1, 17), f"did you mean '{SHORT}'"),
            ("a: &a [*a]\n", (1, 1), "refers to itself"),
            ("? [a]\n: 1\n", (1, 3), "unhashable key"),
        ],
    )
    def test_pools(self, config_file: Path, text: str, position: tuple[int, int], says: str) -> None:
        problem = only(config_file, text)
        assert (problem.line, problem.column) == position
        assert says in str(problem)

    def test_all_are_said_at_once_in_order(self, config_file: Path) -> None:
        text = POOLS + "prot: 1\nhost: 0.0.0.0\naliases: {a: b}\nhost: 0.0.0.0\n"
        assert [problem.line for problem in problems(config_file, text)] == [6, 8, 9, 9]

    def test_a_second_pool_for_a_model(self, config_file: Path) -> None:
        text = POOLS + f"  - model: {SHORT}\n    endpoints: [{{url: http://h}}]\n"
        assert (only(config_file, text).line, only(config_file, text).setting) == (6, "pools[2].model")

    def test_a_threshold_above_the_window_is_a_warning(self, config_file: Path) -> None:
        text = POOLS.replace("    endpoints", "    window: 4096\n    endpoints", 1)
        assert only(config_file, text + "routing: {threshold: 5000}\n").severity == "warning"

    @pytest.mark.parametrize("secret", ["sk-a-very-secret-key", "12345678"])
    def test_a_key_is_never_quoted(self, config_file: Path, secret: str) -> None:
        for setting in (f"api_key: [{secret}]", f"api_key: {{a: {secret}}}", f"api_key_env: '{secret}'"):
            problem = only(
                config_file, f"pools: [{{model: codegeex4-all-9b, endpoints: [{{url: http://h, {setting}}}]}}]\n"
            )
            assert secret not in str(problem)

    def test_a_missing_variable_is_named(self, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = "pools: [{model: codegeex4-all-9b, endpoints: [{url: http://h, api_key_env: MODEL_KEY}]}]\n"
        monkeypatch.delenv("MODEL_KEY", raising=False)
        assert "MODEL_KEY is not set" in only(config_file, text).message
        monkeypatch.setenv("MODEL_KEY", "x")
        assert problems(config_file, text) == []

    @pytest.mark.parametrize(
        "value", ["2026-99-99", "[" * 2000 + "]" * 2000, ".nan", "9" * 5000, "2026-01-01", "!!binary aGk="]
    )
    def test_odd_values_are_errors(self, config_file: Path, value: str) -> None:
        assert only(config_file, POOLS + f"port: {value}\n").severity == "error"

    @settings(deadline=None)
    @given(text=st.text(max_size=60) | st.text(alphabet="pools: []{}&*-\n\"'!<", max_size=60))
    def test_no_text_is_a_traceback(self, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_bytes(text.encode("utf-8", "replace"))
        with pytest.raises(ConfigError):
            load(path, Flags())


class TestLoading:
    def test_one_pool_is_both_routes(self, config_file: Path) -> None:
        assert (
            problems(
                config_file,
                "pools: [{model: codegeex4-all-9b, endpoints: [{url: http://h}]}]\nrouting: {threshold: 5}\n",
            )
            == []
        )
        routing = load(config_file, Flags()).config.routing
        assert (routing.short, routing.long, routing.threshold) == (SHORT, SHORT, 5)

    def test_flags_alone(self) -> None:
        flags = Flags(
            port=1, threshold=9, endpoints=(flag(LONG, "http://b"), flag(SHORT, "http://a"), flag(LONG, "http://c"))
        )
        config = load(None, flags).config
        assert {pool.model: [e.url for e in pool.endpoints] for pool in config.pools} == {
            LONG: ["http://b", "http://c"],
            SHORT: ["http://a"],
        }
        assert (config.port, config.routing.threshold, config.routing.short) == (1, 9, SHORT)

    def test_flags_override_the_file_and_keep_the_rest(self, config_file: Path) -> None:
        text = POOLS.replace("    endpoints", "    window: 4096\n    endpoints", 1)
        config_file.write_text(text + "port: 1\nrouting: {threshold: 1, reserve_output: 7}\n")
        endpoints = (flag(SHORT, "http://other"),)
        config = load(config_file, Flags(port=2, threshold=3, endpoints=endpoints)).config
        assert (config.port, config.routing.threshold, config.routing.reserve_output) == (2, 3, 7)
        assert [pool.model for pool in config.pools] == [SHORT, LONG]
        assert (config.pools[0].window, config.pools[0].endpoints[0].url) == (4096, "http://other")

    def test_a_wrong_flag_is_not_blamed_on_the_file(self, config_file: Path) -> None:
        problem = only(config_file, POOLS + "host: 127.0.0.1\n", Flags(host="0.0.0.0"))
        assert (problem.setting, problem.file) == ("--host", None)
        endpoints = (flag(SHORT, "http://h", api_key_env="NO_SUCH_VARIABLE"),)
        assert only(config_file, POOLS, Flags(endpoints=endpoints)).setting == "--endpoint"

    def test_a_file_without_pools_is_completed_by_flags(self, config_file: Path) -> None:
        config_file.write_text("port: 1\n")
        assert load(config_file, Flags(endpoints=(flag(LONG, "http://h"),))).config.pools[0].model == LONG

    def test_an_unknown_model_in_a_flag(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load(None, Flags(endpoints=(flag("a", "http://a"), flag(SHORT, "http://b"))))
        assert [problem.setting for problem in caught.value.problems] == ["--endpoint"]

    def test_with_a_key_file_any_address_may_be_bound(self, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (config_file.parent / "keys").write_text(key_line("alice", "a-long-enough-key") + "\n")
        monkeypatch.chdir("/")
        # Its path is relative to the configuration, not to the current folder.
        assert problems(config_file, POOLS + "host: 0.0.0.0\napi_key_file: keys\n") == []
        assert load(config_file, Flags()).config.api_key_file == str(config_file.parent / "keys")

    def test_anchors_and_merge_keys_work(self, config_file: Path) -> None:
        text = "pools:\n  - &one {model: codegeex4-all-9b, endpoints: [{url: http://h}]}\n"
        text += f"  - {{<<: *one, model: {LONG}}}\n"
        assert problems(config_file, text) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_paths_of_shadow_eval_are_relative_to_the_file(config_file: Path) -> None:
    config_file.write_text(
        "pools: [{model: codegeex4-all-9b, endpoints: [{url: http://h}]}]\n"
        "shadow: {suites: [five, own.jsonl], environment: ./scoring,"
        " canary: {suite: c.jsonl, inflation: {folder: f}}}\n"
    )
    shadow, folder = load(config_file, Flags()).config.shadow, config_file.resolve().parent
    assert shadow is not None
    assert (shadow.suites, shadow.environment) == (("five", f"{folder}/own.jsonl"), f"{folder}/scoring")
    assert shadow.canary == {"suite": f"{folder}/c.jsonl", "inflation": {"folder": f"{folder}/f"}}
