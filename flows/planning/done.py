"""Work of a cycle that the store holds already, so that a plan lists only what is missing."""

import json
from collections.abc import Collection, Sequence

from flows.cycle.abstention import build_seeder
from flows.cycle.cycle import CandidateBatch, Cycle, evaluation_sampling
from flows.cycle.estimates import Done
from flows.cycle.identity import config_hash
from flows.cycle.line import current_sft
from flows.cycle.outside import outside_batch
from flows.cycle.revision import build_reviser
from flows.guard.hacks import unrepaired
from judges import Ledger
from judges.panel.panel import Panelist, ranking_tasks
from rlhf_core.config.evaluation import EndpointBaseline
from rlhf_core.records import Candidate, Prompt
from rlhf_core.store import Store, line_queries, queries, store_exists

LATER_CYCLE = Done(has_sft=True)
"""The state of every cycle after the next one."""


def count_done(
    cycle: Cycle,
    train: Sequence[Prompt],
    holdout: Sequence[Prompt],
    panel: Sequence[Panelist],
    evaluating: Sequence[Panelist],
) -> Done:
    """Count the work of a cycle that the store holds already.

    Args:
        cycle: The cycle.
        train: Its training prompts.
        holdout: Its held-out prompts.
        panel: Judges of the candidates.
        evaluating: All judges of the evaluation.

    Returns:
        The counts. A model counts as trained if its stage has ended under this config and none of
        its inputs is missing.
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
    if line_queries.model(store, sft_id) is None:
        return Done(revisions=revisions)
    groups = _answers(store, cycle.own_batch(store, sft_id), train, config.sampling.candidates)
    judged = _count_judgements(store, panel, groups)
    candidates = sum(len(group) for _, group in groups)
    is_judged = candidates == len(train) * config.sampling.candidates and all(
        judged[panelist.version] == _count_tasks(panelist, groups) for panelist in panel
    )
    models = _trained_models(store, cycle)
    has_reward_model = is_judged and models.get("train_reward") is not None
    policy_id = models.get("train_policy") if has_reward_model else None
    compared = _evaluated_answers(store, cycle, sft_id, policy_id, holdout)
    return Done(
        revisions=revisions,
        has_sft=True,
        candidates=candidates,
        judged=judged,
        probed=_count_probes(store, cycle),
        hacks=len(unrepaired(cycle, store)),
        has_reward_model=has_reward_model,
        has_policy=policy_id is not None,
        answers=sum(len(group) for _, group in compared),
        outside=_outside_answers(store, cycle, holdout),
        evaluated=_count_judgements(store, evaluating, compared),
    )


Group = tuple[Prompt, Sequence[Candidate]]
"""A prompt, with answers to it that are compared with each other."""


def _answers(
    store: Store, batch: CandidateBatch, prompts: Sequence[Prompt], count: int
) -> list[Group]:
    answers = queries.candidates_by_prompt(
        store, batch.model_id, batch.sampling, batch.seed, prompts
    )
    return [
        (prompt, [each for each in answers.get(prompt.id, []) if each.sample_index < count])
        for prompt in prompts
    ]


def _evaluated_answers(
    store: Store, cycle: Cycle, sft_id: str, policy_id: str | None, holdout: Sequence[Prompt]
) -> list[Group]:
    """Return the answers of policy and baseline to held-out prompts, in pairs where both exist."""
    config = cycle.config
    sampling, count = evaluation_sampling(config), config.evaluation.samples_per_prompt
    champion = None if config.evaluation.baseline == "sft" else cycle.champion(store, sft_id)
    models = [champion or sft_id, *([policy_id] if policy_id else [])]
    groups_by_model = [
        _answers(store, cycle.batch(model, sampling, "evaluation"), holdout, count)
        for model in models
    ]
    sides = [
        {(prompt.id, answer.sample_index): answer for prompt, group in groups for answer in group}
        for groups in groups_by_model
    ]
    return [
        (prompt, [side[prompt.id, index] for side in sides if (prompt.id, index) in side])
        for prompt in holdout
        for index in range(count)
    ]


def _outside_answers(store: Store, cycle: Cycle, holdout: Sequence[Prompt]) -> int:
    """Return the number of answers that the baseline's server has given."""
    settings = cycle.config.evaluation.baseline
    if not isinstance(settings, EndpointBaseline):
        return 0
    batch = outside_batch(cycle, settings)
    groups = _answers(store, batch, holdout, cycle.config.evaluation.samples_per_prompt)
    return sum(len(group) for _, group in groups)


def _count_judgements(
    store: Store, panel: Collection[Panelist], groups: Sequence[Group]
) -> dict[str, int]:
    """Return the number of judgements that each judge has made already, by judge version."""
    ids = {answer.id for _, group in groups for answer in group}
    known = queries.answered_judgements(store, ids)
    counts = {}
    for panelist in panel:
        tasks = [task for group in groups for task in ranking_tasks(panelist, *group)]
        wanted = sum(task.prompt.mode in panelist.settings.modes for task in tasks)
        counts[panelist.version] = wanted - len(panelist.missing(tasks, known))
    return counts


def _count_probes(store: Store, cycle: Cycle) -> dict[str, int]:
    """Return the number of probes that each judge has answered in this cycle, by judge version."""
    rows = store.query(
        "SELECT judge_version, count(*) AS probes FROM judge_probes WHERE line = ? AND cycle = ? "
        "GROUP BY judge_version",
        [cycle.line, cycle.number],
    )
    return {row["judge_version"]: row["probes"] for row in rows}


def _count_tasks(panelist: Panelist, groups: Sequence[Group]) -> int:
    return sum(
        len(ranking_tasks(panelist, *group))
        for group in groups
        if group[0].mode in panelist.settings.modes
    )


def _trained_models(store: Store, cycle: Cycle) -> dict[str, str]:
    """Return the models that this cycle has trained, by stage."""
    models = {}
    for stage in ("train_reward", "train_policy"):
        for run in line_queries.stage_runs_of(store, cycle.line, stage):
            name = json.loads(run.detail).get("model", "")
            is_ours = run.cycle == cycle.number and run.config_hash == config_hash(cycle.config)
            if is_ours and line_queries.model(store, name) is not None:
                models[stage] = name
    return models
