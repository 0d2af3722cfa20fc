import math

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.sequences import TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import Sample, SamplingLimits, draw, sample, sample_on_all_ranks

PROMPTS = [(10, 11, 12), (20, 21, 22, 23, 24, 25, 26), (30,)]
SEEDS = [[1, 2], [3, 4], [5, 6]]
ROOM = 10_000
SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.3,
}
FAMILIES: list[PreTrainedConfig] = [
    Qwen3Config(**SMALL),
    MistralConfig(**SMALL, sliding_window=4),
    Gemma3TextConfig(
        **SMALL, sliding_window=4, layer_types=["sliding_attention", "full_attention"]
    ),
    GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3),
]


def limits(trunk: Trunk, **changes: float) -> SamplingLimits:
    settings = {"max_new_tokens": 12, "temperature": 1.0, **changes}
    return SamplingLimits(end_ids=frozenset([trunk.eos_id]), pad_id=trunk.pad_id, **settings)  # type: ignore[arg-type]


def test_an_answer_does_not_depend_on_its_batch(trunk: Trunk):
    """Left padding, shared prompts and dropped rows do not change the answers."""
    chosen = limits(trunk)
    together = sample(trunk.language_model, PROMPTS, SEEDS, chosen, ROOM)
    for prompt, seeds, answers in zip(PROMPTS, SEEDS, together, strict=True):
        for seed, answer in zip(seeds, answers, strict=True):
            ((alone,),) = sample(trunk.language_model, [prompt], [[seed]], chosen, ROOM)
            assert alone.token_ids == answer.token_ids
            assert alone.logprobs == pytest.approx(answer.logprobs, abs=1e-4)


def test_positions_begin_at_the_prompt_and_not_at_its_padding():
    """GPT-2 has absolute positions; with relative ones a shift would not show."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=259, n_embd=32, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    chosen = SamplingLimits(8, 1.0, end_ids=frozenset(), pad_id=0)
    together = sample(model, PROMPTS, SEEDS, chosen, ROOM)
    for prompt, seeds, answers in zip(PROMPTS, SEEDS, together, strict=True):
        (alone,) = sample(model, [prompt], [seeds], chosen, ROOM)
        assert [answer.token_ids for answer in alone] == [answer.token_ids for answer in answers]


def test_batches_by_length_keep_the_order(trunk: Trunk):
    chosen = limits(trunk)
    whole = sample(trunk.language_model, PROMPTS, SEEDS, chosen, ROOM)
    split = sample_on_all_ranks(trunk.language_model, PROMPTS, SEEDS, chosen, tokens=40)
    assert [[s.token_ids for s in row] for row in split] == [
        [s.token_ids for s in row] for row in whole
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_are_those_of_the_training_pass(trunk: Trunk, temperature: float):
    chosen = limits(trunk, temperature=temperature)
    answers = sample(trunk.language_model, PROMPTS, SEEDS, chosen, ROOM)
    for prompt, row in zip(PROMPTS, answers, strict=True):
        for answer in row:
            batch = collate([TokenSequence(prompt, answer.token_ids)], trunk.pad_id)
            trained = trunk.token_logprobs(Role.REFERENCE, batch, temperature)[0]
            assert answer.logprobs == pytest.approx(trained.tolist(), abs=1e-4)


def test_an_answer_ends_with_its_first_end_of_text(trunk: Trunk):
    seeds = [list(range(64))]
    chosen = limits(trunk, max_new_tokens=150)
    (answers,) = sample(trunk.language_model, PROMPTS[:1], seeds, chosen, ROOM)
    ended = [answer for answer in answers if answer.finish_reason == "eos"]
    cut_off = [answer for answer in answers if answer.finish_reason == "length"]
    assert ended
    assert cut_off
    for answer in ended:
        assert answer.token_ids.index(trunk.eos_id) == len(answer.token_ids) - 1
    for answer in cut_off:
        assert trunk.eos_id not in answer.token_ids
        assert len(answer.token_ids) == 150
    assert all(len(answer.logprobs) == len(answer.token_ids) for answer in answers)


def test_given_seeds_draw_what_they_always_drew(trunk: Trunk):
    """The values date from before batches were refilled; a resumed run must not change."""
    answers = sample(trunk.language_model, PROMPTS, SEEDS, limits(trunk), ROOM)
    assert [[answer.token_ids for answer in row] for row in answers] == [
        [
            (192, 82, 113, 187, 10, 206, 105, 189, 164, 120, 171, 154),
            (166, 120, 181, 110, 159, 150, 126, 28, 162, 15, 141, 148),
        ],
        [(2,), (146, 141, 7, 48, 3, 6, 257, 233, 176, 255, 84, 57)],
        [
            (232, 32, 232, 226, 232, 32, 53, 181, 10, 257, 156, 166),
            (166, 157, 254, 158, 58, 107, 147, 180, 148, 33, 68, 130),
        ],
    ]


def plain_logprobs(model: PreTrainedModel, prompt: list[int], answer: Sample) -> list[float]:
    """Return transformers' log-probabilities, from one row without padding or cache."""
    ids = torch.tensor([[*prompt, *answer.token_ids]])
    with torch.no_grad():
        logprobs = torch.log_softmax(model(ids, use_cache=False).logits[0].float(), dim=-1)
    return logprobs[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0].tolist()


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config.model_type)
def test_log_probabilities_of_a_refilled_batch_are_those_of_a_plain_pass(config: PreTrainedConfig):
    """Rows that join late, leave or move each see their own prompt and answer only.

    Two of these models have a window of four tokens, far shorter than the answers.
    """
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    prompts = [
        torch.randint(2, 40, (1 + number * 5 % 13,), generator=generator).tolist()
        for number in range(12)
    ]
    seeds = [[2 * number, 2 * number + 1] for number in range(12)]
    chosen = SamplingLimits(30, 1.0, end_ids=frozenset([1]), pad_id=0)
    answers = sample(model, prompts, seeds, chosen, tokens=8 * 43)
    lengths = {len(answer.token_ids) for row in answers for answer in row}
    assert len(lengths) > 4
    assert max(lengths) == 30
    for prompt, row in zip(prompts, answers, strict=True):
        for answer in row:
            expected = plain_logprobs(model, prompt, answer)
            assert answer.logprobs == pytest.approx(expected, abs=1e-4)


class Counted:
    """Records the number of rows and key columns of each forward pass of a model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.passes: list[tuple[int, int, int]] = []
        model.base_model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: nn.Module, args: object, given: dict[str, Tensor]) -> None:
        self.passes.append((*given["input_ids"].shape, given["attention_mask"].shape[1]))

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Rows and columns of the passes over one token a row."""
        return [(rows, columns) for rows, width, columns in self.passes if width == 1]


def test_new_prompts_take_the_places_of_finished_answers():
    """Separate batches would each wait for their longest answer; here answers end at random."""
    model = AutoModelForCausalLM.from_config(Qwen3Config(**{**SMALL, "initializer_range": 0.02}))
    counted = Counted(model.eval())
    prompts = [[10, 11 + number] for number in range(24)]
    seeds = [[number] for number in range(24)]
    chosen = SamplingLimits(100, 1.0, end_ids=frozenset([1]), pad_id=0)
    answers = sample(model, prompts, seeds, chosen, tokens=4 * 102)
    lengths = [len(row[0].token_ids) for row in answers]
    in_batches = sum(max(lengths[start : start + 4]) for start in range(0, 24, 4))
    assert len(counted.steps) < 0.75 * in_batches
    assert max(rows for rows, _ in counted.steps) == 4


def test_rows_and_columns_stay_within_the_budget(trunk: Trunk):
    counted = Counted(trunk.language_model)
    prompts = [[10] * length for length in (90, 40, 30, 20, 10, 5, 4, 3, 2, 1)]
    seeds = [[number, number + 100] for number in range(10)]
    sample(trunk.language_model, prompts, seeds, limits(trunk, max_new_tokens=20), tokens=240)
    assert all(rows * columns <= 240 for rows, columns in counted.steps)
    # Short prompts leave room for more rows; the first prompt fills it with its two samples.
    assert max(rows for rows, _ in counted.steps) >= 8


def test_a_prompt_is_read_once_for_all_its_samples(trunk: Trunk):
    counted = Counted(trunk.language_model)
    seeds = [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    sample(trunk.language_model, PROMPTS, seeds, limits(trunk), ROOM)
    assert [rows for rows, width, _ in counted.passes if width > 1] == [3]


def test_a_model_that_remembers_other_than_keys_and_values_is_refused():
    config = MambaConfig(vocab_size=40, hidden_size=16, state_size=4, num_hidden_layers=1)
    model = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelNotFoundError, match="'mamba' caches more"):
        sample(model, PROMPTS, SEEDS, SamplingLimits(3, 1.0, frozenset([1]), pad_id=0), ROOM)


def test_draw_follows_the_distribution():
    logits = torch.log(torch.tensor([[0.5, 0.0, 0.3, 0.2]])).expand(20_000, 4)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(1))
    tokens, logprobs = draw(logits, uniforms)
    shares = torch.bincount(tokens, minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.5, 0.0, 0.3, 0.2], abs=0.02)
    assert logprobs[tokens == 2][0].exp().item() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 1), (0.49999, 1), (0.50001, 3), (0.999999, 3)]
)
def test_draw_never_takes_a_token_of_no_probability(uniform: float, token: int):
    logits = torch.log(torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]))
    assert draw(logits, torch.tensor([uniform]))[0].item() == token


def test_draw_finds_the_token_at_that_share_of_the_distribution():
    """There are 600 equally likely tokens, more than two blocks, and no multiple of a block."""
    logits = torch.full((6, 600), -2.0)
    uniforms = torch.tensor([0.0, 0.25, 0.4267, 0.5, 0.8534, 0.9999])
    tokens, logprobs = draw(logits, uniforms)
    assert tokens.tolist() == [0, 150, 256, 300, 512, 599]
    assert logprobs.tolist() == pytest.approx([-math.log(600)] * 6)


def test_draw_knows_the_log_probability_of_the_least_likely():
    """A sum in fp32 loses e⁻⁶⁰ beside 1, but not its logarithm; a share of 0 draws the token."""
    tokens, logprobs = draw(torch.tensor([[-60.0, 0.0]]), torch.tensor([0.0]))
    assert tokens.item() == 0
    assert logprobs.item() == pytest.approx(-60)
