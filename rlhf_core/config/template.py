"""Settings of a model's chat template: thinking, today's date, and what else it reads."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from rlhf_core.config.base import UNLESS_SET, Settings, is_left_out

LLAMA_DATE = date(2024, 7, 26)
"""The date that Llama 3's templates write where they know none."""


class TemplateSettings(Settings):
    """Settings that a chat template reads beside the messages."""

    thinking: Annotated[Literal["auto"] | bool, UNLESS_SET] = "auto"
    """true if the model thinks before it answers, for templates with such a switch (Qwen 3, SmolLM
    3, Granite, DeepSeek). auto leaves it to the template."""
    template_date: Annotated[date, UNLESS_SET] = LLAMA_DATE
    """Today's date for templates that write one (Llama 3, gpt-oss, Mistral). It is fixed, because
    a prompt that changes from day to day would have other log-probabilities every day."""
    template_options: Annotated[dict[str, Any], UNLESS_SET] = Field(default_factory=dict)
    """Further variables that the template reads, such as `{reasoning_effort: low}` of gpt-oss."""

    def template_changes(self) -> list[Any]:
        """Return the names and values of the template's settings that differ from the defaults."""
        names = TemplateSettings.model_fields
        return [[name, str(getattr(self, name))] for name in names if not is_left_out(self, name)]
