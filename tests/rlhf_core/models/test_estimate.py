"""By hand, in whole tokens."""

import pytest

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.models.chat_completion import ChatRequest
from rlhf_core.models.estimate import estimate
from rlhf_core.models.loading import load_tokenizer

PRICES = {"price_per_million_input_tokens": 2.0, "price_per_million_output_tokens": 8.0}
SETTINGS = EndpointSettings.model_validate({"model": "m", **PRICES})
REQUESTS = [
    ChatRequest((("user", "x" * 36),), 20, 0.0),
    ChatRequest((("user", "ä" * 18),), 20, 0.0),  # two bytes each
]


def test_bounds_and_expectations_by_hand():
    """40 bytes each with the role: 168 tokens at most with the template's 128, 10 expected.

    At most 336 x $2 + 40 x $8 = $992, expected 20 x $2 + 20 x $8 = $200, a million times less.
    """
    found = estimate(REQUESTS, SETTINGS)
    assert (found.calls, found.input_tokens_at_most, found.output_tokens_at_most) == (2, 336, 40)
    assert (found.input_tokens_expected, found.output_tokens_expected) == (20, 20)
    assert found.usd_at_most == pytest.approx(992e-6)
    assert found.usd_expected == pytest.approx(200e-6)


def test_known_lengths_of_answers_make_a_better_expectation():
    assert estimate(REQUESTS, SETTINGS, 3).output_tokens_expected == 6
    assert estimate(REQUESTS, SETTINGS, 300).output_tokens_expected == 40


def test_batches_are_estimated_at_their_price():
    half = estimate(REQUESTS, SETTINGS.model_copy(update={"delivery": "batch"}))
    assert half.usd_at_most == pytest.approx(496e-6)


def test_nothing_costs_nothing():
    assert estimate([], SETTINGS).usd_at_most == 0


@pytest.mark.parametrize(
    "text", ["Why is the sky blue?", "日本語のテキスト", "\x00\x01" * 50, "🙂" * 40, ""]
)
def test_no_real_tokenizer_passes_the_bound(text: str):
    """With the chat template of SmolLM2, which adds a system prompt of its own."""
    tokenizer = load_tokenizer("smollm2-135m-instruct")
    messages = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert len(ids) <= ChatRequest((("user", text),), 1, 0.0).input_tokens_at_most
