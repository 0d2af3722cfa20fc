"""What a list of requests would cost, before any is sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.models.chat_completion import ChatRequest

EXPECTED_SHARE_OF_MAX_TOKENS = 0.5


@dataclass(frozen=True)
class Estimate:
    """Of each call billed once; attempts that fail and are billed all the same come on top."""

    calls: int
    input_tokens_expected: float
    output_tokens_expected: float
    usd_expected: float
    input_tokens_at_most: int
    output_tokens_at_most: int
    usd_at_most: float


def estimate(
    requests: Sequence[ChatRequest],
    settings: EndpointSettings,
    mean_output_tokens: float | None = None,
) -> Estimate:
    """Bounds and expectations from the texts alone.

    Args:
        requests: What would be asked.
        settings: Prices and the way of delivery.
        mean_output_tokens: Length of an answer, where it is known from earlier ones; else half
            of what each request allows.
    """
    allowed = sum(request.max_tokens for request in requests)
    input_at_most = sum(request.input_tokens_at_most for request in requests)
    input_expected = sum(request.input_tokens_expected for request in requests)
    if mean_output_tokens is None:
        output_expected = allowed * EXPECTED_SHARE_OF_MAX_TOKENS
    else:
        output_expected = min(mean_output_tokens * len(requests), float(allowed))
    return Estimate(
        calls=len(requests),
        input_tokens_expected=input_expected,
        output_tokens_expected=output_expected,
        usd_expected=settings.cost(input_expected, output_expected),
        input_tokens_at_most=input_at_most,
        output_tokens_at_most=allowed,
        usd_at_most=settings.cost(input_at_most, allowed),
    )
