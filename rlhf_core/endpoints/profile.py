"""The options that a server accepts in a request for a model, learnt from its refusals.

A refusal that names an option costs nothing: the request is sent again without that option, and
later requests leave it out from the start. A profile is kept while the process runs, so a new run
learns it anew, from the one tiny request before it.
"""

import logging
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import openai

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.chat_completion import ChatRequest
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id

logger = logging.getLogger(__name__)

REFUSED = (400, 403, 422)
"""Status of a refusal that may name an option."""
LENGTH, NEWER_LENGTH = "max_tokens", "max_completion_tokens"
DEFAULT_TEMPERATURE = 1.0
"""The temperature of a request without one (OpenAI, Anthropic, Gemini)."""
LOGPROBS = ("logprobs", "top_logprobs")
TOO_LONG = re.compile(
    r"context|too (?:large|long|many|high)|exceed|at most|less than", re.IGNORECASE
)
"""Words of a refusal that concerns the length of this request, and not the option for it."""
MESSAGES = ("message", "msg", "detail", "error")
"""Keys of an error under which its message stands."""
CONSEQUENCES = {
    LENGTH: "max_completion_tokens is sent instead",
    "temperature": "its own default is used, so a question asked again may get another reply",
    "seed": "the same request sent again samples anew",
    "top_logprobs": "verdicts are read from words alone",
    "response_format": "the prompt alone asks for JSON",
}
"""Options that can be left out, and what follows from it."""


@dataclass(frozen=True)
class Refusal:
    """A server's refusal of one option."""

    option: str
    numbers: tuple[int, ...] = ()
    """The numbers in its message, of which one may be the highest that the server takes."""


@dataclass(frozen=True)
class Profile:
    """The knowledge of a model on a server."""

    refused: frozenset[str] = frozenset()
    """Options that are left out."""
    top_logprobs: int | None = None
    """Most alternatives of each token that the server allows; None if it refused no number."""
    thinks: bool = False
    """True if the model has been seen to think before it answers."""

    def fit(self, request: ChatRequest, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a request with the options that the server accepts.

        Args:
            request: The request.
            body: Its body, with all options.

        Raises:
            EndpointError: If the request needs an option that the server refuses.
        """
        if request.needs_temperature and "temperature" in self.refused:
            raise EndpointError(
                f"the server refuses a temperature of {request.temperature:g}, so answers would be "
                f"sampled at its own; set temperature to {DEFAULT_TEMPERATURE:g}, which is the "
                "default of such servers"
            )
        fitted = {key: value for key, value in body.items() if key not in self.refused}
        if LENGTH in self.refused:
            fitted[NEWER_LENGTH] = body[LENGTH]
        if alternatives := self.alternatives(body.get("top_logprobs", 0)):
            fitted["top_logprobs"] = alternatives
        else:
            fitted.pop("logprobs", None)
        return fitted

    def alternatives(self, wanted: int) -> int:
        """Return how many alternatives of each token to request where `wanted` are useful."""
        if "top_logprobs" in self.refused:
            return 0
        return wanted if self.top_logprobs is None else min(wanted, self.top_logprobs)

    def after(self, refusal: "Refusal", body: Mapping[str, Any]) -> "Profile":
        """Return the profile after the refusal of a request with that body."""
        option = refusal.option
        if option in LOGPROBS:
            option = "top_logprobs"
            allowed = [number for number in refusal.numbers if 0 < number < body[option]]
            if allowed:  # perhaps only so many alternatives are refused
                return replace(self, top_logprobs=max(allowed))
        return replace(self, refused=self.refused | {option})

    def __or__(self, other: "Profile") -> "Profile":
        """Return what either profile knows."""
        allowed = [one for one in (self.top_logprobs, other.top_logprobs) if one is not None]
        return Profile(
            self.refused | other.refused, min(allowed, default=None), self.thinks or other.thinks
        )


_profiles: dict[str, Profile] = {}
_lock = threading.Lock()


class KnownProfile:
    """The profile of a model on its server, as all threads of this process know it.

    Args:
        settings: Names the model, the server, and the options that decide a reply: a model may take
            a temperature only if it does not think.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._key = content_id(
            settings.model, settings.base_url, settings.api_version, settings.beyond_defaults()
        )

    @property
    def profile(self) -> Profile:
        return _profiles.get(self._key, Profile())

    def learn(self, learnt: Profile) -> None:
        """Add to what is known, and log what follows from each option that is left out."""
        with _lock:
            known = self.profile
            _profiles[self._key] = known | learnt
        for option in sorted(learnt.refused - known.refused):
            where = self._settings.base_url or "the openai default"
            model, said = self._settings.model, CONSEQUENCES[option]
            logger.warning("model %r at %s refuses %s: %s", model, where, option, said)


def profile_of(settings: EndpointSettings) -> Profile:
    """Return what is known of a model on its server."""
    return KnownProfile(settings).profile


def forget_profiles() -> None:
    """Forget all profiles; servers that have changed are then probed anew."""
    with _lock:
        _profiles.clear()


def with_room(request: ChatRequest, settings: EndpointSettings) -> ChatRequest:
    """Return a request with tokens for the thoughts of a model that is known to think."""
    if not profile_of(settings).thinks:
        return request
    return replace(request, max_tokens=request.max_tokens + settings.thinking_tokens)


def lost_in_thought(settings: EndpointSettings) -> str:
    """Return the words for replies that ended before their answer began, and what helps."""
    return (
        f"cut off before an answer, with {settings.thinking_tokens} tokens for thoughts; raise "
        "thinking_tokens, or lower reasoning_effort"
    )


def refused_option(error: openai.APIStatusError, sent: Collection[str]) -> Refusal | None:
    """Return the refusal of an option, if a server's error names one that may be left out.

    Args:
        error: The error, in OpenAI's form, FastAPI's or any with a message.
        sent: Keys of the request's body.

    Returns:
        The refusal of a key of the body; None if the error concerns something else.
    """
    if error.status_code not in REFUSED:
        return None
    options = [option for option in (*CONSEQUENCES, "logprobs") if option in sent]
    said = error.body if isinstance(error.body, str) else " ".join(_strings(error.body, *MESSAGES))
    if LENGTH in options and NEWER_LENGTH not in said and TOO_LONG.search(said):
        options.remove(LENGTH)
    named = [error.param, *_strings(error.body, "loc")]
    places = {option: _place(option, said) for option in options}
    mentioned = {option: place for option, place in places.items() if place is not None}
    found = [name for name in named if name in options]
    found += sorted(mentioned, key=lambda option: mentioned[option])
    return Refusal(found[0], tuple(map(int, re.findall(r"\d+", said)))) if found else None


def _place(option: str, said: str) -> int | None:
    """Return where a message names an option, as a word; None if it does not."""
    match = re.search(rf"(?<!\w){option}(?!\w)", said, re.IGNORECASE)
    return match.start() if match else None


def _strings(body: object, *keys: str) -> Iterator[str]:
    """Yield the texts under some keys of an error, at any depth, but not of the request in it."""
    if isinstance(body, list):
        for each in body:
            yield from _strings(each, *keys)
    elif isinstance(body, Mapping):
        for key, value in body.items():
            values = value if isinstance(value, list) else [value]
            if key in keys:
                yield from (each for each in values if isinstance(each, str))
            if key != "input":
                yield from _strings(values, *keys)
