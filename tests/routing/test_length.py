"""The length rule, against every possible answer of a counter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.length import Ask, Count, Counted, Decision, PoolFacts, Rule, TooLong, check, choose

SHORT = PoolFacts("short", 32_768, 1, 100, 3.8)
LONG = PoolFacts("long", 131_072, 1, 400, 3.8)
RULE = Rule()

lengths = st.integers(0, 5_000_000)
outputs = st.integers(0, 140_000)
counted = st.builds(
    Counted, st.integers(0, 300_000), st.booleans(), unsplittable=st.booleans(), estimated=st.booleans()
)
facts = st.builds(
    PoolFacts,
    st.just("short"),
    st.integers(1, 200_000),
    st.one_of(st.none(), st.sampled_from([1, 3, 11])),
    st.integers(0, 500),
    st.floats(1.3, 12.0),
)
rules = st.builds(Rule, threshold=st.integers(0, 200_000), exact=st.sampled_from(["near", "always"]))
asks = st.builds(Ask, lengths, outputs, lengths, cap=st.one_of(st.none(), st.integers(1, 200_000)))


def settle(decide, answers):
    """The caller's loop; fails if it asks twice for one model or does not end."""
    counts = {}
    for _ in range(3):
        outcome = decide(counts)
        if not isinstance(outcome, Count):
            return outcome, counts
        assert outcome.model not in counts
        counts[outcome.model] = answers(outcome)
    raise AssertionError("not decided after two counts")


def honest(tokens):
    """A counter that counts exactly, and stops past what it was asked for."""
    return lambda wanted: (
        Counted(tokens, True) if tokens <= wanted.up_to else Counted(min(tokens, wanted.up_to + 50), False)
    )


@given(asks, rules, facts, facts, st.data())
def test_ends_after_two_counts_whatever_the_counter_says(ask, rule, short, long, data):
    long = PoolFacts("long", long.window, long.expansion, long.overhead, long.bytes_per_token)
    outcome, counts = settle(lambda c: choose(ask, rule, short, long, c), lambda wanted: data.draw(counted))
    assert isinstance(outcome, Decision | TooLong)
    if isinstance(outcome, TooLong) and outcome.model in counts:
        assert not counts[outcome.model].estimated, "an estimate never rejects"


@given(asks, rules, facts, st.data())
def test_a_named_model_is_asked_for_one_count_at_most(ask, rule, pool, data):
    outcome, counts = settle(lambda c: check(ask, rule, pool, c), lambda wanted: data.draw(counted))
    assert len(counts) <= 1
    assert outcome.model == pool.model


@given(st.integers(1, 140_000), st.floats(1.0, 600.0), outputs, rules, st.floats(1.3, 12.0))
def test_short_never_gets_what_does_not_fit(tokens, bytes_per_token, output, rule, learned):
    """Whatever the text is like (down to 512 blanks a token) and however wrong the learned ratio is."""
    ask = Ask(int(tokens * bytes_per_token) + 1, output)
    short = PoolFacts("short", 32_768, 1, 100, learned)
    outcome, _ = settle(lambda c: choose(ask, rule, short, LONG, c), honest(tokens))
    if isinstance(outcome, Decision) and outcome.model == "short":
        assert tokens + output <= short.window
        assert rule.exact == "near" or tokens <= rule.threshold


@given(st.integers(1, 140_000), st.floats(1.0, 600.0), outputs)
def test_counting_everything_decides_exactly(tokens, bytes_per_token, output):
    ask = Ask(int(tokens * bytes_per_token) + 1, output)
    outcome, _ = settle(lambda c: choose(ask, Rule(exact="always"), SHORT, LONG, c), honest(tokens))
    fits_short = tokens <= 8192 and tokens + output <= SHORT.window
    if fits_short:
        assert outcome == Decision("short", tokens, "counted", "short-prompt")
    elif tokens + output <= LONG.window:
        assert isinstance(outcome, Decision)
        assert outcome.model == "long"
    else:
        assert isinstance(outcome, TooLong)


@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(0, 30_000))
def test_a_longer_prompt_never_goes_back_to_short(one, other, output):
    shorter, longer = sorted((one, other))
    models = []
    for tokens in (shorter, longer):
        outcome, _ = settle(lambda c, t=tokens: choose(Ask(4 * t, output), RULE, SHORT, LONG, c), honest(tokens))
        models.append("long" if isinstance(outcome, TooLong) else outcome.model)
    assert models != ["long", "short"]


def test_a_small_prompt_is_bounded_and_nothing_is_counted():
    assert choose(Ask(8092, 1024), RULE, SHORT, LONG, {}) == Decision("short", 8192, "bounded", "short-prompt")
    assert isinstance(choose(Ask(8093, 1024), Rule(rough_low=0), SHORT, LONG, {}), Count)


def test_far_above_the_threshold_is_long_without_a_count():
    outcome = choose(Ask(200_000, 1024), RULE, SHORT, LONG, {})
    assert outcome == Decision("long", 52_632, "estimated", "long-prompt")


def test_what_cannot_be_cut_is_long():
    counts = {"short": Counted(3, False, unsplittable=True)}
    assert choose(Ask(40_000, 10), RULE, SHORT, LONG, counts) == Decision("long", 3, "unsplittable", "long-prompt")


def test_an_output_that_the_short_window_cannot_hold_goes_long():
    for output, tokens in ((40_000, 70), (32_700, 69)):
        outcome, _ = settle(lambda c, o=output: choose(Ask(100, o), RULE, SHORT, LONG, c), honest(tokens))
        assert isinstance(outcome, Decision)
        assert (outcome.model, outcome.reason) == ("long", "short-window")


def test_the_long_window_to_the_token():
    output = 1000
    ask = Ask(500_000, output)
    for tokens, fits in ((131_072 - output, True), (131_072 - output + 1, False)):
        outcome, _ = settle(lambda c: choose(ask, RULE, SHORT, LONG, c), honest(tokens))
        named, _ = settle(lambda c: check(ask, RULE, LONG, c), honest(tokens))
        assert isinstance(outcome, Decision) is fits
        assert isinstance(named, Decision) is fits
        if not fits:
            assert outcome == TooLong("long", 131_072, tokens, output)


def test_token_ids_count_themselves():
    assert check(Ask(0, 1000, tokens=130_072), RULE, LONG, {}) == Decision("long", 130_072, "counted", "named-model")
    assert check(Ask(0, 1000, tokens=130_073), RULE, LONG, {}) == TooLong("long", 131_072, 130_073, 1000)
    assert isinstance(check(Ask(0, 1000, tokens=500_000, cap=2000), RULE, LONG, {}), Decision)


def test_a_prompt_that_the_server_cuts_is_as_long_as_the_cut():
    assert choose(Ask(10**6, 100, cap=4096), RULE, SHORT, LONG, {}) == Decision(
        "short", 4096, "bounded", "short-prompt"
    )


def test_an_unknown_tokenizer_is_always_counted():
    unknown = PoolFacts("short", 32_768, None, 100, 3.8)
    assert choose(Ask(100, 10), RULE, unknown, LONG, {}) == Count("short", 8192, 0, int(8192 * RULE.fine_high))
