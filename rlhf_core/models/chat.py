"""Chat templates: a prompt as the tokens that a chat model reads.

Text from people and models is tokenised by itself, with special tokens split into plain text, and
put between the template's own tokens. So a text that spells out `<|im_end|>` cannot end its turn.
"""

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlhf_core.errors import ConfigError
from rlhf_core.models.turn_end import demonstration_end, strip_end

_SLOT = "solon-content-slot"
_SYSTEM_SLOT = "solon-system-slot"


class ChatFormat:
    """The chat template of one tokenizer with one system message.

    Args:
        tokenizer: Provides the chat template; without one, plain text with line breaks is used.
        system_prompt: System message; None leaves it to the template.

    Raises:
        ConfigError: If the template refuses that system message.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, system_prompt: str | None) -> None:
        self.tokenizer = tokenizer
        try:
            before, after = self._template(system_prompt).split(_SLOT)
        except TemplateError as error:
            raise ConfigError(
                f"the chat template refuses the system message {system_prompt!r} ({error}); "
                "set system_prompt to null and put its text into the prompts"
            ) from None
        self._before = tokenizer.encode(before, add_special_tokens=False)
        self._after = tokenizer.encode(after, add_special_tokens=False)
        self._end = demonstration_end(tokenizer)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def prompt_ids(self, instruction: str) -> list[int]:
        """Return the tokens of a prompt, up to the point where the answer begins."""
        return [*self._before, *self.plain_ids(instruction), *self._after]

    def answer_ids(self, answer: str, is_finished: bool = True) -> list[int]:
        """Return the tokens of an answer, and the end token that the template writes.

        Args:
            answer: Text of the answer.
            is_finished: False for an answer that was cut off. It gets no end token: scored or
                learnt as complete, it would be another answer.
        """
        return [*self.plain_ids(answer), *([self._end] if is_finished else [])]

    def decode(self, answer_ids: Sequence[int]) -> str:
        """Return the text of an answer, without the token that ended it."""
        words = strip_end(answer_ids, frozenset([self._end]))
        return str(self.tokenizer.decode(words, skip_special_tokens=True)).strip()

    def plain_ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return list(ids)

    def default_system_message(self) -> str | None:
        """Return the system message that the template writes if it is given none."""
        if self.tokenizer.chat_template is None:
            return None
        try:
            given = self._template(_SYSTEM_SLOT)
        except TemplateError:  # a template that refuses system messages writes none by itself
            return None
        if _SYSTEM_SLOT not in given or _SLOT not in given:
            return None
        opening, rest = given.split(_SYSTEM_SLOT, 1)
        closing, by_itself = rest.split(_SLOT)[0], self._template(None).split(_SLOT)[0]
        is_written = by_itself.startswith(opening) and by_itself.endswith(closing)
        message = by_itself[len(opening) : len(by_itself) - len(closing)]
        return message if is_written and message else None

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
