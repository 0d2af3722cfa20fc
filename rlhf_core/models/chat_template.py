"""A tokenizer's chat template: messages as the text that a chat model reads."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from rlhf_core.config.template import TemplateSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records.conversation import USER, Message, Tool

DEFAULTS = TemplateSettings()
SWITCHES = ("enable_thinking", "thinking")
"""Names of the variable with which templates switch thinking on or off."""
_REFUSALS = (TemplateError, TypeError, ValueError, KeyError, AttributeError)
"""Errors of templates that were given messages or tools that they do not know."""
_PLAIN = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
"""The format of models without a chat template."""
_DATED = re.compile(r"strftime_now\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)")
_MACRO = (
    "{% macro strftime_now(format) %}{{ solon_dates[format] if format in solon_dates else "
    "raise_exception('a date in an unknown format') }}{% endmacro %}\n"
)
"""Stands in for the clock. The template follows on a line of its own, where it stood before."""


class TemplateRefusal(ConfigError):
    """The chat template cannot render a conversation; the message is the template's reason."""


class ChatTemplate:
    """The chat template of a tokenizer, with a date that does not change from day to day.

    Args:
        tokenizer: Provides the template; without one, texts stand on lines of their own.
        settings: Thinking, today's date, and further variables.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, settings: TemplateSettings = DEFAULTS
    ) -> None:
        self.tokenizer, self.settings = tokenizer, settings

    @property
    def is_known(self) -> bool:
        """True if the tokenizer has a template of its own."""
        return self.tokenizer.chat_template is not None

    def check(self) -> None:
        """Refuse settings that would do nothing.

        Raises:
            ConfigError: If the template has no switch for thinking, or does not read an option.
        """
        thinking = self.settings.thinking
        if thinking != "auto" and self._with_thinking(True) == self._with_thinking(False):
            raise ConfigError(
                f"thinking: {str(thinking).lower()}: the model's chat template has no switch for "
                "thinking; leave it out"
            )
        own = {*inspect.signature(self.tokenizer.apply_chat_template).parameters, *SWITCHES}
        for name in self.settings.template_options:
            if name in own or not re.search(rf"\b{re.escape(name)}\b", self.source()):
                raise ConfigError(
                    f"template_options: the model's chat template does not read {name!r}; leave it "
                    "out"
                )

    def _with_thinking(self, thinking: bool) -> tuple[str, ...]:
        """Return a conversation's renderings, asked and answered, with the switch on or off."""
        settings = self.settings.model_copy(update={"thinking": thinking})
        template = ChatTemplate(self.tokenizer, settings)
        messages = [{"role": USER, "content": "?"}]
        return template.render(messages), template.render(messages, asks=False)

    def source(self, tools: Sequence[Tool] = ()) -> str:
        """Return the text of the template; some tokenizers have another one for tools."""
        if not self.is_known:
            return _PLAIN
        return str(self.tokenizer.get_chat_template(None, [dict(tool) for tool in tools] or None))

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), asks: bool = True
    ) -> str:
        """Return a conversation as text.

        Args:
            messages: At least one message. Arguments of tool calls may be JSON texts.
            tools: Tools that the model may call.
            asks: True if the text ends where the model's answer begins.

        Raises:
            TemplateRefusal: If the template cannot render them.
        """
        refusals = []
        for shown in _forms(messages):
            try:
                return self._render(shown, tools, asks)
            except _REFUSALS as error:
                refusals.append(str(error).strip().splitlines()[0] if str(error) else repr(error))
        raise TemplateRefusal(refusals[0])

    def _render(self, messages: Sequence[Message], tools: Sequence[Tool], asks: bool) -> str:
        source = self.source(tools)
        if "strftime_now" in source:
            source = f"{_MACRO}{source}"
        values: dict[str, Any] = {
            **self.settings.template_options,
            "solon_dates": self._dates(source),
        }
        if self.settings.thinking != "auto":
            values |= dict.fromkeys(SWITCHES, self.settings.thinking)
        if self.tokenizer.bos_token is None:
            values["bos_token"] = ""
        rendered = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=[dict(tool) for tool in tools] or None,
            chat_template=source,
            tokenize=False,
            add_generation_prompt=asks,
            **values,
        )
        return str(rendered)

    def _dates(self, source: str) -> dict[str, str]:
        """Return today's date in each format that a template asks for."""
        formats = {single or double for single, double in _DATED.findall(source)}
        return {form: self.settings.template_date.strftime(form) for form in formats}


def _forms(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield the messages in each form that templates expect the arguments of tool calls in.

    Most templates write an object as JSON; DeepSeek's expects the JSON text.
    """
    yield [_with_arguments(message, _as_object) for message in messages]
    if any(message.get("tool_calls") for message in messages):
        yield [_with_arguments(message, _as_text) for message in messages]


def _with_arguments(message: Message, change: Any) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [_changed_call(call, change) for call in calls]}


def _changed_call(call: Mapping[str, Any], change: Any) -> Mapping[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    return {**call, "function": {**function, "arguments": change(function["arguments"])}}


def _as_object(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
