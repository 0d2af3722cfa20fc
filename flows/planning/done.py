"""What is there already of a cycle, counted in the store: a plan promises only what is missing."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from flows.cycle.abstention import build_seeder
from flows.cycle.cycle import CandidateBatch, Cycle, evaluation_sampling
from flows.cycle.identity import config_hash
from flows.cycle.line import current_sft
from flows.cycle.revision import build_reviser
from judges import Ledger
from judges.panel.panel import Panelist, ranking_tasks
from rlhf_core.records import Candidate, Prompt
from rlhf_core.store import Store, queries, store_exists


@dataclass(frozen=True)
class Done:
    """Counts of what a cycle need not do again; by default nothing is there."""

    revisions: int = 0
    """Rounds of revision that ended, the first answer among them."""
    has_sft: bool = False
    candidates: int = 0
    judged: Mapping[str, int] = field(default_factory=dict)
    """Judgements of the candidates, by judge version."""
    has_reward_model: bool = False
    has_policy: bool = False
    answers: int = 0
    """Answers to held-out prompts, of both models."""
    evaluated: Mapping[str, int] = field(default_factory=dict)
    """Judgements of those answers, by judge version."""


LATER_CYCLE = Done(has_sft=True)
"""What a cycle after the next one will find."""


def count_done(
    cycle: Cycle,
    train: Sequence[Prompt],
    holdout: Sequence[Prompt],
    panel: Sequence[Panelist],
    evaluating: Sequence[Panelist],
) -> Done:
    """Count what the store holds of a cycle.

    Args:
        cycle: Which one.
        train: Its training prompts.
        holdout: Its held-out prompts.
        panel: The judges of the candidates.
        evaluating: All judges of the evaluation.

    Returns:
        The counts. A model counts as trained once its stage has ended by this config, and nothing
        that it learns from is missing.
    """
    config = cycle.config
    if not store_exists(config.store):
        return Done()
    store = cycle.open_store()
    reviser = build_reviser(config.revision, Ledger()).version if config.revision else None
    chains = queries.revisions_by(store, reviser) if reviser else {}
    seeder = build_seeder(config)
    seeds = seeder.name if seeder else None
    sft_id = current_sft(config, store, cycle.number, reviser, seeds).id
    revisions = sum(len(chains.get(prompt.id, ())) for prompt in train)
    if queries.model(store, sft_id) is None:
        return Done(revisions=revisions)
    groups = _answers(store, cycle.own_batch(store, sft_id), train, config.sampling.candidates)
    judged = _judged(store, panel, groups)
    candidates = sum(len(group) for _, group in groups)
    is_judged = candidates == len(train) * config.sampling.candidates and all(
        judged[panelist.version] == _wanted(panelist, groups) for panelist in panel
    )
    signed = _signed(store, cycle)
    has_reward_model = is_judged and signed.get("train_reward") is not None
    policy_id = signed.get("train_policy") if has_reward_model else None
    compared = _compared(store, cycle, sft_id, policy_id, holdout)
    return Done(
        revisions=revisions,
        has_sft=True,
        candidates=candidates,
        judged=judged,
        has_reward_model=has_reward_model,
        has_policy=policy_id is not None,
        answers=sum(len(group) for _, group in compared),
        evaluated=_judged(store, evaluating, compared),
    )


Group = tuple[Prompt, Sequence[Candidate]]
"""A prompt with those of its answers that are compared with each other."""


def _answers(
    store: Store, batch: CandidateBatch, prompts: Sequence[Prompt], count: int
) -> list[Group]:
    found = queries.candidates_by_prompt(store, batch.model_id, batch.sampling, batch.seed, prompts)
    return [
        (prompt, [one for one in found.get(prompt.id, []) if one.sample_index < count])
        for prompt in prompts
    ]


def _compared(
    store: Store, cycle: Cycle, sft_id: str, policy_id: str | None, holdout: Sequence[Prompt]
) -> list[Group]:
    """The answers of policy and baseline to held-out prompts, two and two where both are there."""
    config = cycle.config
    sampling, count = evaluation_sampling(config), config.evaluation.samples_per_prompt
    champion = None if config.evaluation.baseline == "sft" else cycle.champion(store, sft_id)
    models = [champion or sft_id, *([policy_id] if policy_id else [])]
    found = [
        _answers(store, cycle.batch(model, sampling, "evaluation"), holdout, count)
        for model in models
    ]
    sides = [
        {(prompt.id, answer.sample_index): answer for prompt, group in side for answer in group}
        for side in found
    ]
    return [
        (prompt, [side[prompt.id, index] for side in sides if (prompt.id, index) in side])
        for prompt in holdout
        for index in range(count)
    ]


def _judged(store: Store, panel: Collection[Panelist], groups: Sequence[Group]) -> dict[str, int]:
    """How many judgements each judge need not make again, by its version."""
    ids = {answer.id for _, group in groups for answer in group}
    known = queries.answered_judgements(store, ids)
    found = {}
    for panelist in panel:
        tasks = [task for group in groups for task in ranking_tasks(panelist, *group)]
        wanted = sum(task.prompt.mode in panelist.settings.modes for task in tasks)
        found[panelist.version] = wanted - len(panelist.missing(tasks, known))
    return found


def _wanted(panelist: Panelist, groups: Sequence[Group]) -> int:
    return sum(
        len(ranking_tasks(panelist, *group))
        for group in groups
        if group[0].mode in panelist.settings.modes
    )


def _signed(store: Store, cycle: Cycle) -> dict[str, str]:
    """The models of this cycle that are there, by the stage that signed them off."""
    found = {}
    for stage in ("train_reward", "train_policy"):
        for run in queries.stage_runs_of(store, cycle.line, stage):
            name = json.loads(run.detail).get("model", "")
            is_ours = run.cycle == cycle.number and run.config_hash == config_hash(cycle.config)
            if is_ours and queries.model(store, name) is not None:
                found[stage] = name
    return found
