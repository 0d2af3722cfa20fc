"""The model is fine-tuned on the reference answers; everything after stands on it."""

from prefect import flow

from flows import _versions
from flows._cycle import Cycle
from flows._progress import progress
from flows._stage import StageWork, stage
from flows._training import add_model, demonstrations, keep_metrics
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.algorithms.sft import train_sft as sft_steps
from rlhf_core.models.artifacts import open_trunk, save_merged
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role
from rlhf_core.records import ModelVersion, Split
from rlhf_core.store import queries


@flow(name="train_sft")
def train_sft(cycle: Cycle, prompt_set_id: str) -> str:
    """Train the SFT model if it is missing; its id."""
    version = _versions.sft(cycle.config)
    with stage(cycle, "train_sft") as work:
        if queries.model(work.store, version.id) is None:
            _train(cycle, work, prompt_set_id, version)
            work.news = "trained"
        work.detail = {"model": version.id}
    return version.id


def _train(cycle: Cycle, work: StageWork, prompt_set_id: str, version: ModelVersion) -> None:
    config = cycle.config
    prompts = [
        prompt
        for prompt in queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        if prompt.reference_answers
    ]
    trunk = open_trunk(config.policy.model, cycle.compute(), config.policy.lora_rank)
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    sequences = demonstrations(chat, prompts)
    settings = config.sft
    steps = step_count(len(sequences), settings.prompts_per_step, settings.epochs)
    with progress("fine-tuning", steps) as advance:
        for step in sft_steps(trunk, sequences, settings, config.seed):
            keep_metrics(work.store, version.id, step)
            advance(1, f"loss {step.metrics['loss']:.3f}")
    save_merged(trunk, Role.SFT, cycle.folder(version.id))
    work.store.append([_versions.base(config)])
    add_model(work.store, version, prompts)
