"""Rollouts and experience before the first update, compared with plain forward passes."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf_core.algorithms.policy_update import minibatch_plan
from rlhf_core.algorithms.rollouts import (
    Experience,
    Rollout,
    cap_unfinished_scores,
    collect_experience,
    roll_out,
    unscored_shares,
)
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample
from tests.conftest import FP32
from tests.rlhf_core.algorithms.ragged import PROMPTS, disturb, ragged_rollouts

TEMPERATURE = 0.7


@pytest.fixture
def policy(trunk: Trunk) -> Trunk:
    trunk.add_role(Role.POLICY, 1)
    disturb(trunk, Role.POLICY)
    return trunk


def seen_by(trunk: Trunk, rollouts: list[Rollout]) -> Experience:
    return collect_experience(trunk, rollouts, minibatch_plan(rollouts, 2), TEMPERATURE)


def distributions(
    trunk: Trunk, role: Role, sequence: TokenSequence
) -> torch.distributions.Categorical:
    """Return the distributions before each response token, from transformers, one row."""
    ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
    with trunk.acting_as(role) as model, torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(sequence.prompt_ids) - 1 : -1]
    return torch.distributions.Categorical(logits=logits / TEMPERATURE)


def test_what_is_seen_is_that_of_plain_passes_and_nothing_of_padding(policy: Trunk):
    """Log-probabilities, entropy, and the k1 estimate of the KL, which may be negative."""
    rollouts = ragged_rollouts()
    seen = seen_by(policy, rollouts)
    for row, rollout in enumerate(rollouts):
        own, reference = (
            distributions(policy, role, rollout.tokens) for role in (Role.POLICY, Role.REFERENCE)
        )
        chosen = torch.tensor(rollout.tokens.response_ids)
        logprobs = own.log_prob(chosen)
        expected = {
            "logprobs": logprobs,
            "entropy": own.entropy(),
            "kl": logprobs - reference.log_prob(chosen),
        }
        for name, values in expected.items():
            padded = torch.zeros(4)
            padded[: len(values)] = values
            torch.testing.assert_close(getattr(seen, name)[row], padded, atol=1e-5, rtol=1e-5)
    assert seen.kl.min() < -0.01
    assert seen.mask.sum(dim=1).tolist() == [1, 4, 2, 1, 3, 2, 1, 2]
    assert (seen.entropy[seen.mask] > 0).all()


@pytest.mark.parametrize(
    ("dtype", "gap", "warns"),
    [
        (torch.float32, 0.008, False),
        (torch.float32, 0.02, True),
        (torch.bfloat16, 0.02, False),
        (torch.bfloat16, 0.2, True),
    ],
)
def test_a_gap_between_sampling_and_training_is_warned_of(
    caplog: pytest.LogCaptureFixture, dtype: torch.dtype, gap: float, warns: bool
):
    """Every token's log-probability is off by `gap`, and so is the mean, regardless of padding."""
    trunk = open_trunk("tiny-random", replace(FP32, dtype=dtype), lora=4)
    trunk.add_role(Role.POLICY, 1)
    first = seen_by(trunk, ragged_rollouts())
    caplog.clear()
    drawn = [
        replace(rollout, logprobs=tuple((own[: len(rollout.logprobs)] - gap).tolist()))
        for rollout, own in zip(ragged_rollouts(), first.logprobs, strict=True)
    ]
    assert seen_by(trunk, drawn).sampling_gap == pytest.approx(gap, abs=1e-5)
    assert ("sampling and training disagree" in caplog.text) == warns


def answers(*rows: tuple[int, str]) -> list[Rollout]:
    """Return an answer for each pair of prompt and finish reason."""
    return [
        Rollout(prompt, TokenSequence((5,), (6 + place,)), "", (0.0,), reason)
        for place, (prompt, reason) in enumerate(rows)
    ]


def test_an_unfinished_answer_is_never_better_than_a_finished_one():
    """The answer gets the least of its score, −1, and the lowest finished one of prompt or step."""
    drawn = answers(
        (0, "length"), (0, "eos"), (0, "eos"),  # own: −3 lies below −1 and −1.6
        (1, "length"), (1, "eos"), (1, "eos"),  # −1.6, though −1 and its own −0.5 lie above
        (2, "length"), (2, "eos"), (2, "eos"),  # −1
        (3, "length"), (3, "length"), (3, "length"),  # −1.6, the lowest finished of all; own
    )  # fmt: skip
    scores = [-3.0, -1.4, -1.6, -0.5, -1.6, -1.4, 2.0, 1.0, 3.0, 0.0, -1.2, -9.0]
    expected = [-3.0, -1.4, -1.6, -1.6, -1.6, -1.4, -1.0, 1.0, 3.0, -1.6, -1.6, -9.0]
    assert cap_unfinished_scores(torch.tensor(scores), drawn, -1.0).tolist() == pytest.approx(
        expected, abs=1e-6
    )
    assert cap_unfinished_scores(torch.tensor(scores), drawn, None).tolist() == pytest.approx(
        scores
    )


def test_an_unfinished_answer_without_a_score_is_no_better_either():
    """An unfinished answer is known to be bad; a finished one without a score is unknown."""
    drawn = answers((0, "length"), (0, "eos"), (0, "eos"), (1, "length"), (1, "length"))
    scores = torch.tensor([math.nan, math.nan, -2.0, math.nan, 5.0])
    found = cap_unfinished_scores(scores, drawn, -1.0)
    assert found.isnan().tolist() == [False, True, False, False, False]
    assert found[[0, 2, 3, 4]].tolist() == [-2.0, -2.0, -2.0, -2.0]
    alone = answers((0, "length"), (0, "length"))
    found = cap_unfinished_scores(torch.tensor([math.nan, -4.0]), alone, -1.0)
    assert found.tolist() == [-1.0, -4.0]


def test_shares_without_a_score_are_counted_and_logged(caplog: pytest.LogCaptureFixture):
    drawn = answers((0, "eos"), (0, "eos"), (1, "eos"), (1, "eos"))
    assert unscored_shares(torch.zeros(4), drawn) == {"unscored": 0.0, "unscored_prompts": 0.0}
    assert caplog.text == ""
    scores = torch.tensor([math.nan, 1.0, math.nan, math.nan])
    assert unscored_shares(scores, drawn) == {"unscored": 0.75, "unscored_prompts": 0.5}
    assert "3 of 4 answers have no score, among them all answers to 1 of 2 prompts" in caplog.text


def test_what_was_drawn_is_learnt_from_token_by_token(policy: Trunk):
    """Bytes that are no text would change if decoded and encoded again."""
    limits = SamplingLimits(12, TEMPERATURE, policy.end_ids, policy.pad_id)
    seeds = [[1, 2], [3, 4]]
    rollouts = roll_out(
        policy, PROMPTS, [2, 0], seeds, SamplingSettings(max_new_tokens=12, temperature=TEMPERATURE)
    )
    with policy.acting_as(Role.POLICY) as model:
        drawn = sample(model, [PROMPTS[2], PROMPTS[0]], seeds, limits, 1000)
    assert [r.tokens.response_ids for r in rollouts] == [a.token_ids for row in drawn for a in row]
    assert [r.tokens.prompt_ids for r in rollouts] == [PROMPTS[2]] * 2 + [PROMPTS[0]] * 2
