"""A reward model is trained on the rankings of this cycle and the cycles before it.

It also learns from comparisons of the answers that raised alarms in earlier cycles. If it still
prefers such answers on prompts that were kept aside, it is trained again with more copies of these
comparisons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.cycle import versions
from flows.cycle.baseline import check_feedback
from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.stage import StageWork, stage
from flows.guard.hacks import Repair
from flows.guard.regression import confirmed_repairs, learnt_rankings, measure_hacks
from flows.service.events import Event, announce
from flows.service.gpu import take_gpu
from flows.training.lineage import InputsByRole, add_model, making
from flows.training.rankings import ranked_candidates, training_rankings
from flows.training.reward_comparison import compare_reward_model
from flows.training.steps import checkpoints_of, keep_metrics, track_steps
from flows.training.texts import demonstrations
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.rankings import RankedCandidates, hold_out
from rlhf_core.algorithms.reward_model import normalise, train_reward_model
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.errors import TrainingError
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role
from rlhf_core.records import GuardTest, InputRole, Metric, ModelVersion, Prompt, Ranking, Split
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
        TrainingError: If it still prefers the answers of a known hack after all rounds.
    """
    with stage(cycle, "train_reward") as work:
        check_feedback(cycle, work.store, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        rankings = training_rankings(cycle, work.store, sft_id, recipe, prompts)
        repairs = confirmed_repairs(cycle, work.store)
        data = _Data(sft_id, prompt_set_id, prompts, rankings, learnt_rankings(work.store, repairs))
        version, tested = _train_until_passed(cycle, work, data, repairs)
        is_decided = line_queries.reward_comparison(work.store, cycle.line, version.id) is not None
        decision = compare_reward_model(cycle, work.store, version, rankings)
        accepted = version.id if decision.accepted else str(decision.baseline_id)
        if not decision.accepted:
            _refuse_failed(cycle, work, accepted, repairs)
        work.detail = {"model": accepted, "rankings": len(rankings)}
        if repairs:
            work.detail["hacks passed"] = tested
            work.detail["hacks not tested"] = len({each.policy_id for each in repairs}) - tested
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


@dataclass(frozen=True)
class _Data:
    """The data of a reward model."""

    sft_id: str
    prompt_set_id: str
    prompts: Sequence[Prompt]
    rankings: Sequence[Ranking]
    hacks: Mapping[str, Sequence[Ranking]]
    """Comparisons with the answers of each hack, by its policy."""

    @property
    def all_rankings(self) -> list[Ranking]:
        return [*self.rankings, *(ranking for own in self.hacks.values() for ranking in own)]


def _train_until_passed(
    cycle: Cycle, work: StageWork, data: _Data, repairs: Sequence[Repair]
) -> tuple[ModelVersion, int]:
    """Train a reward model, again with more copies of the comparisons of each hack that it fails.

    Returns:
        The reward model, and the number of hacks that it was tested on and passed.

    Raises:
        TrainingError: If it still fails after all rounds.
    """
    copies: dict[str, int] = {}
    rounds = cycle.config.guard.repair_rounds
    for number in range(rounds + 1):
        version = _train_if_missing(cycle, work, data, copies)
        tests = measure_hacks(cycle, work.store, version, repairs, copies)
        failed = [test for test in tests if not test.passed]
        if not failed:
            return version, len(tests)
        if number < rounds:
            work.logger.warning(
                "%s; training it again with more of their comparisons", _told(failed)
            )
        copies |= {test.policy_id: 2 * test.copies for test in failed}
    raise TrainingError(
        f"{_told(failed)}, after {rounds} repair rounds, so it trains no policy. Raise "
        "guard.repair_rounds, or take back wrong comparisons with `solon retract`"
    )


def _refuse_failed(
    cycle: Cycle, work: StageWork, reward_id: str, repairs: Sequence[Repair]
) -> None:
    """Refuse the line's last reward model if it prefers the answers of a hack found since.

    Raises:
        TrainingError: If it does, so that no reward model may train a policy.
    """
    version = line_queries.model(work.store, reward_id)
    assert version is not None, "it was accepted"
    failed = [t for t in measure_hacks(cycle, work.store, version, repairs, {}) if not t.passed]
    if failed:
        raise TrainingError(
            f"the new reward model was refused (reward_model.must_beat), and of the last one, "
            f"{_told(failed)}; so neither trains a policy. Collect more feedback, or set "
            "reward_model.must_beat to none"
        )


def _told(failed: Sequence[GuardTest]) -> str:
    return "; ".join(
        f"the reward model {test.model_id} scores the better answer higher in only "
        f"{test.preferred:.0%} of {test.pairs} comparisons with answers of {test.policy_id}, which "
        "raised alarms"
        for test in failed
    )


def _train_if_missing(
    cycle: Cycle, work: StageWork, data: _Data, copies: Mapping[str, int]
) -> ModelVersion:
    rankings = data.all_rankings
    left_out = [
        *queries.retracted_pairs(work.store, rankings),
        *queries.retracted_prompts(work.store, data.prompt_set_id, Split.TRAIN),
    ]
    ids = [ranking.id for ranking in rankings]
    version = versions.reward(cycle.config, data.sft_id, ids, left_out, copies)
    with making(cycle, work, version) as is_missing:
        if is_missing:
            _train(cycle, work, version, data, copies)
            work.news = "trained"
            announce(
                Event.REWARD_MODEL_TRAINED,
                cycle.line,
                cycle=cycle.number,
                model=version.id,
                rankings=len(rankings),
            )
    return version


def _train(
    cycle: Cycle, work: StageWork, version: ModelVersion, data: _Data, copies: Mapping[str, int]
) -> None:
    config = cycle.config
    take_gpu(config)
    base = cycle.folder(data.sft_id)
    trunk = on_all_ranks(open_trunk, str(base), cycle.compute(), trained_lora(config.policy))
    chat = policy_chat(trunk.tokenizer, config.policy)
    settings = config.reward_model
    learnable = ranked_candidates(work.store, chat, data.rankings, settings, config)
    learnt, held_out = hold_out(learnable, settings.holdout)
    for policy_id, comparisons in data.hacks.items():
        hack = ranked_candidates(work.store, chat, comparisons, settings, config)
        # Accuracy is measured as before, so these are neither held out nor of held-out prompts.
        learnt += hold_out(hack, settings.holdout)[0] * copies.get(policy_id, 1)
    steps = step_count(len(learnt), settings.prompts_per_step, settings.epochs)
    checkpoints = checkpoints_of(cycle, version)
    training = on_all_ranks(
        train_reward_model, trunk, learnt, settings, config.seed, checkpoints, held_out
    )
    for step in track_steps(cycle, version, training, "reward model", steps, _describe):
        keep_metrics(work.store, version.id, step)
    referenced = [prompt for prompt in data.prompts if prompt.reference_answers]
    references = demonstrations(chat, referenced) or _all_sequences(learnable)
    normalisation = on_all_ranks(normalise, trunk, references)
    work.store.append(
        Metric(model_id=version.id, step=steps, name=name, value=value)
        for name, value in normalisation.items()
    )
    on_all_ranks(save_role, trunk, Role.REWARD, cycle.folder(version.id), base)
    others: InputsByRole = {
        InputRole.NORMALISED_ON: referenced,
        InputRole.LEFT_OUT: queries.pairs_left_out(work.store, data.all_rankings),
    }
    add_model(work.store, version, data.all_rankings, others)
    checkpoints.clear()


def _describe(metrics: Mapping[str, float]) -> str:
    """Return the metrics that the progress bar shows."""
    if "accuracy" not in metrics:
        return f"loss {metrics['loss']:.3f}  no ranking with an order"
    return f"loss {metrics['loss']:.3f}  in order {metrics['accuracy']:.0%}"


def _all_sequences(rankings: Sequence[RankedCandidates]) -> list[TokenSequence]:
    return [sequence for ranking in rankings for sequence in ranking.sequences]
