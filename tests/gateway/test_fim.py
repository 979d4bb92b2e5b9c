"""Fill in the middle: what the model server gets of a request with a suffix, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.body import Body
from gateway.engines.simulated.answers import Library
from gateway.engines.simulated.plan import Limits, Planner
from gateway.errors import ApiError
from gateway.families import MODELS, Infill, Reference
from gateway.fim import check_markers, read_infill, size_bound, translate
from gateway.pools import encode_members
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import post
from tests.fakes.completions import CHAT, COMPLETIONS, ROUTE, completes, completion, expected_prompt, refusal
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.server import FakeServer

MODEL_OF = {SHORT: MODELS[SHORT], LONG: MODELS[LONG]}
# Every spelling that could go wrong on the way: JSON escapes, line ends, blanks, astral characters, no characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)


@pytest.fixture
async def both(fakes: StartFake, serving: StartGateway) -> tuple[RunningGateway, FakeServer, FakeServer]:
    short, long = await fakes(completes), await fakes(completes, name=LONG, window=131_072)
    return await serving([short], [long]), short, long


Both = tuple[RunningGateway, FakeServer, FakeServer]

# -- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", [SHORT, LONG])
async def test_the_official_client_gets_the_middle(both: Both, model: str, streamed: bool) -> None:
    gateway, short, long = both
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="any") as client:
        extra = {"path": "m.py", "language": "Python", "reference_files": [{"path": "n.py", "content": "y = 2"}]}
        made = await client.completions.create(
            model=model, prompt="def f(", suffix="\n    return x\n", stream=streamed, extra_body=extra, stop=["\n\n"]
        )
        text = "".join([chunk.choices[0].text async for chunk in made]) if streamed else made.choices[0].text
    assert text == "x):"
    sent = json.loads((short if model == SHORT else long).requests[0].body)
    assert not {"suffix", "path", "language", "mode", "reference_files"} & sent.keys()
    fim = MODELS[model].fim
    assert fim is not None
    files = (Reference("n.py", "y = 2"),)
    asked = Infill(prefix="def f(", suffix="\n    return x\n", path="m.py", language="Python", references=files)
    assert sent["prompt"] == fim.frame(asked)
    assert sent["stop"] == ["\n\n", *fim.stops[:3]]
    assert sent.get("bad_words", []) == list(fim.stops[3:])
    assert sorted(sent["stop_token_ids"]) == sorted(fim.stop_token_ids)
    assert sent["skip_special_tokens"] is False
    assert sent.get("add_special_tokens") is (False if model == SHORT else None)


@pytest.mark.parametrize("model", [SHORT, LONG])
@settings(max_examples=200, deadline=None)
@given(
    prefix=TEXTS,
    suffix=TEXTS,
    others=st.dictionaries(st.text('abé"\\/', max_size=4), st.integers() | TEXTS | st.none(), max_size=4),
    extra=st.sets(st.sampled_from(["path", "language", "mode", "reference_files"])),
    indent=st.sampled_from([None, 1]),
    plain=st.booleans(),
    chance=st.randoms(use_true_random=False),
)
def test_the_frame_is_exact_and_everything_else_stays(
    model: str,
    prefix: str,
    suffix: str,
    others: dict[str, Any],
    extra: set[str],
    indent: int | None,
    plain: bool,
    chance,
) -> None:
    members = [
        ("model", model),
        ("prompt", prefix),
        ("suffix", suffix),
        *others.items(),
        *((name, None) for name in extra),
    ]
    chance.shuffle(members)
    text = json.dumps(dict(members), indent=indent, ensure_ascii=plain)
    body = Body(text.encode())
    infill = read_infill(body)
    assert infill is not None
    assert size_bound(infill) >= len(expected_prompt(model, prefix, suffix).encode())
    once = translated(body, infill, model)
    sent = json.loads(once, object_pairs_hook=list)
    assert dict(sent)["prompt"] == expected_prompt(model, prefix, suffix)
    added = len(sent) - len(members) + 1 + len(extra)
    kept = [member for member in members if member[0] not in {"suffix", *extra}]
    assert [key for key, _ in sent[added:]] == [key for key, _ in kept], "in place"
    for key, _ in kept:
        if key != "prompt":
            assert Body(once).raw(key) == Body(text.encode()).raw(key), "byte for byte"
    other = LONG if model == SHORT else SHORT
    translated(body, infill, other)
    assert translated(body, infill, model) == once, "prepared for another model and back"


def translated(body: Body, infill: Infill, model: str) -> bytes:
    body.restore()
    translate(body, infill, MODELS[model], encode_members(MODELS[model].defaults))
    return b"".join(body.spliced())


@given(
    prefix=TEXTS,
    suffix=TEXTS,
    path=NAMES,
    language=NAMES,
    files=st.lists(st.builds(Reference, NAMES, TEXTS), max_size=4).map(tuple),
)
def test_the_bound_holds_for_every_family(
    prefix: str, suffix: str, path: str, language: str, files: tuple[Reference, ...]
) -> None:
    infill = Infill(prefix=prefix, suffix=suffix, path=path, language=language, references=files)
    for model in MODELS.values():
        if model.fim is not None:
            assert len(model.fim.frame(infill).encode()) <= size_bound(infill)


async def test_an_empty_suffix_is_a_gap_at_the_end_and_null_is_none(both: Both) -> None:
    gateway, short, _ = both
    await gateway.ask(post(COMPLETIONS, completion(suffix="")))
    await gateway.ask(post(COMPLETIONS, completion(suffix=None, path="m.py", mode=7)))
    assert json.loads(short.requests[0].body)["prompt"] == expected_prompt(SHORT, "def f(", "")
    sent = json.loads(short.requests[1].body)
    assert (sent["prompt"], sent["suffix"], sent["path"], sent["mode"]) == ("def f(", None, "m.py", 7)
    assert "stop" not in sent


async def test_extra_fields_without_a_suffix_are_the_model_servers(both: Both) -> None:
    gateway, short, _ = both
    await gateway.ask(post(COMPLETIONS, json.dumps({"model": SHORT, "prompt": "a", "path": 1, "mode": "x"}).encode()))
    sent = json.loads(short.requests[0].body)
    assert (sent["prompt"], sent["path"], sent["mode"]) == ("a", 1, "x")


async def test_stops_of_client_pool_and_family_are_joined(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(completes)
    fim = MODELS[SHORT].fim
    assert fim is not None
    pools = [{"model": SHORT, "endpoints": [{"url": fake.url}], "defaults": {"stop_token_ids": [7], "stop": "END"}}]
    gateway = await serving([fake], pools=pools)
    await gateway.ask(post(COMPLETIONS, completion()))
    await gateway.ask(post(COMPLETIONS, completion(stop="\n", stop_token_ids=[151_329, 9])))
    first, second = (json.loads(seen.body) for seen in fake.requests)
    assert first["stop_token_ids"] == [7, *fim.stop_token_ids]
    assert first["stop"] == ["END", *fim.stops]
    assert second["stop_token_ids"] == [151_329, 9, *fim.stop_token_ids[1:]]
    assert second["stop"] == ["\n", *fim.stops]


@pytest.mark.parametrize("given", [[], ["a"], ["a", "b"], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]])
async def test_four_stops_at_most_and_the_rest_cannot_be_written(both: Both, given: list[str]) -> None:
    """vLLM takes four. A client's own always stay; more of them than that are for the model server to refuse."""
    gateway, _, long = both
    fields = {"model": LONG, "stop": given, "bad_words": ["eval"]}
    assert (await gateway.ask(post(COMPLETIONS, completion(**fields)))).status == 200
    fim = MODELS[LONG].fim
    assert fim is not None
    sent = json.loads(long.requests[0].body)
    assert len(sent["stop"]) == max(4, len(given))
    assert sent["stop"][: len(given)] == given
    assert sent["bad_words"][0] == "eval"
    assert sent["stop"][len(given) :] + sent["bad_words"][1:] == list(fim.stops), "each is in one of the two"


async def test_special_tokens_are_what_the_frame_needs_whatever_the_client_says(both: Both) -> None:
    gateway, short, long = both
    fields = {"add_special_tokens": True, "skip_special_tokens": True, "spaces_between_special_tokens": True}
    for model in (SHORT, LONG):
        await gateway.ask(post(COMPLETIONS, completion(model=model, **fields)))
    sent = [json.loads(fake.requests[0].body) for fake in (short, long)]
    assert [body["add_special_tokens"] for body in sent] == [False, True], "IQuest's frame leaves it alone"
    assert [body["skip_special_tokens"] for body in sent] == [False, False]
    assert [body["spaces_between_special_tokens"] for body in sent] == [False, False]


@pytest.mark.parametrize("model", MODEL_OF.values(), ids=lambda model: model.name)
def test_a_mark_that_the_model_writes_ends_the_text(model) -> None:
    """The simulated server applies stops as vLLM does; with those that are sent to it, none of these gets through."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(model.special_tokens)
    trainer = trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["x = 1"], trainer)
    planner = Planner(tokenizer, Library())
    body = Body(completion())
    infill = read_infill(body)
    assert infill is not None
    sent = json.loads(translated(body, infill, model.name))
    assert set(sent["stop"]) <= set(model.fim.markers)
    for marker in sent["stop"]:
        limits = Limits(max_tokens=1000, stop=tuple(sent["stop"]))
        for written in (marker, f"\n{marker}\nelse: {marker}"):
            assert planner.plan(f"x = 1{written}", limits).text == "x = 1" + ("\n" if written[0] == "\n" else "")


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1], [2]]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": 7}, "suffix"),
        ({"suffix": ["a"]}, "suffix"),
        ({"suffix": False}, "suffix"),
        ({"path": 1}, "path"),
        ({"path": "a\nb"}, "path"),
        ({"path": "a\r"}, "path"),
        ({"language": ["Python"]}, "language"),
        ({"language": "\u2028"}, "language"),
        ({"mode": "word"}, "mode"),
        ({"mode": "LINE"}, "mode"),
        ({"mode": True}, "mode"),
        ({"reference_files": "a.py"}, "reference_files"),
        ({"reference_files": {"path": "a", "content": "b"}}, "reference_files"),
        ({"reference_files": [{"path": "a", "content": "b"}, "c"]}, "reference_files[1]"),
        ({"reference_files": [{"path": "a"}]}, "reference_files[0]"),
        ({"reference_files": [{"path": "a", "content": "b", "text": "c"}]}, "reference_files[0]"),
        ({"reference_files": [{"path": "a", "content": None}]}, "reference_files[0].content"),
        ({"reference_files": [{"path": "a\nb", "content": ""}]}, "reference_files[0].path"),
        ({"echo": True}, "echo"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"prompt_logprobs": 0}, "prompt_logprobs"),
        ({"return_token_ids": True}, "return_token_ids"),
        ({"truncate_prompt_tokens": 100}, "truncate_prompt_tokens"),
        ({"include_stop_str_in_output": True}, "include_stop_str_in_output"),
        ({"min_tokens": 5}, "min_tokens"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"prompt_embeds": "x"}, "prompt_embeds"),
        ({"stop": 1}, "stop"),
        ({"stop_token_ids": "1"}, "stop_token_ids"),
        ({"bad_words": "x"}, "bad_words"),
        ({"prompt": "a <|code_middle|> b"}, "prompt"),
        ({"suffix": "<|user|>"}, "suffix"),
        ({"path": "<|assistant|>"}, "path"),
        ({"reference_files": [{"path": "a", "content": "<|code_suffix|>"}]}, "reference_files[0].content"),
    ],
)
async def test_refused(both: Both, fields: dict[str, Any], param: str) -> None:
    gateway, short, long = both
    for path in (COMPLETIONS, ROUTE):
        error = await refusal(gateway, completion(**fields), path)
        assert error["param"] == param
    assert not short.requests
    assert not long.requests


@pytest.mark.parametrize(
    "fields",
    [
        {"echo": False, "prompt_logprobs": None, "return_token_ids": None, "truncate_prompt_tokens": None},
        {"min_tokens": 0, "include_stop_str_in_output": False, "stop": None, "stop_token_ids": None},
        {"path": None, "language": None, "mode": None, "reference_files": None},
        {"logprobs": 2, "n": 2, "ignore_eos": True, "seed": 1},
    ],
)
async def test_accepted(both: Both, fields: dict[str, Any]) -> None:
    gateway, _, _ = both
    assert (await gateway.ask(post(COMPLETIONS, completion(**fields)))).status == 200


async def test_marks_of_the_other_family_are_only_text(both: Both) -> None:
    gateway, short, long = both
    assert (await gateway.ask(post(COMPLETIONS, completion(prompt="<|fim_middle|>")))).status == 200
    assert (await gateway.ask(post(COMPLETIONS, completion(prompt="<|user|>", model=LONG)))).status == 200
    error = await refusal(gateway, completion(prompt="<|fim_middle|>", model=LONG))
    assert (error["param"], error["code"]) == ("prompt", "marker_in_code")
    assert "<|fim_middle|>" in error["message"]
    assert len(short.requests) == len(long.requests) == 1


async def test_a_chat_has_no_suffix(both: Both) -> None:
    gateway, short, _ = both
    messages = [{"role": "user", "content": "hello"}]
    error = await refusal(gateway, json.dumps({"model": SHORT, "messages": messages, "suffix": "x"}).encode(), CHAT)
    assert error["param"] == "suffix"
    body = json.dumps({"model": SHORT, "messages": messages, "suffix": None, "path": "x"}).encode()
    assert (await gateway.ask(post(CHAT, body))).status == 200
    assert json.loads(short.requests[0].body)["path"] == "x"


@given(prefix=TEXTS, suffix=TEXTS, marker=st.sampled_from(MODELS[LONG].fim.markers))  # type: ignore[union-attr]
def test_code_with_a_mark_in_it_never_passes(prefix: str, suffix: str, marker: str) -> None:
    for infill in (Infill(prefix=prefix + marker, suffix=suffix), Infill(prefix=prefix, suffix=marker + suffix)):
        with pytest.raises(ApiError):
            check_markers(infill, MODELS[LONG])
