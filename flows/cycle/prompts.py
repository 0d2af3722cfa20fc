"""The prompts of a cycle: read from their source, checked, screened and split."""

import logging
from collections.abc import Sequence

from flows.cycle.outside import check_baseline
from flows.cycle.tombstones import read_tombstones
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.models.chat import ChatFormat, policy_chat
from rlhf_core.models.loading import context_length, load_tokenizer, read_config
from rlhf_core.prompts.intake import Intake, read_prompts
from rlhf_core.records import Prompt, Split
from rlhf_core.store import Store, queries, store_exists

logger = logging.getLogger(__name__)


def read_checked_prompts(config: Config) -> Intake:
    """Read the prompts of the source without the deleted ones, and check that a run can use them.

    Raises:
        DataFileError: If a prompt is too long or the chat template cannot render it, a split is
            empty, or a user would be in both splits.
        ConfigError: If the policy's model could not read a prompt with its answer, or the file of
            evaluation.baseline does not answer a held-out prompt.
    """
    store = Store(config.store) if store_exists(config.store) else None
    if store is None:
        intake = read_prompts(config.prompts)
    else:
        intake = read_prompts(config.prompts, *read_tombstones(store))
    prompts = intake.prompts
    _refuse_empty_splits(config, prompts)
    if store is not None and intake.users:
        _refuse_other_splits(config, prompts, store)
    chat = policy_chat(load_tokenizer(config.policy.model), config.policy)
    for prompt in prompts:
        try:
            length = len(chat.prompt_ids(prompt.conversation))
        except ConfigError as error:
            raise DataFileError(
                f"{config.prompts.path}: the prompt {prompt.text[:60]!r}: {error}"
            ) from None
        if length > config.policy.max_prompt_tokens:
            raise DataFileError(
                f"{config.prompts.path}: the prompt {prompt.text[:60]!r} has {length} tokens, more "
                f"than policy.max_prompt_tokens = {config.policy.max_prompt_tokens}; shorten it or "
                "raise the limit"
            )
    _refuse_unreadable_texts(config, chat, prompts)
    _log_marks(config, chat, prompts)
    check_baseline(config, [prompt for prompt in prompts if prompt.split is Split.HOLDOUT])
    return intake


def _log_marks(config: Config, chat: ChatFormat, prompts: Sequence[Prompt]) -> None:
    """Log how many prompts spell marks of turns that are ordinary words."""
    spelling = [prompt for prompt in prompts if chat.marks.spells_words(prompt.text)]
    if spelling:
        logger.info(
            "prompts that spell a mark of the chat template of %s (%s): %d, the first %r; the "
            "model reads a mark with a space before its last character, so that none opens a turn",
            config.policy.model,
            " ".join(chat.marks.words),
            len(spelling),
            spelling[0].text[:60],
        )


def _refuse_unreadable_texts(config: Config, chat: ChatFormat, prompts: Sequence[Prompt]) -> None:
    """Refuse texts that the policy's model could not read to their end.

    Args:
        config: Names the model and the length of its answers.
        chat: The model's chat format.
        prompts: All prompts of the run.

    Raises:
        ConfigError: If a prompt with its answer has more tokens than the model has positions, or
            the tokenizer writes a token that the model's embedding lacks.
    """
    model = read_config(config.policy.model)
    positions, known = context_length(model), model.get_text_config().vocab_size
    for prompt in prompts:
        ids = chat.prompt_ids(prompt.conversation)
        answers = [chat.answer_ids(text) for text in prompt.reference_answers]
        written = [token for text in (ids, *answers) for token in text if token >= known]
        if written:
            raise ConfigError(
                f"policy.model = {config.policy.model!r}: its tokenizer writes "
                f"{chat.tokenizer.convert_ids_to_tokens(written[0])!r} as id {written[0]}, and the "
                f"model knows {known} tokens; resize its embedding"
            )
        references = max(map(len, answers), default=0)
        length = len(ids) + max(config.sampling.max_new_tokens, references)
        if positions is not None and length > positions:
            raise ConfigError(
                f"policy.model = {config.policy.model!r} reads at most {positions} tokens, and the "
                f"prompt {prompt.text[:60]!r} has {len(ids)} and its answer up to "
                f"{length - len(ids)}; shorten it, or lower sampling.max_new_tokens"
            )


def log_own_system_message(config: Config) -> None:
    """Log the system message that the chat template adds if the config names none."""
    if config.policy.system_prompt is not None:
        return
    message = ChatFormat(load_tokenizer(config.policy.model), None).default_system_message()
    if message is not None:
        logger.info(
            "policy.system_prompt is null, and the chat template of %s writes a system message of "
            "its own before every prompt: %r",
            config.policy.model,
            message,
        )


def _refuse_other_splits(config: Config, prompts: Sequence[Prompt], store: Store) -> None:
    """Refuse prompts that would change their split: a prompt keeps the split it was stored with."""
    kept = queries.splits_of(store, [prompt.id for prompt in prompts])
    moved = sum(kept.get(prompt.id, prompt.split) is not prompt.split for prompt in prompts)
    if moved:
        raise DataFileError(
            f"{config.prompts.path}: {moved} prompts are in {config.store} in another split than "
            "their users get now; set prompts.columns.user and prompts.holdout from the first run "
            "on, or use another store"
        )


def _refuse_empty_splits(config: Config, prompts: Sequence[Prompt]) -> None:
    for split in Split:
        if not any(prompt.split is split for prompt in prompts):
            raise DataFileError(
                f"{config.prompts.path}: with {len(prompts)} prompts and prompts.holdout = "
                f"{config.prompts.holdout} the {split} split is empty; add prompts or change the "
                "share"
            )
