import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from rlhf_core.models.sampling import SamplingLimits, draw, sample, sample_all
from rlhf_core.models.sequences import TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk

PROMPTS = [(10, 11, 12), (20, 21, 22, 23, 24, 25, 26), (30,)]
SEEDS = [[1, 2], [3, 4], [5, 6]]


def limits(trunk: Trunk, **changes: float) -> SamplingLimits:
    settings = {"max_new_tokens": 12, "temperature": 1.0, **changes}
    return SamplingLimits(eos_id=trunk.eos_id, pad_id=trunk.pad_id, **settings)  # type: ignore[arg-type]


def test_an_answer_does_not_depend_on_its_batch(trunk: Trunk):
    """Left padding, shared prompts, rows that leave: none of it changes what is drawn."""
    chosen = limits(trunk)
    together = sample(trunk.language_model, PROMPTS, SEEDS, chosen)
    for prompt, seeds, answers in zip(PROMPTS, SEEDS, together, strict=True):
        for seed, answer in zip(seeds, answers, strict=True):
            ((alone,),) = sample(trunk.language_model, [prompt], [[seed]], chosen)
            assert alone.token_ids == answer.token_ids
            assert alone.logprobs == pytest.approx(answer.logprobs, abs=1e-4)


def test_positions_begin_at_the_prompt_and_not_at_its_padding():
    """GPT-2 knows absolute positions; of relative ones a shift would not be seen."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=259, n_embd=32, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    chosen = SamplingLimits(8, 1.0, eos_id=-1, pad_id=0)
    together = sample(model, PROMPTS, SEEDS, chosen)
    for prompt, seeds, answers in zip(PROMPTS, SEEDS, together, strict=True):
        (alone,) = sample(model, [prompt], [seeds], chosen)
        assert [answer.token_ids for answer in alone] == [answer.token_ids for answer in answers]


def test_a_prompt_is_read_once_for_all_its_samples(trunk: Trunk):
    read = []
    hook = trunk.language_model.base_model.register_forward_pre_hook(
        lambda _, __, options: read.append(tuple(options["input_ids"].shape)), with_kwargs=True
    )
    sample(trunk.language_model, PROMPTS[:2], SEEDS[:2], limits(trunk, max_new_tokens=2))
    hook.remove()
    assert read == [(2, 7), (4, 1)]


def test_batches_by_length_keep_the_order(trunk: Trunk):
    chosen = limits(trunk)
    whole = sample(trunk.language_model, PROMPTS, SEEDS, chosen)
    split = sample_all(trunk.language_model, PROMPTS, SEEDS, chosen, tokens=40)
    assert [[s.token_ids for s in row] for row in split] == [
        [s.token_ids for s in row] for row in whole
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_are_those_of_the_training_pass(trunk: Trunk, temperature: float):
    answers = sample(trunk.language_model, PROMPTS, SEEDS, limits(trunk, temperature=temperature))
    for prompt, row in zip(PROMPTS, answers, strict=True):
        for answer in row:
            batch = collate([TokenSequence(prompt, answer.token_ids)], trunk.pad_id)
            trained = trunk.token_logprobs(Role.REFERENCE, batch, temperature)[0]
            assert answer.logprobs == pytest.approx(trained.tolist(), abs=1e-4)


def test_an_answer_ends_with_its_first_end_of_text(trunk: Trunk):
    seeds = [list(range(64))]
    (answers,) = sample(trunk.language_model, PROMPTS[:1], seeds, limits(trunk, max_new_tokens=150))
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
