"""The decision whether a new reward model may train policies: it must beat the line's last one."""

import json
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flows.cycle.cycle import Cycle
from flows.service.gpu import take_gpu
from flows.training.rankings import ranked_candidates
from rlhf_core.algorithms.rankings import RankedCandidates, hold_out
from rlhf_core.algorithms.reward_comparison import RewardDifference, compare_accuracy
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.trunk import Role
from rlhf_core.records import ModelVersion, Ranking, RewardComparison
from rlhf_core.store import Store, line_queries

LEVEL = 0.05
"""Error rate of the one-sided test for worse or better."""


def compare_reward_model(
    cycle: Cycle, store: Store, version: ModelVersion, rankings: Sequence[Ranking]
) -> RewardComparison:
    """Add the decision about a reward model if it is missing.

    Args:
        cycle: The cycle under way.
        store: Receives the decision.
        version: The new reward model, which is trained.
        rankings: Its rankings, of which it held some out.

    Returns:
        The decision, the stored one if there is one.
    """
    decided = line_queries.reward_comparison(store, cycle.line, version.id)
    if decided is not None:
        return decided
    former = line_queries.accepted_reward_model(store, cycle.line)
    reason = _incomparable(cycle, store, former, version)
    if former is None or reason:
        decision = _decision(cycle, version, None, None, True, reason)
    else:
        difference = _compare(cycle, store, version, former, rankings)
        accepted, reason = judge_difference(difference, cycle.config.reward_model.must_beat)
        decision = _decision(cycle, version, former, difference, accepted, reason)
    store.append([decision])
    return decision


def judge_difference(difference: RewardDifference | None, rule: str) -> tuple[bool, str]:
    """Apply `reward_model.must_beat` to a comparison.

    Args:
        difference: The comparison; None if the held-out pairs prefer nothing.
        rule: The setting's value.

    Returns:
        True if the new reward model is accepted, and the reason.
    """
    if difference is None:
        return True, "the pairs that both held out prefer no answer"
    new, old = difference.new.mean, difference.old.mean
    told = (
        f"it orders {new:.1%} of {difference.pairs} held-out pairs of {difference.prompts} prompts "
        f"rightly, the last one {old:.1%}"
    )
    if rule == "better" and difference.p_better > LEVEL:
        return (
            False,
            f"{told}, which does not show that it is better (p = {difference.p_better:.2g})",
        )
    if rule == "as_good" and new < old:
        return False, told
    if rule == "not_worse" and difference.p_worse <= LEVEL:
        return False, f"{told}: it is worse (p = {difference.p_worse:.2g})"
    return True, told


def _incomparable(
    cycle: Cycle, store: Store, former: ModelVersion | None, version: ModelVersion
) -> str:
    """Return the reason why there is nothing to compare a reward model with; empty if there is."""
    if former is None:
        return "it is the line's first"
    if former.parent_id != version.parent_id:
        return "the last one stands on another SFT model"
    if not cycle.folder(former.id).is_dir():
        return "the files of the last one are gone"
    for model_id, which in ((former.id, "the last one"), (version.id, "it")):
        if "holdout_loss" not in line_queries.metrics_of(store, model_id):
            return f"{which} held no pairs out"
    return ""


def _compare(
    cycle: Cycle,
    store: Store,
    version: ModelVersion,
    former: ModelVersion,
    rankings: Sequence[Ranking],
) -> RewardDifference | None:
    """Score the pairs that neither reward model learnt from by both."""
    config, sft_id = cycle.config, str(version.parent_id)
    take_gpu(config)
    chat = policy_chat(load_tokenizer(str(cycle.folder(sft_id))), config.policy)
    learnable = ranked_candidates(store, chat, rankings, config.reward_model, config)
    # The same hash decides for both, so the smaller share is held out by both.
    former_share = json.loads(former.recipe)["reward_model"]["holdout"]
    _, held_out = hold_out(learnable, min(former_share, config.reward_model.holdout))
    new, old = (score_rankings(cycle, sft_id, each.id, held_out) for each in (version, former))
    return compare_accuracy(new, old, held_out)


def score_rankings(
    cycle: Cycle, sft_id: str, model_id: str, rankings: Sequence[RankedCandidates]
) -> list[Tensor]:
    """Return the scores of each ranking's candidates by a reward model, (K,) each.

    Args:
        cycle: The cycle under way.
        sft_id: SFT model that the reward model stands on.
        model_id: The reward model.
        rankings: The rankings.
    """
    base, lora = str(cycle.folder(sft_id)), trained_lora(cycle.config.policy)
    trunk = on_all_ranks(open_trunk, base, cycle.compute(), lora)
    on_all_ranks(load_role, trunk, Role.REWARD, cycle.folder(model_id))
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    scores: Tensor = on_all_ranks(score_sequences, trunk, sequences, Role.REWARD)
    return list(scores.split([len(ranking.sequences) for ranking in rankings]))


def _decision(
    cycle: Cycle,
    version: ModelVersion,
    former: ModelVersion | None,
    difference: RewardDifference | None,
    accepted: bool,
    reason: str,
) -> RewardComparison:
    figures: dict[str, Any] = {}
    if difference is not None:
        figures = {
            "accuracy": difference.new.mean,
            "accuracy_low": difference.new.low,
            "accuracy_high": difference.new.high,
            "baseline_accuracy": difference.old.mean,
            "baseline_accuracy_low": difference.old.low,
            "baseline_accuracy_high": difference.old.high,
            "p_worse": difference.p_worse,
            "p_better": difference.p_better,
        }
    return RewardComparison(
        line=cycle.line,
        cycle=cycle.number,
        model_id=version.id,
        baseline_id=former.id if former else None,
        rule=cycle.config.reward_model.must_beat,
        prompts=difference.prompts if difference else 0,
        pairs=difference.pairs if difference else 0,
        accepted=accepted,
        reason=reason,
        **figures,
    )
