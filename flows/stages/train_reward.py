"""A reward model is trained on the rankings of this cycle and the cycles before it."""

from collections.abc import Mapping, Sequence

from flows.cycle import versions
from flows.cycle.baseline import check_feedback
from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.stage import StageWork, stage
from flows.service.events import Event, announce
from flows.service.gpu import take_gpu
from flows.training.lineage import Roles, add_model, making
from flows.training.rankings import ranked_candidates, training_rankings
from flows.training.reward_comparison import compare_reward_model
from flows.training.steps import checkpoints_of, keep_metrics, track_steps
from flows.training.texts import demonstrations
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.rankings import RankedCandidates, hold_out
from rlhf_core.algorithms.reward_model import normalise, train_reward_model
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role
from rlhf_core.records import InputRole, Metric, ModelVersion, Prompt, Ranking, Split
from rlhf_core.store import line_queries, queries


@cycle_flow("train_reward")
def train_reward(cycle: Cycle, prompt_set_id: str, sft_id: str, recipe: str) -> str:
    """Train the reward model if it is missing, and compare it with the line's last one.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        sft_id: SFT model of the line.
        recipe: Recipe of this cycle's rankings.

    Returns:
        The id of the reward model to train the policy with: the new one if it was accepted, else
        the last one.

    Raises:
        ChampionChangedError: If a rollback changed the champion, and nothing was sampled from the
            new one.
    """
    with stage(cycle, "train_reward") as work:
        check_feedback(cycle, work.store, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        rankings = training_rankings(cycle, work.store, sft_id, recipe, prompts)
        ids = [ranking.id for ranking in rankings]
        left_out = [
            *queries.retracted_pairs(work.store, rankings),
            *queries.retracted_prompts(work.store, prompt_set_id, Split.TRAIN),
        ]
        version = versions.reward(cycle.config, sft_id, ids, left_out)
        with making(cycle, work, version) as is_missing:
            if is_missing:
                _train(cycle, work, sft_id, version, prompts, rankings)
                work.news = "trained"
                announce(
                    Event.REWARD_MODEL_TRAINED,
                    cycle.line,
                    cycle=cycle.number,
                    model=version.id,
                    rankings=len(rankings),
                )
        is_decided = line_queries.reward_comparison(work.store, cycle.line, version.id) is not None
        decision = compare_reward_model(cycle, work.store, version, rankings)
        accepted = version.id if decision.accepted else str(decision.baseline_id)
        work.detail = {"model": accepted, "rankings": len(rankings)}
        work.result = Handover(
            prompt_set_id=prompt_set_id, sft_id=sft_id, recipe=recipe, reward_id=accepted
        )
        if not decision.accepted:
            work.detail |= {"refused": version.id, "because": decision.reason}
        if not decision.accepted and not is_decided:
            announce(
                Event.REWARD_MODEL_REFUSED,
                cycle.line,
                cycle=cycle.number,
                refused=version.id,
                model=accepted,
            )
    return accepted


@train_reward.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the optimizer steps on all rankings."""
    settings, sizes = work.config.reward_model, work.sizes
    if work.done.has_reward_model:
        return []
    steps = step_count(work.rankings, settings.prompts_per_step, settings.epochs)
    row = sizes.prompt + work.config.sampling.candidates * sizes.answer
    seconds = sizes.training(work.rankings * settings.epochs * row, steps)
    return [Row("train_reward", "optimizer steps, at most", steps, seconds)]


def _train(
    cycle: Cycle,
    work: StageWork,
    sft_id: str,
    version: ModelVersion,
    prompts: Sequence[Prompt],
    rankings: Sequence[Ranking],
) -> None:
    config = cycle.config
    take_gpu(config)
    base = cycle.folder(sft_id)
    trunk = on_all_ranks(open_trunk, str(base), cycle.compute(), config.policy.lora_rank)
    chat = policy_chat(trunk.tokenizer, config.policy)
    settings = config.reward_model
    learnable = ranked_candidates(work.store, chat, rankings, settings, config)
    learnt, held_out = hold_out(learnable, settings.holdout)
    steps = step_count(len(learnt), settings.prompts_per_step, settings.epochs)
    checkpoints = checkpoints_of(cycle, version)
    training = on_all_ranks(
        train_reward_model, trunk, learnt, settings, config.seed, checkpoints, held_out
    )
    for step in track_steps(cycle, version, training, "reward model", steps, _describe):
        keep_metrics(work.store, version.id, step)
    referenced = [prompt for prompt in prompts if prompt.reference_answers]
    references = demonstrations(chat, referenced) or _all_sequences(learnable)
    normalisation = on_all_ranks(normalise, trunk, references)
    work.store.append(
        Metric(model_id=version.id, step=steps, name=name, value=value)
        for name, value in normalisation.items()
    )
    save_role(trunk, Role.REWARD, cycle.folder(version.id), base)
    others: Roles = {
        InputRole.NORMALISED_ON: referenced,
        InputRole.LEFT_OUT: queries.pairs_left_out(work.store, rankings),
    }
    add_model(work.store, version, rankings, others)
    checkpoints.clear()


def _describe(metrics: Mapping[str, float]) -> str:
    """Return the metrics that the progress bar shows."""
    if "accuracy" not in metrics:
        return f"loss {metrics['loss']:.3f}  no ranking with an order"
    return f"loss {metrics['loss']:.3f}  in order {metrics['accuracy']:.0%}"


def _all_sequences(rankings: Sequence[RankedCandidates]) -> list[TokenSequence]:
    return [sequence for ranking in rankings for sequence in ranking.sequences]
