"""Chat templates: a conversation as the tokens that a chat model reads.

The tokens are the template's own. A text from people or models cannot open or close a turn,
whatever it spells (rlhf_core/models/marks.py).
"""

from collections.abc import Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.template import TemplateSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models.answer_form import read_answer_form
from rlhf_core.models.chat_template import DEFAULTS, ChatTemplate, TemplateRefusal
from rlhf_core.models.conversation_check import ConversationCheck, refuse
from rlhf_core.models.marks import ChatMarks, slot
from rlhf_core.models.turn_end import strip_end
from rlhf_core.records.conversation import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    ask,
    with_system,
)

_EXAMPLES = ((SYSTEM, USER, ASSISTANT, USER), (USER, ASSISTANT, USER), (SYSTEM, USER), (USER,))
"""Roles of an example conversation, the first that the template renders."""


class ChatFormat:
    """The chat template of one tokenizer with one system message.

    Args:
        tokenizer: Provides the chat template; without one, plain text with line breaks is used.
        system_prompt: System message; None leaves it to the template.
        settings: Thinking, today's date, and further variables of the template.

    Raises:
        ConfigError: If the template refuses that system message or leaves it out, or does not read
            a setting.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        system_prompt: str | None,
        settings: TemplateSettings = DEFAULTS,
    ) -> None:
        self.tokenizer, self.system_prompt = tokenizer, system_prompt
        self.template = ChatTemplate(tokenizer, settings)
        self.template.check()
        self.marks = ChatMarks(tokenizer, self.template.source(), self._example())
        self._check = ConversationCheck(self.template)
        self._form = read_answer_form(self.template)
        self._check.system_prompt(system_prompt)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the tokens of a conversation, up to the point where the answer begins.

        A system message of its own replaces the format's.

        Raises:
            ConfigError: If the template refuses the conversation, leaves out a part of it, or makes
                a mark of a turn out of a text.
        """
        spoken = with_system(conversation.messages, self.system_prompt)
        messages = [self.marks.guard_message(m) for m in self._check.with_known_roles(spoken)]
        tools = self.marks.guard(conversation.tools)
        is_single = conversation.single_text is not None
        bare = self._single_bare if is_single else self._check.bare(messages, tools)
        try:
            text = self.template.render(messages, tools)
        except TemplateRefusal as error:
            raise refuse(messages, error) from None
        ids = self.marks.encode(text)
        if self.marks.of_turns(ids) != self._turns(bare):
            raise ConfigError("a message spells a mark of a turn once the chat template changed it")
        return ids

    def answer_ids(self, answer: str, is_finished: bool = True) -> list[int]:
        """Return the tokens of an answer as the template writes it, and the token that ends it.

        Args:
            answer: Text of the answer.
            is_finished: False for an answer that was cut off. It gets no end token: scored or
                learnt as complete, it would be another answer.
        """
        if not answer and not is_finished:
            return []
        form = self._form
        text = self._answer_text(answer)
        ids = self.marks.encode_after(form.asked, text + (form.end if is_finished else ""))
        has_end = bool(form.end) or not is_finished
        return ids if has_end else [*ids, int(self.tokenizer.eos_token_id)]

    def decode(self, answer_ids: Sequence[int]) -> str:
        """Return the text of an answer, without the token that ended it."""
        words = strip_end(answer_ids, frozenset([self._end_id]))
        return str(self.tokenizer.decode(words, skip_special_tokens=True)).strip()

    def plain_ids(self, text: str) -> list[int]:
        """Return the tokens of a text that stands alone; none of them marks a turn."""
        return self.marks.encode(self.marks.guard_tokens(text))

    def default_system_message(self) -> str | None:
        """Return the system message that the template writes if it is given none."""
        if not self.template.is_known:
            return None
        asked = {"role": USER, "content": slot(1)}
        try:
            given = self.template.render([{"role": SYSTEM, "content": slot(0)}, asked])
        except TemplateRefusal:  # a template that refuses system messages writes none by itself
            return None
        if slot(0) not in given or slot(1) not in given:
            return None
        opening, rest = given.split(slot(0), 1)
        closing, by_itself = rest.split(slot(1))[0], self.template.render([asked]).split(slot(1))[0]
        is_written = by_itself.startswith(opening) and by_itself.endswith(closing)
        message = by_itself[len(opening) : len(by_itself) - len(closing)]
        return message if is_written and message else None

    def _answer_text(self, answer: str) -> str:
        """Return what a model writes where the prompt ends, as the template renders the answer."""
        form = self._form
        guarded = self.marks.guard_message({"role": ASSISTANT, "content": answer})
        shown = f"{form.begins}{guarded['content']}"
        try:
            messages = [{"role": USER, "content": slot(0)}, guarded]
            rendered = self.template.render(messages, asks=False)
        except TemplateRefusal:
            return shown
        text = rendered.rpartition(slot(0))[2]
        if not text.endswith(form.closing):
            return shown
        text = text.removesuffix(form.closing)
        if text.startswith(form.opening):
            return form.begins + text[len(form.opening) :]
        # Thoughts in the answer stand in place of the opening's empty ones.
        return text[len(form.asked) :] if text.startswith(form.asked) else shown

    def _example(self) -> str:
        """Return a conversation that the template renders, with slots as texts."""
        for roles in _EXAMPLES:
            messages = [{"role": role, "content": slot(n)} for n, role in enumerate(roles)]
            try:
                return self.template.render(messages)
            except TemplateRefusal:
                continue
        return ""

    def _turns(self, text: str) -> list[int]:
        return self.marks.of_turns(self.marks.encode(text))

    @cached_property
    def _single_bare(self) -> str:
        """The rendering of a single message of the user, with slots as texts."""
        return self._check.bare(with_system(ask(slot(0)).messages, self.system_prompt), ())

    @cached_property
    def _end_id(self) -> int:
        end = self._form.end
        return self.marks.encode(end)[-1] if end else int(self.tokenizer.eos_token_id)


def policy_chat(tokenizer: PreTrainedTokenizerBase, policy: PolicySettings) -> ChatFormat:
    """Return the chat format in which a config's policy reads its prompts."""
    return ChatFormat(tokenizer, policy.system_prompt, policy)
