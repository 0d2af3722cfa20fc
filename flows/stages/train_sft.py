"""The base model is fine-tuned on references, revisions and abstentions."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from flows.cycle import versions
from flows.cycle.abstention import Seeder, build_seeder
from flows.cycle.cycle import Cycle
from flows.cycle.engine import open_base_engine, samples_base
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.ledger import StoreLedger
from flows.cycle.line import current_sft
from flows.cycle.selection import locate_reward_model, selecting_judge
from flows.cycle.stage import StageWork, stage
from flows.service.gpu import take_gpu
from flows.training.lineage import add_model, making
from flows.training.selection import build_trial, split_for_selection
from flows.training.steps import Metrics, checkpoints_of, keep_metrics, track_steps
from flows.training.texts import demonstrations
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.sft import SELECTION_KEPT, SELECTION_SCORE
from rlhf_core.algorithms.sft import train_sft as sft_steps
from rlhf_core.config import Config
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import open_trunk, save_merged
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.trunk import Role
from rlhf_core.records import InputRole, Judgement, ModelVersion, Prompt, Revision, Split
from rlhf_core.sampling.sampler import LOCAL, Sampler
from rlhf_core.store import Store, line_queries, queries


@cycle_flow("train_sft")
def train_sft(cycle: Cycle, prompt_set_id: str, reviser: str | None = None) -> str:
    """Train the SFT model if it is missing.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        reviser: Version of the reviser; None without revision.

    Returns:
        The id of the SFT model.
    """
    with stage(cycle, "train_sft") as work:
        seeder = build_seeder(
            cycle.config, StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)
        )
        seeds = seeder.name if seeder else None
        version = current_sft(cycle.config, work.store, cycle.number, reviser, seeds)
        with making(cycle, work, version) as is_missing:
            if is_missing:
                prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
                _train(cycle, work, prompts, reviser, seeder, version)
                work.news = "trained"
        work.detail = {
            "model": version.id,
            **_abstention_detail(work.store, version.id, seeder),
            **_selection_detail(work.store, version.id),
        }
        work.result = Handover(prompt_set_id=prompt_set_id, reviser=reviser, sft_id=version.id)
    return version.id


@train_sft.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the abstentions, the optimizer steps and the trials of the weights."""
    config, sizes = work.config, work.sizes
    if work.done.has_sft:
        return []
    learnt, aside = split_for_selection(config, work.train)
    demonstrations = sum(bool(prompt.reference_answers) for prompt in learnt)
    demonstrations += len(learnt) if config.revision else 0
    steps = step_count(demonstrations, config.sft.prompts_per_step, config.sft.epochs)
    tokens = demonstrations * config.sft.epochs * (sizes.prompt + sizes.answer)
    # Beside revisions, each abstention takes the place of two demonstrations.
    at_most = ", at most" if config.sft.abstention and config.revision else ""
    return [
        *_estimate_abstentions(work, learnt),
        Row("train_sft", f"optimizer steps{at_most}", steps, sizes.training(tokens, steps)),
        *_estimate_selection(work, len(aside)),
    ]


def _estimate_abstentions(work: CycleWork, learnt: Sequence[Prompt]) -> list[Row]:
    """Estimate the base model's answers and their judgements."""
    seeder = build_seeder(work.config)
    if seeder is None:
        return []
    answers = len(seeder.answerable_prompts(learnt)) * seeder.settings.answers
    seconds = work.sizes.sampling(answers * work.sizes.answer)
    return [
        Row("train_sft", "answers that show what is known", answers, seconds),
        work.judgements("train_sft", seeder.judge, answers),
    ]


def _estimate_selection(work: CycleWork, aside: int) -> list[Row]:
    """Estimate the trials of the weights: their answers, and the reward model's scores."""
    sizes, sft = work.sizes, work.config.sft
    judge, settings = selecting_judge(work.config), sft.selection
    if judge is None or settings is None:
        return []
    answers = aside * math.ceil(sft.epochs / settings.every_epochs)
    load = judge.workload(sizes.prompt, sizes.answer)
    scoring = sizes.judging(answers * load.tokens, load.parameters)
    seconds = sizes.sampling(answers * sizes.answer) + scoring
    return [Row("train_sft", "answers to choose by", answers, seconds)]


def _train(
    cycle: Cycle,
    work: StageWork,
    prompts: Sequence[Prompt],
    reviser: str | None,
    seeder: Seeder | None,
    version: ModelVersion,
) -> None:
    config = cycle.config
    take_gpu(config)
    learnt, aside = split_for_selection(config, prompts)
    revisions = _last_revisions(work.store, config, learnt, reviser)
    trunk = on_all_ranks(
        open_trunk, config.policy.model, cycle.compute(), trained_lora(config.policy)
    )
    chat = policy_chat(trunk.tokenizer, config.policy)
    settings, checkpoints = config.sft, checkpoints_of(cycle, version)
    shown = {prompt.id: min(len(prompt.reference_answers), 1) for prompt in learnt}
    for revision in revisions:
        shown[revision.prompt_id] += 1
    abstentions, verdicts = list[Revision](), list[Judgement]()
    with _engine(cycle) as sampler:
        if seeder is not None:
            abstentions, verdicts = seeder.seed(cycle, work, trunk, learnt, shown, sampler)
        unknown = {abstention.prompt_id for abstention in abstentions}
        revisions = [revision for revision in revisions if revision.prompt_id not in unknown]
        cut_off = queries.revisions_cut_off(work.store, revisions)
        sequences = demonstrations(chat, learnt, revisions, abstentions, cut_off)
        steps = step_count(len(sequences), settings.prompts_per_step, settings.epochs)
        trial = on_all_ranks(build_trial, config, chat, aside, sampler)
        training = on_all_ranks(
            sft_steps, trunk, sequences, settings, config.seed, checkpoints, trial
        )
        for step in track_steps(cycle, version, training, "fine-tuning", steps, _describer()):
            keep_metrics(work.store, version.id, step)
    on_all_ranks(save_merged, trunk, Role.SFT, cycle.folder(version.id), config.policy.model)
    work.store.append([versions.base(config)])
    referenced = [prompt for prompt in learnt if prompt.reference_answers]
    learnt_from = [
        *referenced,
        *revisions,
        *abstentions,
        *verdicts,
        *_selecting_model(work.store, config),
    ]
    add_model(work.store, version, learnt_from, {InputRole.CHOSEN_ON: aside})
    checkpoints.clear()


def _engine(cycle: Cycle) -> AbstractContextManager[Sampler]:
    """Return the engine of the answers that the fine-tuning samples; without any it starts none."""
    return open_base_engine(cycle) if samples_base(cycle.config) else nullcontext(LOCAL)


def _describer() -> Callable[[Metrics], str]:
    """Return a function that describes each step's loss and the score of the last trial."""
    last = ""

    def describe(metrics: Metrics) -> str:
        nonlocal last
        if SELECTION_SCORE in metrics:
            last = f"  reward {metrics[SELECTION_SCORE]:+.2f}"
        return f"loss {metrics['loss']:.3f}{last}"

    return describe


def _abstention_detail(store: Store, model_id: str, seeder: Seeder | None) -> dict[str, int]:
    """Return the number of abstentions that a model learnt from; empty without abstentions."""
    if seeder is None:
        return {}
    chains = queries.revisions_by(store, seeder.name).values()
    ids = {revision.id for chain in chains for revision in chain}
    learnt = {row.input_id for row in line_queries.inputs_of(store, model_id)}
    return {"abstentions": len(ids & learnt)}


def _selection_detail(store: Store, model_id: str) -> dict[str, str]:
    """Return the step whose weights were kept; empty without selection."""
    metrics = line_queries.metrics_of(store, model_id)
    tried = metrics.get(SELECTION_SCORE, [])
    if not tried:
        return {}
    steps = [step for step, is_kept in metrics.get(SELECTION_KEPT, []) if is_kept]
    kept = [point for point in tried if point[0] in steps[-1:]]
    step, score = kept[0] if kept else max(tried, key=lambda point: point[1])
    return {"kept": f"step {step} of {tried[-1][0]} (reward {score:+.2f})"}


def _selecting_model(store: Store, config: Config) -> list[ModelVersion]:
    """Return the reward model that selected the weights, if it is a model of this store."""
    if config.sft.selection is None:
        return []
    folder = locate_reward_model(config.sft.selection.reward_model, config.artifacts / "models")
    model = line_queries.model(store, Path(folder).name)
    return [model] if model else []


def _last_revisions(
    store: Store, config: Config, prompts: Sequence[Prompt], reviser: str | None
) -> list[Revision]:
    """Return the last revision of each prompt whose answer went through all rounds."""
    if reviser is None or config.revision is None:
        return []
    chains = queries.revisions_by(store, reviser)
    last = [chains[prompt.id][-1] for prompt in prompts if prompt.id in chains]
    return [revision for revision in last if revision.round >= config.revision.rounds]
