"""Checks that a chat template renders every part of a conversation, before anything is sampled.

Templates refuse roles with an exception, or leave out what they do not know in silence: a system
message, tools, a tool's reply.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_core.errors import ConfigError
from rlhf_core.models.chat_template import ChatTemplate, TemplateRefusal
from rlhf_core.models.marks import slot
from rlhf_core.records.conversation import (
    ASSISTANT,
    SYSTEM,
    SYSTEM_ROLES,
    TOOL,
    USER,
    Message,
    Tool,
)

_NO_ROLE = "solon-role"
_MEND = "set system_prompt to null and put its text into the prompts"
_OWN_MEND = "put the text of the system message into the user's message"


class ConversationCheck:
    """The parts of conversations that a chat template renders.

    Args:
        template: The template.
    """

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self._known: dict[str, bool] = {}

    def system_prompt(self, text: str | None) -> None:
        """Refuse a system message for every prompt that the template does not render.

        Raises:
            ConfigError: If the template refuses it or leaves it out.
        """
        if text is None or not self.template.is_known:
            return
        messages = [{"role": SYSTEM, "content": slot(0)}, {"role": USER, "content": slot(1)}]
        try:
            rendered = self.template.render(messages)
        except TemplateRefusal as error:
            raise ConfigError(
                f"the chat template refuses the system message {text!r} ({error}); {_MEND}"
            ) from None
        if slot(0) not in rendered.lower() or not self._knows(SYSTEM):
            raise ConfigError(
                f"the chat template has no role for the system message {text!r}; {_MEND}"
            )

    def with_known_roles(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return messages in which a developer is the system, unless the template knows both."""
        if "developer" in self.template.source():
            return tuple(messages)
        return tuple({**m, "role": SYSTEM} if m["role"] in SYSTEM_ROLES else m for m in messages)

    def bare(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """Return the rendering of a conversation with slots as its texts and as names of tools.

        Args:
            messages: Messages of the conversation.
            tools: Tools that the model may call.

        Raises:
            ConfigError: If the template refuses the conversation or leaves out a part of it.
        """
        self._refuse_unknown(messages, tools)
        shown = _with_slots(messages)
        names = [slot(len(shown) + n) for n in range(len(tools))]
        described = [_renamed(tool, name) for tool, name in zip(tools, names, strict=True)]
        try:
            rendered = self.template.render(shown, described)
        except TemplateRefusal as error:
            raise refuse(messages, error) from None
        seen = rendered.lower()
        for number, (message, bare) in enumerate(zip(messages, shown, strict=True), 1):
            if bare["content"] and bare["content"] not in seen:
                mend = f"; {_OWN_MEND}" if message["role"] == SYSTEM else ""
                raise ConfigError(
                    f"the chat template leaves out message {number} of a conversation "
                    f"({message['role']}: {message['content'][:40]!r}){mend}"
                )
            for call in bare.get("tool_calls") or ():
                if call["function"]["name"] not in seen:
                    raise ConfigError(
                        f"the chat template leaves out the tool calls of message {number}; name a "
                        "model whose template knows tools"
                    )
        if any(name not in seen for name in names):
            raise ConfigError(
                "the chat template leaves out the tools; name a model whose template knows tools, "
                "or leave them out of the prompt"
            )
        return rendered

    def _refuse_unknown(self, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
        roles = {message["role"] for message in messages}
        if not self.template.is_known and (roles - {SYSTEM, USER} or tools or len(messages) > 2):
            raise ConfigError(
                "the model has no chat template, so it cannot read a conversation; name a chat "
                "model, or give each prompt as one text"
            )
        for role in roles & {SYSTEM, TOOL} if self.template.is_known else ():
            if not self._knows(role):
                mend = _OWN_MEND if role == SYSTEM else "name a model whose template knows tools"
                raise ConfigError(f"the chat template has no role {role!r}; {mend}")

    def _knows(self, role: str) -> bool:
        """Return False if the template renders a role as it renders one that nobody knows."""
        if role not in self._known:
            self._known[role] = self._tells_apart(role)
        return self._known[role]

    def _tells_apart(self, role: str) -> bool:
        try:
            return self._with_role(role) != self._with_role(_NO_ROLE, like=role)
        except TemplateRefusal:
            return True  # it tells them apart, or refuses the role where it is rendered

    def _with_role(self, role: str, like: str | None = None) -> str:
        asked = {"role": USER, "content": slot(0)}
        said = {"role": role, "content": slot(1)}
        if (like or role) == SYSTEM:
            return self.template.render([said, asked])
        function = {"name": "solon", "arguments": {}}
        call = {"id": "abcdefghi", "type": "function", "function": function}
        called = {"role": ASSISTANT, "tool_calls": [call]}
        return self.template.render(
            [asked, called, {**said, "name": "solon", "tool_call_id": "abcdefghi"}]
        )


def refuse(messages: Sequence[Message], error: TemplateRefusal) -> ConfigError:
    """Return the error of a conversation that a template refuses."""
    roles = ", ".join(str(message["role"]) for message in messages)
    mend = f"; {_OWN_MEND}" if messages[0]["role"] in SYSTEM_ROLES else ""
    return ConfigError(
        f"the chat template refuses a conversation of the roles {roles} ({error}){mend}"
    )


def _with_slots(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages with slots as their texts and as the names of the tools that they call."""
    shown = []
    for number, message in enumerate(messages):
        content = message.get("content")
        bare = {**message, "content": slot(number) if content else content}
        if calls := message.get("tool_calls"):
            bare["tool_calls"] = [_renamed(c, f"{slot(number)}{n}") for n, c in enumerate(calls)]
        shown.append(bare)
    return shown


def _renamed(described: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**described, "function": {**described["function"], "name": name}}
