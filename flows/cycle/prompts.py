"""Reading the prompts of a cycle: checked, screened and split."""

import logging
from collections.abc import Sequence

from rlhf_core.config import Config
from rlhf_core.errors import DataFileError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.prompts.intake import Intake, Tombstones, read_prompts
from rlhf_core.prompts.users import UserHashes
from rlhf_core.records import Prompt, Split
from rlhf_core.store import Store, queries, store_exists
from rlhf_core.store.user_key import user_hashes

logger = logging.getLogger(__name__)


def read_checked_prompts(config: Config) -> Intake:
    """The prompts of the source but for those that were deleted, when a run can use all of them.

    Raises:
        DataFileError: If one is too long, a split has none, or a user would be on both sides.
    """
    store = Store(config.store) if store_exists(config.store) else None
    if store is None:
        intake = read_prompts(config.prompts)
    else:
        intake = read_prompts(config.prompts, *_deleted(store))
    prompts = intake.prompts
    _refuse_empty_splits(config, prompts)
    if store is not None and intake.users:
        _refuse_other_splits(config, prompts, store)
    chat = ChatFormat(load_tokenizer(config.policy.model), config.policy.system_prompt)
    for prompt in prompts:
        length = len(chat.prompt_ids(prompt.instruction))
        if length > config.policy.max_prompt_tokens:
            raise DataFileError(
                f"{config.prompts.path}: the prompt {prompt.text[:60]!r} has {length} tokens, more "
                f"than policy.max_prompt_tokens = {config.policy.max_prompt_tokens}; shorten it or "
                "raise the limit"
            )
    return intake


def _show_own_system_message(config: Config) -> None:
    """Say what every prompt is preceded by, where the config leaves that to the chat template."""
    if config.policy.system_prompt is not None:
        return
    message = ChatFormat(load_tokenizer(config.policy.model), None).own_system_message()
    if message is not None:
        logger.info(
            "policy.system_prompt is null, and the chat template of %s writes a system message of "
            "its own before every prompt: %r",
            config.policy.model,
            message,
        )


def _deleted(store: Store) -> tuple[Tombstones, UserHashes]:
    """What must not come back, and how to tell whose it was."""
    tombstones, hashes = queries.tombstones(store), user_hashes(store.files)
    unread = sum(not hashes.can_read(user_hash) for _, user_hash in tombstones)
    if unread:
        logger.warning(
            "the key of %d deleted prompts is not here, so they stay away whoever sends them; put "
            "back %s, or set SOLON_USER_KEY",
            unread,
            store.files.user_key,
        )
    return tombstones, hashes


def _refuse_other_splits(config: Config, prompts: Sequence[Prompt], store: Store) -> None:
    """A prompt in the store keeps its split, so one split without its user stays where it is."""
    kept = queries.splits_of(store, [prompt.id for prompt in prompts])
    moved = sum(kept.get(prompt.id, prompt.split) is not prompt.split for prompt in prompts)
    if moved:
        raise DataFileError(
            f"{config.prompts.path}: {moved} prompts are in {config.store} in another split than "
            "their users draw; name prompts.columns.user and prompts.holdout from the first run "
            "on, or take another store"
        )


def _refuse_empty_splits(config: Config, prompts: Sequence[Prompt]) -> None:
    for split in Split:
        if not any(prompt.split is split for prompt in prompts):
            raise DataFileError(
                f"{config.prompts.path}: with {len(prompts)} prompts and prompts.holdout = "
                f"{config.prompts.holdout} the {split} split is empty; add prompts or change the "
                "share"
            )
