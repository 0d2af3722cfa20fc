"""Requests to vLLM's /v1/completions by token ids, and the samples in its replies."""

import json
import math
from collections.abc import Sequence
from typing import Any

from rlhf_core.errors import EndpointError
from rlhf_core.sampling.local import Sample, SamplingLimits

NEUTRAL = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Options that leave the model's distribution as it is, whatever its generation config says."""
SAME = 0.25
"""Share by which two differences of log-probabilities may differ and count as the same."""
FINISHED = ("stop", "length")
"""Finish reasons of a whole answer; vLLM also has abort and error."""
ROUNDING = 1e-3
"""Largest log-probability that rounding makes of 0, in nats."""


def sample_body(
    model: str, prompt: Sequence[int], seed: int | None, limits: SamplingLimits
) -> dict[str, Any]:
    """Return the body of a request for one answer.

    Args:
        model: Name of the base or of an adapter.
        prompt: Tokens of the prompt.
        seed: Seed of the answer; None sends none.
        limits: Length, temperature, special tokens.
    """
    return {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": limits.max_new_tokens,
        "temperature": limits.temperature,
        **NEUTRAL,
        "stop_token_ids": sorted(limits.end_ids),
        "ignore_eos": True,  # the tokens above alone end an answer
        "add_special_tokens": False,
        "skip_special_tokens": False,
        "logprobs": 0,
        "return_token_ids": True,
        **({} if seed is None else {"seed": seed}),
    }


def read_sample(content: bytes, limits: SamplingLimits, vocabulary: int) -> Sample:
    """Return the answer in a reply.

    Args:
        content: Body of the reply.
        limits: The limits that were requested.
        vocabulary: Number of tokens that the policy knows, V.

    Raises:
        EndpointError: If anything in it is missing or impossible.
    """
    choice = _choice(content)
    ids, reason = _token_ids(choice, vocabulary), choice.get("finish_reason")
    logprobs = _token_logprobs(choice, len(ids))
    if reason not in FINISHED:
        raise EndpointError(
            f"the server broke an answer off after {len(ids)} tokens (finish_reason {reason!r}, "
            f"and a whole answer has {' or '.join(FINISHED)}); its log says why"
        )
    is_ended = bool(ids) and ids[-1] in limits.end_ids
    if not ids or any(token in limits.end_ids for token in ids[:-1]):
        raise EndpointError("the server's answer is empty, or goes on after its end")
    if not is_ended and (reason != "length" or len(ids) != limits.max_new_tokens):
        raise EndpointError(
            f"the server ended an answer after {len(ids)} of {limits.max_new_tokens} tokens "
            f"({reason!r}); is its --max-model-len long enough for the prompt and the answer?"
        )
    return Sample(ids, logprobs, "eos" if is_ended else "length")


def _token_ids(choice: dict[str, Any], vocabulary: int) -> tuple[int, ...]:
    """Return the tokens of an answer.

    Raises:
        EndpointError: If there are none, or the policy does not know one of them.
    """
    ids = choice.get("token_ids")
    if not isinstance(ids, list):
        raise EndpointError("the server returns no token ids; vLLM does from version 0.10.2 on")
    for token in ids:
        if type(token) is not int or not 0 <= token < vocabulary:
            raise EndpointError(
                f"the server's answer has the token {token!r}, and the policy knows the tokens 0 "
                f"to {vocabulary - 1}; start it with the policy's own base as --model"
            )
    return tuple(ids)


def _token_logprobs(choice: dict[str, Any], count: int) -> tuple[float, ...]:
    """Return the log-probability of each of `count` tokens, in nats.

    Raises:
        EndpointError: If there are not as many, or one is no log-probability.
    """
    logprobs = _logprobs(choice).get("token_logprobs")
    if not isinstance(logprobs, list):
        raise EndpointError("the server returns no log-probabilities of its tokens")
    if len(logprobs) != count:
        raise EndpointError(
            f"the server returns {count} tokens with {len(logprobs)} log-probabilities, which do "
            "not fit; use a release of vLLM that returns one for each token"
        )
    for logprob in logprobs:
        if not _is_logprob(logprob):
            raise EndpointError(
                f"the server returns {logprob} as a log-probability, which none is; start it with "
                "--logprobs-mode processed_logprobs, and see whether its weights overflow its "
                "--dtype"
            )
    return tuple(map(float, logprobs))


def _is_logprob(number: object) -> bool:
    """Return True for a finite number of at most 0, but for rounding."""
    return isinstance(number, int | float) and math.isfinite(number) and number <= ROUNDING


def probe_body(model: str, prompt: Sequence[int], temperature: float) -> dict[str, Any]:
    """Return the body of a request for the two likeliest first tokens at a temperature.

    Args:
        model: Name of the base or of an adapter.
        prompt: Tokens of the prompt.
        temperature: Divides the logits.
    """
    return {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": 1,
        "temperature": temperature,
        **NEUTRAL,
        "logprobs": 2,
        "return_tokens_as_token_ids": True,
    }


def reports_raw_logprobs(once: bytes, twice: bytes) -> bool:
    """Return True if the temperature changes no reported log-probability.

    The difference between the two likeliest tokens halves when the temperature doubles.

    Args:
        once: Reply to the probe at a temperature.
        twice: Reply to the same probe at twice that temperature.

    Raises:
        EndpointError: If a reply lacks them.
    """
    near, far = _lead(once), _lead(twice)
    return near > 0 and abs(far - near) < SAME * near


def _lead(content: bytes) -> float:
    """Return by how much the likeliest first token exceeds the second, in nats."""
    tops = _logprobs(_choice(content)).get("top_logprobs")
    first = tops[0] if isinstance(tops, list) and tops else None
    if not isinstance(first, dict) or len(first) < 2:
        raise EndpointError("the server returns no alternatives of a token; allow --max-logprobs 2")
    if not all(map(_is_logprob, first.values())):
        raise EndpointError(f"the server returns {first}, which are no log-probabilities")
    best, second, *_ = sorted((float(each) for each in first.values()), reverse=True)
    return best - second


def _choice(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)["choices"][0]
    except (ValueError, LookupError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise EndpointError("the server's reply is no completion")
    return found


def _logprobs(choice: dict[str, Any]) -> dict[str, Any]:
    found = choice.get("logprobs")
    return found if isinstance(found, dict) else {}
