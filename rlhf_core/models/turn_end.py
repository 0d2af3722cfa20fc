"""The tokens that end an answer: those that a model stops at, and the one that training teaches.

A chat model's turn often ends with a token other than its tokenizer's end of text: `<end_of_turn>`
in Gemma, `<|end|>` in Phi-3, `<|eot_id|>` in Llama 3. transformers' `generate` stops at the ids in
the generation config, and so do servers that load a saved model.
"""

from collections.abc import Iterable

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.models.answer_form import read_answer_form
from rlhf_core.models.chat_template import ChatTemplate


def demonstration_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that ends a demonstration: the chat template's, or the end of text."""
    end = read_answer_form(ChatTemplate(tokenizer)).end
    ids = tokenizer.encode(end, add_special_tokens=False)
    return int(ids[-1]) if end else int(tokenizer.eos_token_id)


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids of all tokens that end an answer of the model.

    Args:
        model: Its config and generation config may each name one or several.
        tokenizer: Names the end of text; its chat template may end a turn with another token.
    """
    generation = model.generation_config
    named = [
        demonstration_end(tokenizer),
        tokenizer.eos_token_id,
        getattr(model.config.get_text_config(), "eos_token_id", None),
        getattr(model.config, "eos_token_id", None),
        generation.eos_token_id if generation is not None else None,
    ]
    return frozenset(token for ids in named for token in _as_ids(ids))


def strip_end(token_ids: Iterable[int], ends: frozenset[int]) -> list[int]:
    """Return the tokens of an answer without its end, which a tokenizer may print as text."""
    ids = list(token_ids)
    return ids[:-1] if ids and ids[-1] in ends else ids


def _as_ids(named: int | list[int] | None) -> list[int]:
    if named is None:
        return []
    return [int(token) for token in named] if isinstance(named, list | tuple) else [int(named)]
