"""Rankings of different sizes side by side: each cell where it belongs, and 0 elsewhere."""

import torch

from rlhf_core.algorithms.optimisation import MetricSums
from rlhf_core.algorithms.rankings import RankedCandidates, batch_rankings
from rlhf_core.models.sequences import TokenSequence, collate

CPU = torch.device("cpu")


def ranking(prompt: int, preferences: list[list[float]], has_margins: bool) -> RankedCandidates:
    sequences = tuple(TokenSequence((prompt,), (9, n)) for n in range(len(preferences)))
    found = torch.tensor(preferences)
    return RankedCandidates(sequences, found, found - found.T if has_margins else None)


PAIR = ranking(1, [[0.0, 0.5], [0.5, 0.0]], has_margins=False)
THREE = ranking(2, [[0.0, 1.0, 1.0], [0.0, 0.0, 0.9], [0.0, 0.1, 0.0]], has_margins=True)


def test_a_micro_batch_in_any_order_has_each_candidate_at_its_place():
    """Candidates 0 and 1 are the pair's, 2 to 4 those of the three."""
    batch = batch_rankings([PAIR, THREE], [4, 0, 2, 1, 3], CPU)
    assert batch.numbers == [0, 1]
    assert batch.places.tolist() == [[1, 3, 0], [2, 4, 0]]
    assert batch.is_real.tolist() == [[True, True, False], [True, True, True]]
    assert torch.equal(batch.preferences[0, :2, :2], PAIR.preferences)
    assert batch.preferences[0].sum() == 1.0
    assert torch.equal(batch.preferences[1], THREE.preferences)
    assert batch.margins[0].abs().sum() == 0.0
    assert torch.equal(batch.margins[1], THREE.margins)
    assert batch.has_order.tolist() == [False, True]


def test_a_micro_batch_without_a_ranking_leaves_it_out():
    batch = batch_rankings([PAIR, THREE], [2, 3, 4], CPU)
    assert batch.numbers == [1]
    assert batch.places.tolist() == [[0, 1, 2]]


def test_sums_are_over_micro_batches_by_name():
    sums = MetricSums()
    assert sums.read() == {}
    sums.add(loss=torch.tensor(1.5, requires_grad=True), share=torch.tensor(2))
    sums.add(loss=torch.tensor(0.25), share=torch.tensor(True))
    assert sums.read() == {"loss": 1.75, "share": 3.0}


def test_tokens_are_read_before_and_put_back_where_they_are():
    """Two answers to prompt (1, 2) in one row: `1 2 | 7 8 | 5`; the second is of one token."""
    batch = collate([TokenSequence((1, 2), (7, 8)), TokenSequence((1, 2), (5,))], pad_id=0)
    assert batch.token_ids.tolist() == [7, 8, 5]
    states = torch.arange(5.0).view(1, 5, 1)  # the state of a column is its number
    assert batch.before_tokens(states).flatten().tolist() == [1.0, 2.0, 1.0]
    assert batch.in_cells(torch.tensor([3.0, 4.0, 6.0])).tolist() == [[3.0, 4.0], [6.0, 0.0]]
