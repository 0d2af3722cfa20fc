"""A reward model learns from the rankings of this cycle and of those before it."""

from collections.abc import Sequence

import torch
from prefect import flow
from torch import Tensor

from flows import _versions
from flows._cycle import Cycle
from flows._progress import progress
from flows._stage import StageWork, stage
from flows._training import add_model, demonstrations, keep_metrics
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.reward_model import RankedCandidates, normalise, train_reward_model
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role
from rlhf_core.records import Metric, ModelVersion, Pair, PairOutcome, Prompt, Ranking, Split
from rlhf_core.store import Store, queries


@flow(name="train_reward")
def train_reward(cycle: Cycle, prompt_set_id: str, sft_id: str, recipe: str) -> str:
    """Train the reward model if it is missing; its id."""
    with stage(cycle, "train_reward") as work:
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        batches = cycle.training_batches(work.store, sft_id)
        keys = {(batch.model_id, batch.seed) for batch in batches}
        rankings = queries.rankings_of(work.store, recipe, keys, prompts)
        version = _versions.reward(cycle.config, sft_id, [ranking.id for ranking in rankings])
        if queries.model(work.store, version.id) is None:
            _train(cycle, work, sft_id, version, prompts, rankings)
            work.news = "trained"
        work.detail = {"model": version.id, "rankings": len(rankings)}
    return version.id


def _train(
    cycle: Cycle,
    work: StageWork,
    sft_id: str,
    version: ModelVersion,
    prompts: Sequence[Prompt],
    rankings: Sequence[Ranking],
) -> None:
    config = cycle.config
    trunk = open_trunk(str(cycle.folder(sft_id)), cycle.compute(), config.policy.lora_rank)
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    learnable = _ranked_candidates(work.store, chat, prompts, rankings)
    settings = config.reward_model
    steps = step_count(len(learnable), settings.prompts_per_step, settings.epochs)
    with progress("reward model", steps) as advance:
        for step in train_reward_model(trunk, learnable, settings, config.seed):
            keep_metrics(work.store, version.id, step)
            advance(1, f"loss {step.metrics['loss']:.3f}  in order {step.metrics['accuracy']:.0%}")
    mean, deviation = normalise(trunk, demonstrations(chat, prompts) or _all_sequences(learnable))
    found = {"reference_mean": mean, "reference_deviation": deviation}
    work.store.append(
        Metric(model_id=version.id, step=steps, name=name, value=value)
        for name, value in found.items()
    )
    base = cycle.folder(sft_id)
    save_role(trunk, Role.REWARD, cycle.folder(version.id), base)
    add_model(work.store, version, rankings)


def _ranked_candidates(
    store: Store, chat: ChatFormat, prompts: Sequence[Prompt], rankings: Sequence[Ranking]
) -> list[RankedCandidates]:
    """Rankings as tokens, without those that prefer nothing to anything."""
    by_id = {prompt.id: prompt for prompt in prompts}
    pairs = queries.pairs_of_rankings(store, rankings)
    ids = {candidate_id for ranking in rankings for candidate_id in ranking.candidate_ids}
    candidates = queries.candidates_by_id(store, ids)
    found = []
    for ranking in rankings:
        preferences = preference_matrix(ranking.candidate_ids, pairs[ranking.id])
        if preferences.any():
            prompt_ids = tuple(chat.prompt_ids(by_id[ranking.prompt_id].instruction))
            members = [candidates[candidate_id] for candidate_id in ranking.candidate_ids]
            sequences = tuple(
                TokenSequence(prompt_ids, member.token_ids or tuple(chat.answer_ids(member.text)))
                for member in members
            )
            found.append(RankedCandidates(sequences, preferences))
    return found


def preference_matrix(candidate_ids: Sequence[str], pairs: Sequence[Pair]) -> Tensor:
    """1 where the row's candidate was chosen over the column's, 0 elsewhere, (K, K)."""
    place = {candidate_id: index for index, candidate_id in enumerate(candidate_ids)}
    preferences = torch.zeros(len(place), len(place))
    for pair in pairs:
        if pair.outcome is PairOutcome.PREFERRED and pair.chosen_id and pair.rejected_id:
            preferences[place[pair.chosen_id], place[pair.rejected_id]] = 1.0
    return preferences


def _all_sequences(rankings: Sequence[RankedCandidates]) -> list[TokenSequence]:
    return [sequence for ranking in rankings for sequence in ranking.sequences]
