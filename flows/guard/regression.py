"""The regression set of a line: every hack that was found, which new reward models must pass."""

import logging
from collections.abc import Mapping, Sequence

from flows.cycle.cycle import Cycle
from flows.guard.hacks import Repair, is_repairing, repairs_of
from flows.service.gpu import take_gpu
from flows.training.rankings import ranked_candidates
from flows.training.reward_comparison import score_rankings
from rlhf_core.algorithms.losses.preference_loss import pairwise_accuracy
from rlhf_core.guard.regression import run_regression_test
from rlhf_core.identity import content_id
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import GuardTest, ModelVersion, Ranking
from rlhf_core.store import Store

logger = logging.getLogger(__name__)


def confirmed_repairs(cycle: Cycle, store: Store) -> list[Repair]:
    """Return the hacks that new reward models learn against, and are tested on."""
    if not is_repairing(cycle.config):
        return []
    return [each for each in repairs_of(store, cycle.line, cycle.number) if each.is_confirmed]


def learnt_rankings(store: Store, repairs: Sequence[Repair]) -> dict[str, list[Ranking]]:
    """Return the rankings of each hack that reward models learn from, by its policy."""
    return {
        name: _rankings(
            store, [c.ranking_id for each in own for c in each.comparisons if not c.kept_aside]
        )
        for name, own in _by_policy(repairs).items()
    }


def measure_hacks(
    cycle: Cycle,
    store: Store,
    version: ModelVersion,
    repairs: Sequence[Repair],
    copies: Mapping[str, int],
) -> list[GuardTest]:
    """Test a reward model on the comparisons of each hack that were kept aside.

    Args:
        cycle: The cycle under way.
        store: Receives the results.
        version: The reward model, which is trained.
        repairs: The hacks.
        copies: How often it learnt from each hack's other comparisons, by policy; 1 by default.

    Returns:
        One result a hack, the stored one if there is one; none of a hack without such comparisons.
    """
    results = []
    for name, own in _by_policy(repairs).items():
        ids = [
            c.ranking_id
            for each in own
            for c in each.comparisons
            if c.kept_aside and c.outcome == "worse"
        ]
        data_hash = content_id(sorted(ids))
        where = "line = ? AND model_id = ? AND policy_id = ? AND data_hash = ?"
        known = store.rows(GuardTest, where, [cycle.line, version.id, name, data_hash])
        result = known[0] if known else None
        if result is None and ids:
            result = _test(cycle, store, version, name, ids, data_hash, copies.get(name, 1))
        if result is None:
            logger.warning("no comparison with answers of %s was kept aside for a test", name)
        else:
            results.append(result)
    return results


def _test(
    cycle: Cycle,
    store: Store,
    version: ModelVersion,
    policy_id: str,
    ranking_ids: Sequence[str],
    data_hash: str,
    copies: int,
) -> GuardTest | None:
    config, sft_id = cycle.config, str(version.parent_id)
    take_gpu(config)
    chat = policy_chat(load_tokenizer(str(cycle.folder(sft_id))), config.policy)
    rankings = _rankings(store, ranking_ids)
    learnable = ranked_candidates(store, chat, rankings, config.reward_model, config)
    scores = score_rankings(cycle, sft_id, version.id, learnable)
    result = run_regression_test(
        (ranking.sequences[0].prompt_ids, pairwise_accuracy(own, ranking.preferences).item())
        for own, ranking in zip(scores, learnable, strict=True)
    )
    if result is None:
        return None
    test = GuardTest(
        line=cycle.line,
        cycle=cycle.number,
        model_id=version.id,
        policy_id=policy_id,
        data_hash=data_hash,
        copies=copies,
        **vars(result),
    )
    store.append([test])
    return test


def _by_policy(repairs: Sequence[Repair]) -> dict[str, list[Repair]]:
    groups: dict[str, list[Repair]] = {}
    for each in repairs:
        groups.setdefault(each.policy_id, []).append(each)
    return groups


def _rankings(store: Store, ids: Sequence[str]) -> list[Ranking]:
    return sorted(store.rows(Ranking, "id IN (SELECT unnest(?))", [list(ids)]), key=lambda r: r.id)
