"""The model learns references, revisions and abstentions; everything after stands on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flows.cycle import versions
from flows.cycle.abstention import Seeder, build_seeder
from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.ledger import StoreLedger
from flows.cycle.line import current_sft
from flows.cycle.selection import locate_reward_model
from flows.cycle.stage import StageWork, stage
from flows.training.lineage import add_model
from flows.training.selection import build_trial, split_for_selection
from flows.training.steps import Metrics, checkpoints_of, keep_metrics, track_steps
from flows.training.texts import demonstrations
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.sft import SELECTION_KEPT, SELECTION_SCORE
from rlhf_core.algorithms.sft import train_sft as sft_steps
from rlhf_core.config import Config
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import open_trunk, save_merged
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role
from rlhf_core.records import InputRole, ModelVersion, Prompt, Revision, Split
from rlhf_core.store import Store, queries


@cycle_flow("train_sft")
def train_sft(cycle: Cycle, prompt_set_id: str, reviser: str | None = None) -> str:
    """Train the SFT model if it is missing; its id."""
    with stage(cycle, "train_sft") as work:
        seeder = build_seeder(cycle.config, StoreLedger(work.store, cycle.budget))
        seeds = seeder.name if seeder else None
        version = current_sft(cycle.config, work.store, cycle.number, reviser, seeds)
        if queries.model(work.store, version.id) is None:
            prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
            _train(cycle, work, prompts, reviser, seeder, version)
            work.news = "trained"
        work.detail = {
            "model": version.id,
            **_seeded(work.store, version.id, seeder),
            **_kept(work.store, version.id),
        }
    return version.id


def _train(
    cycle: Cycle,
    work: StageWork,
    prompts: Sequence[Prompt],
    reviser: str | None,
    seeder: Seeder | None,
    version: ModelVersion,
) -> None:
    config = cycle.config
    learnt, aside = split_for_selection(config, prompts)
    revisions = _last_revisions(work.store, config, learnt, reviser)
    trunk = on_all_ranks(open_trunk, config.policy.model, cycle.compute(), config.policy.lora_rank)
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    settings, trial = config.sft, on_all_ranks(build_trial, config, chat, aside)
    shown = {prompt.id: min(len(prompt.reference_answers), 1) for prompt in learnt}
    for revision in revisions:
        shown[revision.prompt_id] += 1
    abstentions, verdicts = seeder.seed(cycle, work, trunk, learnt, shown) if seeder else ([], [])
    unknown = {abstention.prompt_id for abstention in abstentions}
    revisions = [revision for revision in revisions if revision.prompt_id not in unknown]
    cut_off = queries.revisions_cut_off(work.store, revisions)
    sequences = demonstrations(chat, learnt, revisions, abstentions, cut_off)
    steps = step_count(len(sequences), settings.prompts_per_step, settings.epochs)
    checkpoints = checkpoints_of(cycle, version)
    training = on_all_ranks(sft_steps, trunk, sequences, settings, config.seed, checkpoints, trial)
    for step in track_steps(cycle, version, training, "fine-tuning", steps, _speaker()):
        keep_metrics(work.store, version.id, step)
    save_merged(trunk, Role.SFT, cycle.folder(version.id))
    work.store.append([versions.base(config)])
    referenced = [prompt for prompt in learnt if prompt.reference_answers]
    chosen_by = _chosen_by(work.store, config)
    learnt_from = [*referenced, *revisions, *abstentions, *verdicts, *chosen_by]
    add_model(work.store, version, learnt_from, {InputRole.CHOSEN_ON: aside})
    checkpoints.clear()


def _speaker() -> Callable[[Metrics], str]:
    """Says the loss of each step beside the bar, and what the last trial came to."""
    last = ""

    def say(metrics: Metrics) -> str:
        nonlocal last
        if SELECTION_SCORE in metrics:
            last = f"  reward {metrics[SELECTION_SCORE]:+.2f}"
        return f"loss {metrics['loss']:.3f}{last}"

    return say


def _seeded(store: Store, model_id: str, seeder: Seeder | None) -> dict[str, int]:
    """How many abstentions a model learnt from, where any are seeded."""
    if seeder is None:
        return {}
    made = queries.revisions_by(store, seeder.name).values()
    ids = {revision.id for chain in made for revision in chain}
    learnt = {row.input_id for row in queries.inputs_of(store, model_id)}
    return {"abstentions": len(ids & learnt)}


def _kept(store: Store, model_id: str) -> dict[str, str]:
    """Which step's weights were kept, where they were chosen."""
    metrics = queries.metrics_of(store, model_id)
    tried = metrics.get(SELECTION_SCORE, [])
    if not tried:
        return {}
    steps = [step for step, is_kept in metrics.get(SELECTION_KEPT, []) if is_kept]
    kept = [point for point in tried if point[0] in steps[-1:]]
    step, score = kept[0] if kept else max(tried, key=lambda point: point[1])
    return {"kept": f"step {step} of {tried[-1][0]} (reward {score:+.2f})"}


def _chosen_by(store: Store, config: Config) -> list[ModelVersion]:
    """The reward model that the weights were chosen by, where it is one of this store."""
    if config.sft.selection is None:
        return []
    chooser = locate_reward_model(config.sft.selection.reward_model, config.artifacts / "models")
    found = queries.model(store, Path(chooser).name)
    return [found] if found else []


def _last_revisions(
    store: Store, config: Config, prompts: Sequence[Prompt], reviser: str | None
) -> list[Revision]:
    """Of each prompt whose answer went through all rounds."""
    if reviser is None or config.revision is None:
        return []
    chains = queries.revisions_by(store, reviser)
    found = [chains[prompt.id][-1] for prompt in prompts if prompt.id in chains]
    return [revision for revision in found if revision.round >= config.revision.rounds]
