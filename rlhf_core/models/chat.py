"""Chat templates: a prompt as the tokens that a chat model reads.

Text from people and models is tokenised by itself, with special tokens split into plain text, and
put between the template's own tokens. So a text that spells out `<|im_end|>` cannot end its turn.
"""

import re
from collections.abc import Iterator, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlhf_core.errors import ConfigError
from rlhf_core.models.turn_end import demonstration_end, strip_end
from rlhf_core.records.conversation import Conversation, Message, Tool, ask, with_system

_SLOT = "solon-content-slot"
_NUMBERED_SLOT = re.compile(r"solon-content-slot-(\d+)-")
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
        self.tokenizer, self.system_prompt = tokenizer, system_prompt
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

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the tokens of a conversation, up to the point where the answer begins.

        A system message of its own replaces the format's.

        Raises:
            ConfigError: If the template refuses the conversation, or leaves out a message.
        """
        text = conversation.single_text
        if text is not None:
            return [*self._before, *self.plain_ids(text), *self._after]
        messages = with_system(conversation.messages, self.system_prompt)
        return [token for ids in self._pieces(messages, conversation.tools) for token in ids]

    def _pieces(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[list[int]]:
        """Yield the tokens of the template and those of each message's text, in their order."""
        contents = [str(message["content"] or "") for message in messages]
        slots = [f"{_SLOT}-{n}-" if content else "" for n, content in enumerate(contents)]
        shown = [{**m, "content": slot} for m, slot in zip(messages, slots, strict=True)]
        parts = _NUMBERED_SLOT.split(self._rendered(shown, tools))
        if missing := {n for n, slot in enumerate(slots) if slot} - set(map(int, parts[1::2])):
            raise ConfigError(
                f"the chat template leaves out message {min(missing) + 1} of a conversation "
                f"({messages[min(missing)]['role']}: {contents[min(missing)][:40]!r})"
            )
        for place, part in enumerate(parts):
            if place % 2:
                yield self.plain_ids(contents[int(part)])
            else:
                yield self.tokenizer.encode(part, add_special_tokens=False)

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        try:
            rendered = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except TemplateError as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise ConfigError(
                f"the chat template refuses a conversation of the roles {roles} ({error})"
            ) from None
        return str(rendered)

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
        rendered = self.tokenizer.apply_chat_template(
            [dict(message) for message in with_system(ask(_SLOT).messages, system_prompt)],
            tokenize=False,
            add_generation_prompt=True,
        )
        return str(rendered)
