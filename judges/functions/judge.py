"""The base of judges by function: options, checks, calls, and the reading of verdicts."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar

from pydantic import Field, field_validator

from judges.functions.user_function import UserFunction, first_line, load_function
from judges.panel.judge import Judge, Opinion, abstains
from rlhf_core.config import Settings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Mode, Outcome, Prompt, Split

logger = logging.getLogger(__name__)

Facts = Mapping[str, Any]
"""The facts of one judgement, by parameter name."""
ToOpinion = Callable[[float], Opinion]
PROMPT_FACTS = ("prompt", "messages", "context", "references", "mode")
EXAMPLE = Prompt(
    text="What is 2 + 2?",
    reference_answers=("4",),
    mode=Mode.KNOWLEDGE_SEEKING,
    split=Split.TRAIN,
)
"""The prompt on which a function is tried before a run."""


class NoVerdictError(ValueError):
    """A function returned what is no verdict; the message completes "returned …"."""


class FunctionOptions(Settings):
    function: str
    """The function, as `module:function`. The module is looked for on Python's import path, then in
    the config's folder. Its file is part of the judge's version; files that it imports are not."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """More arguments of the function, by name, such as `{limit: 200}`."""
    batched: bool = False
    """Call the function once for many answers: each parameter but those of `arguments` is then a
    list, and the function returns a list with one verdict each."""
    revision: str = ""
    """Any text. Change it when code that the function's file imports has changed, so that answers
    are judged anew."""

    @field_validator("function")
    @classmethod
    def _has_two_parts(cls, value: str) -> str:
        module, _, name = value.partition(":")
        if not (module and name):
            raise ValueError("write it as module:function, as in my_rewards:score")
        return value


class FunctionJudge(Judge[FunctionOptions]):
    """Base class of judges whose verdicts a user's function returns."""

    facts: ClassVar[tuple[str, ...]]
    """Names of the parameters that the function may have."""

    def fixed_text(self) -> str:
        """Return the hash of the function's source, so that an edited function judges anew."""
        return self.function.source

    def check(self) -> None:
        """Refuse a function that cannot be called, or whose verdict on an example is none."""
        self.function.check(self.facts, self.options.arguments)
        try:
            for returned in self._call([self.example_facts()]):
                read_return(returned)
        except NoVerdictError as error:
            form = "a list that holds for each answer " if self.options.batched else ""
            raise ConfigError(
                f"function {self.options.function!r} returned {error} on an example; return {form}"
                "a number from 0 to 1, None, or `judges.abstains(reason)`"
            ) from None
        except Exception as error:  # whatever the user's function raises
            logger.warning(
                "function %r raised %s on an example; where it raises, there is no verdict",
                self.options.function,
                first_line(error),
            )

    def example_facts(self) -> Facts:
        """Return the facts of a judgement on which the function is tried before a run."""
        raise NotImplementedError

    def opinions(self, facts: Sequence[Facts], to_opinion: ToOpinion) -> list[Opinion]:
        """Return the function's verdicts; one that raises or returns no verdict has a reason.

        Args:
            facts: The facts of each judgement.
            to_opinion: Returns the opinion that a number from 0 to 1 stands for.
        """
        if self.options.batched and len(facts) > 1:
            try:
                returned = self._call(facts)
            except Exception:  # some answer among them; the others keep their verdicts
                return [self._opinion(each, to_opinion) for each in facts]
            return [self._read(each, to_opinion) for each in returned]
        return [self._opinion(each, to_opinion) for each in facts]

    @cached_property
    def function(self) -> UserFunction:
        return load_function(self.options.function)

    def _opinion(self, facts: Facts, to_opinion: ToOpinion) -> Opinion:
        try:
            (returned,) = self._call([facts])
        except NoVerdictError as error:
            return _unavailable(f"{self.options.function} returned {error}")
        except Exception as error:  # whatever the user's function raises
            return _unavailable(f"{self.options.function} raised {first_line(error)}")
        return self._read(returned, to_opinion)

    def _read(self, returned: Any, to_opinion: ToOpinion) -> Opinion:
        try:
            value = read_return(returned)
        except NoVerdictError as error:
            return _unavailable(f"{self.options.function} returned {error}")
        return value if isinstance(value, Opinion) else to_opinion(value)

    def _call(self, facts: Sequence[Facts]) -> Sequence[Any]:
        """Call the function for some judgements; return what it returned for each.

        Raises:
            NoVerdictError: If it is batched, and did not return a list with one verdict each.
        """
        accepted = [self.function.accepted(each) for each in facts]
        if not self.options.batched:
            return [self.function.call(**each, **self.options.arguments) for each in accepted]
        columns = {name: [each[name] for each in accepted] for name in accepted[0]}
        returned = self.function.call(**columns, **self.options.arguments)
        if not hasattr(returned, "__len__") or isinstance(returned, str):
            raise NoVerdictError(f"{_shown(returned)}, which is no list, though it is `batched`,")
        if len(returned) != len(facts):
            raise NoVerdictError(f"a list of {len(returned)}, not of {len(facts)},")
        return list(returned)


def prompt_facts(prompt: Prompt) -> dict[str, Any]:
    """Return what a function may know of a prompt."""
    return {
        "prompt": prompt.text,
        "messages": [dict(message) for message in prompt.asked.messages],
        "context": prompt.context,
        "references": list(prompt.reference_answers),
        "mode": prompt.mode.value,
    }


def read_return(returned: Any) -> float | Opinion:
    """Return a function's verdict: a number from 0 to 1, or the opinion that there is none.

    Raises:
        NoVerdictError: If it is something else; the message shows it.
    """
    if returned is None:
        return abstains("the function returned None")
    if isinstance(returned, Opinion):
        if returned.outcome is Outcome.ABSTAINS and returned.reason:
            return returned
        raise NoVerdictError(
            f"an opinion {returned.outcome.value!r}, neither a number nor `abstains`"
        )
    try:
        number = float(returned.item()) if hasattr(returned, "item") else returned
    except (TypeError, ValueError, RuntimeError):
        raise NoVerdictError(f"{_shown(returned)}, which is no number") from None
    if not isinstance(number, Real):
        raise NoVerdictError(f"{_shown(returned)}, which is no number")
    if not 0.0 <= float(number) <= 1.0:
        raise NoVerdictError(f"{_shown(returned)}, which is not from 0 to 1")
    return float(number)


def _shown(value: Any) -> str:
    return f"{str(value)[:60]!r} of type {type(value).__name__}" if value is not None else "None"


def _unavailable(reason: str) -> Opinion:
    return Opinion(Outcome.UNAVAILABLE, reason=reason)
