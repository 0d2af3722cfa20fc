"""Prompts are ingested: read from their source, checked, split, and kept as one set."""

from collections.abc import Sequence

from prefect import flow

from flows._cycle import Cycle
from flows._stage import stage
from rlhf_core.config import Config
from rlhf_core.errors import DataFileError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.prompts import read_prompts
from rlhf_core.records import ConfigVersion, Prompt, PromptSet, Split
from rlhf_core.store import queries


@flow(name="ingest")
def ingest(cycle: Cycle) -> str:
    """Add the prompts that are new; the id of the set the source holds now."""
    config = cycle.config
    with stage(cycle, "ingest") as work:
        prompts = read_checked_prompts(config)
        found = PromptSet(source=config.prompts.path, prompt_ids=tuple(p.id for p in prompts))
        version = ConfigVersion(config_hash=config.hash, config=config.model_dump_json())
        known = queries.known_ids(work.store, "prompts", found.prompt_ids)
        work.store.append([version, *prompts, found])
        work.detail = {
            "prompts": len(prompts),
            "train": len(queries.prompts_of(work.store, found.id, Split.TRAIN)),
            "holdout": len(queries.prompts_of(work.store, found.id, Split.HOLDOUT)),
        }
        work.news = f"{len(prompts) - len(known)} new"
    return found.id


def read_checked_prompts(config: Config) -> list[Prompt]:
    """The prompts of the source, when a run can use all of them.

    Raises:
        DataFileError: If one is too long, or a split has none.
    """
    prompts = read_prompts(config.prompts)
    _refuse_empty_splits(config, prompts)
    chat = ChatFormat(load_tokenizer(config.policy.model), config.policy.system_prompt)
    for prompt in prompts:
        length = len(chat.prompt_ids(prompt.instruction))
        if length > config.policy.max_prompt_tokens:
            raise DataFileError(
                f"{config.prompts.path}: the prompt {prompt.text[:60]!r} has {length} tokens, more "
                f"than policy.max_prompt_tokens = {config.policy.max_prompt_tokens}; shorten it or "
                "raise the limit"
            )
    return prompts


def _refuse_empty_splits(config: Config, prompts: Sequence[Prompt]) -> None:
    for split in Split:
        if not any(prompt.split is split for prompt in prompts):
            raise DataFileError(
                f"{config.prompts.path}: with {len(prompts)} prompts and prompts.holdout = "
                f"{config.prompts.holdout} the {split} split is empty; add prompts or change the "
                "share"
            )
