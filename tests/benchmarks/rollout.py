"""Rolling out: tokens a second of our sampling and of transformers' generate, in one precision.

Both draw from the same model. Of answers that end at random, the same model but for an output bias
that makes the end of text likely; generate takes the prompts in batches of as many rows as fit our
budget, from long to short, and a batch of its ends with its longest answer.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import Compute
from rlhf_core.models.sequences import pad
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample
from tests.benchmarks.ratio import REPEATS, ratio
from tests.benchmarks.result import Result, compare

MODEL, RANK, PEER = "smollm2-135m-instruct", 16, "transformers generate"
TOKENS, GOAL = 48, 2.0
SHAPES = ((32, 1), (16, 4))
"""Prompts, and samples of each."""
RAGGED_PROMPTS, RAGGED_ROWS, RAGGED_TOKENS = 64, 16, 64
END_LOGPROB = -3.0
"""Of the end of text after the first prompts, at the median: answers of about 20 tokens."""


def run(compute: Compute) -> Iterator[Result]:
    """All 48 tokens of each answer, of the base and of a policy; and answers that end at random.

    Ours keeps the log-probabilities of the tokens too.
    """
    trunk = open_trunk(MODEL, compute, RANK)
    for prompts, samples in SHAPES:
        yield _whole(trunk, Role.REFERENCE, "base", prompts, samples)
    trunk.add_role(Role.POLICY, seed=1)
    yield _whole(trunk, Role.POLICY, "adapter", *SHAPES[0])
    yield _ragged(open_trunk(MODEL, compute, RANK))


def _whole(trunk: Trunk, role: Role, name: str, prompts: int, samples: int) -> Result:
    rows = _prompts([40 + 2 * number for number in range(prompts)])
    limits = SamplingLimits(TOKENS, 1.0, end_ids=frozenset(), pad_id=trunk.pad_id)
    seeds = [list(range(samples))] * prompts

    def ours() -> None:
        with trunk.acting_as(role) as model, trunk.compute.autocast():
            sample(model, rows, seeds, limits, trunk.compute.forward_tokens)

    def theirs() -> None:
        with trunk.acting_as(role) as model, trunk.compute.autocast():
            _generate(
                model,
                rows,
                trunk.pad_id,
                num_return_sequences=samples,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
            )

    return ratio(
        "rollout",
        ours,
        PEER,
        theirs,
        detail=f"{name}, {prompts} prompts × {samples}",
        goal=GOAL,
        amount=prompts * samples * TOKENS,
        unit="tokens a second",
    )


def _ragged(trunk: Trunk) -> Result:
    """The random numbers of both differ, so each rate is of the tokens that were drawn."""
    model, compute = trunk.language_model, trunk.compute
    rows = _prompts([59 - number * 20 // RAGGED_PROMPTS for number in range(RAGGED_PROMPTS)])
    _make_end_likely(trunk, rows[:8])
    limits = SamplingLimits(RAGGED_TOKENS, 1.0, frozenset([trunk.eos_id]), trunk.pad_id)
    budget = RAGGED_ROWS * (len(rows[0]) + RAGGED_TOKENS)

    def ours() -> int:
        seeds = [[number] for number in range(len(rows))]
        with compute.autocast():
            drawn = sample(model, rows, seeds, limits, budget)
        return sum(len(answer.token_ids) for row in drawn for answer in row)

    def theirs() -> int:
        tokens = 0
        with compute.autocast():
            for start in range(0, len(rows), RAGGED_ROWS):
                batch = rows[start : start + RAGGED_ROWS]
                drawn = _generate(
                    model,
                    batch,
                    trunk.pad_id,
                    eos_token_id=trunk.eos_id,
                    max_new_tokens=RAGGED_TOKENS,
                )
                answers = drawn[:, max(map(len, batch)) :]
                is_end = (answers == trunk.eos_id).long()
                tokens += int((is_end.cumsum(1) - is_end == 0).sum())
        return tokens

    _rate(ours)
    _rate(theirs)
    turns = [(_rate(ours), _rate(theirs)) for _ in range(REPEATS)]
    return compare(
        "rollout",
        turns,
        "tokens a second",
        PEER,
        detail=f"answers end at random, {RAGGED_PROMPTS} prompts, {RAGGED_ROWS} rows",
        higher_is_better=True,
    )


def _prompts(lengths: Sequence[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 40_000, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def _generate(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], pad_id: int, **settings: int
) -> Tensor:
    drawn: Tensor = model.generate(
        input_ids=pad(rows, pad_id, left=True).to(model.device),
        attention_mask=pad([[1] * len(row) for row in rows], 0, left=True).to(model.device),
        do_sample=True,
        top_k=0,
        pad_token_id=pad_id,
        **settings,
    )
    return drawn


@torch.no_grad()
def _make_end_likely(trunk: Trunk, rows: Sequence[Sequence[int]]) -> None:
    output, model = trunk.language_model.get_output_embeddings(), trunk.language_model
    found = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row], device=model.device)).logits[0, -1]
        found.append(torch.log_softmax(logits.float(), dim=-1)[trunk.eos_id])
    bias = torch.zeros(output.weight.shape[0], dtype=output.weight.dtype, device=model.device)
    bias[trunk.eos_id] = END_LOGPROB - torch.stack(found).median()
    output.bias = nn.Parameter(bias, requires_grad=False)


def _rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)
