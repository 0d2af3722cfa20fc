from dataclasses import replace

import pytest
import torch

from rlhf_core.models.sequences import (
    TokenSequence,
    collate,
    group_by_prompt,
    length_batches,
    microbatches,
)
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32

ONE, OTHER = (10, 11, 12, 13, 14), (20, 21)
RAGGED = [
    TokenSequence(ONE, (30, 31, 32)),
    TokenSequence(OTHER, (40, 41)),
    TokenSequence(ONE, (50,)),
    TokenSequence(ONE, (60, 61, 62, 63, 64, 65)),
    TokenSequence(OTHER, (70, 71, 72, 73)),
]


@pytest.fixture
def scored_trunk(trunk: Trunk) -> Trunk:
    trunk.add_role(Role.REWARD, 1)
    for parameter in trunk.parameters(Role.REWARD):
        torch.nn.init.normal_(parameter, std=0.1)
    return trunk


def test_responses_that_share_a_row_score_as_in_rows_of_their_own(scored_trunk: Trunk):
    """One prompt with its answers side by side gives the same log-probabilities, values, scores."""
    together = collate(RAGGED, scored_trunk.pad_id)
    assert together.input_ids.shape[0] == 2
    logprobs = scored_trunk.token_logprobs(Role.REWARD, together, 1.0)
    values = scored_trunk.token_values(Role.REWARD, together)
    scores = scored_trunk.sequence_scores(Role.REWARD, together)
    for index, sequence in enumerate(RAGGED):
        alone = collate([sequence], scored_trunk.pad_id)
        length = len(sequence.response_ids)
        for shared, own in (
            (logprobs, scored_trunk.token_logprobs(Role.REWARD, alone, 1.0)),
            (values, scored_trunk.token_values(Role.REWARD, alone)),
        ):
            torch.testing.assert_close(shared[index, :length], own[0], atol=1e-5, rtol=1e-5)
            assert (shared[index, length:] == 0).all()
        own_score = scored_trunk.sequence_scores(Role.REWARD, alone)[0]
        torch.testing.assert_close(scores[index], own_score, atol=1e-5, rtol=1e-5)


def test_log_probabilities_are_those_of_the_plain_model(trunk: Trunk):
    """They equal transformers' forward pass over prompt and response as one sequence."""
    batch = collate(RAGGED, trunk.pad_id)
    found = trunk.token_logprobs(Role.REFERENCE, batch, 0.7)
    for index, sequence in enumerate(RAGGED):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        logits = trunk.language_model(input_ids=ids).logits[0] / 0.7
        start, length = len(sequence.prompt_ids), len(sequence.response_ids)
        expected = torch.log_softmax(logits[start - 1 : -1], -1)[
            torch.arange(length), ids[0, start:]
        ]
        torch.testing.assert_close(found[index, :length], expected, atol=1e-5, rtol=1e-5)


def test_last_token_is_found_by_mask_not_by_value(trunk: Trunk):
    """An end-of-text or padding token inside an answer, or at its end, belongs to the answer."""
    inner = TokenSequence(ONE, (trunk.eos_id, trunk.pad_id, 33))
    end = TokenSequence(OTHER, (40, trunk.pad_id))
    batch = collate([inner, RAGGED[3], end], trunk.pad_id)
    assert batch.response_mask.sum(1).tolist() == [3, 6, 2]
    assert batch.response_rows.tolist() == [0, 0, 1]
    assert batch.last.tolist() == [7, 13, 3]


def test_predictors_stand_one_before_their_tokens():
    batch = collate([RAGGED[0]], pad_id=0)
    assert batch.predictors.tolist() == [[4, 5, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_positions_start_again_for_each_response_of_a_prompt():
    batch = collate([RAGGED[1], RAGGED[4]], pad_id=0)
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 3, 4, 5]]
    assert batch.predictors.tolist() == [[1, 2, 0, 0], [1, 4, 5, 6]]
    second = batch.visible[0, 0, 4]
    assert second.tolist() == [True, True, False, False, True, False, False, False]


def test_microbatches_partition_and_keep_prompts_together():
    groups = microbatches(RAGGED, tokens=16)
    assert sorted(index for group in groups for index in group) == list(range(len(RAGGED)))
    for prompt_group in group_by_prompt(RAGGED):
        assert any(set(prompt_group) <= set(group) for group in groups)


def test_a_row_longer_than_the_budget_stands_alone():
    assert microbatches(RAGGED, tokens=1) == [[0, 2, 3], [1, 4]]


def test_every_process_has_a_micro_batch_where_there_is_work_for_it():
    """Four rows of 10 fit one budget; two ranks get two rows each, and so do two of three."""
    sequences = [TokenSequence((prompt,) * 5, (1,) * 5) for prompt in range(4)]
    assert [len(microbatches(sequences, 40, shares=n)) for n in (1, 2, 3, 9)] == [1, 2, 2, 4]
    assert [len(group) for group in microbatches(sequences, 40, shares=2)] == [2, 2]
    assert len(microbatches(sequences[:3], 20, shares=2)) == 2


def test_batches_are_as_equal_as_they_can_be():
    """Nine rows with a budget of eight rows are split into five and four, not eight and one."""
    sequences = [TokenSequence((10, 11, number), (20, 21)) for number in range(9)]
    assert [len(group) for group in microbatches(sequences, tokens=40)] == [5, 4]
    assert len(microbatches(sequences, tokens=45)) == 1


@pytest.mark.parametrize(
    ("lengths", "tokens", "expected"),
    [
        # Beside 10 tokens, 8 tokens are long enough and 4 are too few, whatever room is left.
        ([10, 4, 8, 10], 1000, [[0, 3, 2], [1]]),
        # Three rows of 10 do not fit 20 cells. Of two batches, 10 + 2 x 8 cells are fewer than
        # 2 x 10 + 8: the longest stands alone.
        ([10, 8, 8], 20, [[0], [1, 2]]),
        # Padding counts: 8 + 8 tokens would fit into 18, but two rows of 10 do not.
        ([10, 8], 18, [[0], [1]]),
    ],
)
def test_rows_of_like_lengths_share_a_batch_within_the_budget(
    lengths: list[int], tokens: int, expected: list[list[int]]
):
    rows = [TokenSequence((n, 9), (5,) * (length - 2)) for n, length in enumerate(lengths)]
    assert microbatches(rows, tokens) == expected


@pytest.mark.parametrize("is_shared", [True, False])
def test_rows_of_one_answer_are_partitioned_too(is_shared: bool):
    groups = microbatches(RAGGED, tokens=24, is_shared=is_shared)
    assert sorted(index for group in groups for index in group) == list(range(len(RAGGED)))


def test_a_row_an_answer_scores_as_a_row_a_prompt(scored_trunk: Trunk):
    """Score, log-probabilities and gradient agree to 1e-5."""
    found = []
    for is_shared in (True, False):
        scored_trunk.compute = replace(FP32, share_prompts=is_shared)
        batch = scored_trunk.batch(RAGGED)
        assert len(batch.input_ids) == (2 if is_shared else 5)
        scores = scored_trunk.sequence_scores(Role.REWARD, batch)
        logprobs = scored_trunk.token_logprobs(Role.REWARD, batch, 1.0)
        (scores.square().sum() + logprobs.sum()).backward()
        parameters = scored_trunk.parameters(Role.REWARD)
        found.append((scores, logprobs, [p.grad for p in parameters]))
        for parameter in parameters:
            parameter.grad = None
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_length_batches_fit_the_budget():
    lengths = [3, 9, 4, 9, 1, 30]
    batches = length_batches(lengths, tokens=18)
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    for batch in batches:
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= 18 or len(batch) == 1
