"""The model is fine-tuned on reference answers and revisions; everything after stands on it."""

from collections.abc import Mapping, Sequence

from prefect import flow

from flows import _versions
from flows._cycle import Cycle
from flows._stage import StageWork, stage
from flows._together import together
from flows._training import add_model, checkpoints_of, demonstrations, followed, keep_metrics
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.sft import train_sft as sft_steps
from rlhf_core.config import Config
from rlhf_core.models.artifacts import open_trunk, save_merged
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role
from rlhf_core.records import ModelVersion, Prompt, Revision, Split
from rlhf_core.store import Store, queries


@flow(name="train_sft")
def train_sft(cycle: Cycle, prompt_set_id: str, reviser: str | None = None) -> str:
    """Train the SFT model if it is missing; its id."""
    version = _versions.sft(cycle.config, reviser)
    with stage(cycle, "train_sft") as work:
        if queries.model(work.store, version.id) is None:
            _train(cycle, work, prompt_set_id, reviser, version)
            work.news = "trained"
        work.detail = {"model": version.id}
    return version.id


def _train(
    cycle: Cycle, work: StageWork, prompt_set_id: str, reviser: str | None, version: ModelVersion
) -> None:
    config = cycle.config
    prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
    revisions = _last_revisions(work.store, config, prompts, reviser)
    trunk = together(open_trunk, config.policy.model, cycle.compute(), config.policy.lora_rank)
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    sequences = demonstrations(chat, prompts, revisions)
    settings = config.sft
    steps = step_count(len(sequences), settings.prompts_per_step, settings.epochs)
    checkpoints = checkpoints_of(cycle, version)
    training = together(sft_steps, trunk, sequences, settings, config.seed, checkpoints)
    for step in followed(cycle, version, training, "fine-tuning", steps, _said):
        keep_metrics(work.store, version.id, step)
    save_merged(trunk, Role.SFT, cycle.folder(version.id))
    work.store.append([_versions.base(config)])
    referenced = [prompt for prompt in prompts if prompt.reference_answers]
    add_model(work.store, version, [*referenced, *revisions])
    checkpoints.clear()


def _said(metrics: Mapping[str, float]) -> str:
    return f"loss {metrics['loss']:.3f}"


def _last_revisions(
    store: Store, config: Config, prompts: Sequence[Prompt], reviser: str | None
) -> list[Revision]:
    """Of each prompt whose answer went through all rounds."""
    if reviser is None or config.revision is None:
        return []
    chains = queries.revisions_by(store, reviser)
    found = [chains[prompt.id][-1] for prompt in prompts if prompt.id in chains]
    return [revision for revision in found if revision.round >= config.revision.rounds]
