"""The generation config of a model that is handed out: complete, and valid for transformers.

`generate` and most servers read it for the tokens that end an answer and for their defaults.
"""

import logging

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.models.turn_end import end_ids

logger = logging.getLogger(__name__)


def complete_generation_config(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the ids of all end tokens into the generation config, and mend it if it is invalid.

    transformers loads an invalid config but refuses to save a changed one. Published models have
    such configs: Llama 2's sets a temperature and leaves sampling off.
    """
    if model.generation_config is None:
        return
    ids = sorted(end_ids(model, tokenizer))
    model.generation_config.eos_token_id = ids if len(ids) > 1 else ids[0]
    if _fault(model.generation_config) is not None:
        model.generation_config = _mended(model.generation_config)


def _mended(config: GenerationConfig) -> GenerationConfig:
    """Return a valid config: with sampling on if that is enough, else with the token ids alone."""
    fault = _fault(config)
    sampling = GenerationConfig.from_dict({**config.to_dict(), "do_sample": True})
    if _fault(sampling) is None:
        logger.warning("generation config: %s; saved with do_sample = true", fault)
        return sampling
    logger.warning("generation config: %s; saved with its token ids alone", fault)
    return GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


def _fault(config: GenerationConfig) -> str | None:
    """Return the first fault that transformers finds in a config, in one line; None if valid."""
    try:
        config.validate(strict=True)
    except ValueError as error:
        lines = [line.strip("- \n") for line in str(error).splitlines()]
        return next((line for line in lines[1:] if line), lines[0])
    return None
