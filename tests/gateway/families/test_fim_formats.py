"""The form in which each family wants a gap to be filled, character for character."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from gateway.families import MODELS, FimFormat, Infill, Reference

CODEGEEX = "codegeex4-all-9b"
IQUEST = [name for name in MODELS if name.startswith("iquest")]
FILES = (Reference("a/b.py", "x = 1"), Reference("c.py", ""))


def format_of(name: str) -> FimFormat:
    fim = MODELS[name].fim
    assert fim is not None
    return fim


def test_every_model_of_the_two_families_is_there() -> None:
    assert {model.name: model.hub_id for model in MODELS.values()} == {
        "codegeex4-all-9b": "zai-org/codegeex4-all-9b",
        "codegeex2-6b": "zai-org/codegeex2-6b",
        "iquest-coder-v1-40b-loop-instruct": "IQuestLab/IQuest-Coder-V1-40B-Loop-Instruct",
        "iquest-coder-v1-40b-loop-thinking": "IQuestLab/IQuest-Coder-V1-40B-Loop-Thinking",
        "iquest-coder-v1-40b-instruct": "IQuestLab/IQuest-Coder-V1-40B-Instruct",
        "iquest-coder-v1-40b-thinking": "IQuestLab/IQuest-Coder-V1-40B-Thinking",
        "iquest-coder-v1-14b-instruct": "IQuestLab/IQuest-Coder-V1-14B-Instruct",
        "iquest-coder-v1-7b-instruct": "IQuestLab/IQuest-Coder-V1-7B-Instruct",
    }
    windows = {model.name: model.pool_window for model in MODELS.values()}
    assert windows["codegeex2-6b"] == 8192
    assert windows["codegeex4-all-9b"] == 32_768
    assert {windows[name] for name in IQUEST} == {131_072}


def test_who_can_do_what() -> None:
    assert [model.name for model in MODELS.values() if model.chat_template is None] == ["codegeex2-6b"]
    assert [model.name for model in MODELS.values() if model.fim is None] == ["codegeex2-6b"]


def test_sampling_is_set_only_where_it_is_published() -> None:
    for name in IQUEST:
        published = {"temperature": 0.6, "top_p": 0.85, "top_k": 20} if name.endswith("instruct") else {}
        assert MODELS[name].defaults == published
    assert MODELS["codegeex2-6b"].defaults == {}


def test_codegeex() -> None:
    frame = format_of(CODEGEEX).frame
    assert frame(Infill(prefix="P", suffix="S")) == (
        "[gMASK]<sop><|user|>\n###PATH:\n###LANGUAGE:\n###MODE:BLOCK\n"
        "<|code_suffix|>S<|code_prefix|>P<|code_middle|><|assistant|>\n"
    )
    full = Infill(prefix="P\n", suffix="\nS", path="src/m.py", language="Python", mode="line", references=FILES)
    assert frame(full) == (
        "[gMASK]<sop><|user|>\n###REFERENCE:\n###PATH:a/b.py\nx = 1\n###REFERENCE:\n###PATH:c.py\n\n"
        "###PATH:src/m.py\n###LANGUAGE:Python\n###MODE:LINE\n"
        "<|code_suffix|>\nS<|code_prefix|>P\n<|code_middle|><|assistant|>\n"
    )


@pytest.mark.parametrize("name", IQUEST)
def test_iquest(name: str) -> None:
    frame = format_of(name).frame
    assert frame(Infill(prefix="P", suffix="")) == "<|fim_prefix|>P<|fim_suffix|><|fim_middle|>"
    assert frame(Infill(prefix="P", suffix="S", path="m.py")) == (
        "<|repo_name|>repository\n<|file_sep|>m.py\n<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"
    )
    assert frame(Infill(prefix="P", suffix="S", path="m.py", references=FILES)) == (
        "<|repo_name|>repository\n<|file_sep|>a/b.py\nx = 1\n<|file_sep|>c.py\n\n<|file_sep|>m.py\n"
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"
    )


@pytest.mark.parametrize("model", [model for model in MODELS.values() if model.fim], ids=lambda model: model.name)
def test_the_frame_is_made_of_marks_that_are_special_and_that_the_client_may_not_write(model) -> None:
    """What the tokenizer takes for one token in an empty frame is a mark, or stands at the very beginning."""
    frame = model.fim.frame(Infill(prefix="", suffix="", path="x", references=FILES))
    beginning = "[gMASK]<sop>"
    special = [token for token in model.special_tokens if token in frame.removeprefix(beginning)]
    assert special
    assert set(special) <= set(model.fim.markers)
    assert set(model.fim.stops) < set(model.fim.markers) <= set(model.special_tokens)
    assert len(set(model.fim.stop_token_ids)) == len(model.fim.stop_token_ids)


def test_codegeex_begins_with_one_of_each_of_its_first_tokens_and_stops_at_every_special_one() -> None:
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if not data:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no GLM-4 vocabulary")
    from tokenizers import Tokenizer

    source = gzip.decompress((Path(data) / "tokenizers" / "glm4" / "tokenizer.json.gz").read_bytes())
    fim = format_of(CODEGEEX)
    added = {token["content"]: token["id"] for token in json.loads(source)["added_tokens"]}
    ids = Tokenizer.from_str(source.decode()).encode(
        fim.frame(Infill(prefix="P", suffix="S")), add_special_tokens=fim.fields["add_special_tokens"]
    )
    assert ids.ids[:3] == [added["[gMASK]"], added["<sop>"], added["<|user|>"]]
    assert ids.ids.count(added["[gMASK]"]) == ids.ids.count(added["<sop>"]) == 1
    assert sorted(fim.stop_token_ids) == sorted(added.values())


def test_iquest_stops_at_every_special_token_whose_id_is_known() -> None:
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if not data:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no recorded token ids")
    known = json.loads((Path(data) / "models" / "iquest-token-ids.json").read_text())["known_ids"]
    for name in IQUEST:
        assert set(known.values()) - set(format_of(name).stop_token_ids) == {known["<unk>"]}
