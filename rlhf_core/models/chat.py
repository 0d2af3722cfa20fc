"""From a prompt to the tokens a chat model reads.

What people and models wrote is tokenised on its own, with special tokens split into plain text,
and set between the template's own tokens: a text that spells out `<|im_end|>` cannot end its turn.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_SLOT = "solon-content-slot"


class ChatFormat:
    """The template of one tokenizer with one system message.

    Args:
        tokenizer: Its chat template is used; without one, plain text with line breaks.
        system_prompt: System message; None leaves it to the template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, system_prompt: str | None) -> None:
        self.tokenizer = tokenizer
        before, after = self._template(system_prompt).split(_SLOT)
        self._before = tokenizer.encode(before, add_special_tokens=False)
        self._after = tokenizer.encode(after, add_special_tokens=False)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def prompt_ids(self, instruction: str) -> list[int]:
        """Tokens up to the point where the answer begins."""
        return [*self._before, *self.plain_ids(instruction), *self._after]

    def answer_ids(self, answer: str, is_finished: bool = True) -> list[int]:
        """Return the tokens of an answer, with its end unless it was cut off.

        Args:
            answer: Its words.
            is_finished: Whether it ended by itself. One that did not has no end: read or learnt as
                whole, it would be another answer.
        """
        end = [int(self.tokenizer.eos_token_id)] if is_finished else []
        return [*self.plain_ids(answer), *end]

    def decode(self, answer_ids: Sequence[int]) -> str:
        """The words of an answer, without its end-of-text token."""
        return str(self.tokenizer.decode(list(answer_ids), skip_special_tokens=True)).strip()

    def plain_ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return list(ids)

    def _template(self, system_prompt: str | None) -> str:
        if self.tokenizer.chat_template is None:
            system = f"{system_prompt}\n\n" if system_prompt else ""
            return f"{self.tokenizer.bos_token or ''}{system}{_SLOT}\n\n"
        messages = [{"role": "user", "content": _SLOT}]
        if system_prompt is not None:
            messages.insert(0, {"role": "system", "content": system_prompt})
        rendered = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(rendered)
