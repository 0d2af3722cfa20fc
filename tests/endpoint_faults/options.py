"""Options of a request that servers refuse."""

from tests.endpoint_faults.behaviours import (
    anthropic_refusal,
    few_alternatives,
    gemini_refusal,
    mistral_refusal,
    not_allowed,
    pydantic_refusal,
    refusal,
    unsupported,
    without,
)
from tests.endpoint_faults.fault import UNAVAILABLE, Fault

JSON = '{"rationale": "A is long.", "verdict": "B"}'

OPTIONS = (
    Fault(
        "refuses `max_tokens`",
        "OpenAI gpt-5, o-series",
        "sends `max_completion_tokens`",
        without("max_tokens"),
        requests=3,
        wants=1.0,
        warns="max_completion_tokens is sent instead",
    ),
    Fault(
        "refuses `max_tokens`, log-probabilities and a temperature",
        "OpenAI gpt-5, o-series",
        "leaves out each; verdicts from words, not repeatable",
        without("max_tokens", "logprobs", "top_logprobs", "temperature"),
        requests=5,
        wants=1.0,
        warns="a question asked again may get another reply",
    ),
    Fault(
        "refuses a temperature in words alone",
        "Anthropic",
        "leaves it out; verdicts are not repeatable",
        without("temperature", refused=anthropic_refusal),
        requests=3,
        wants=1.0,
        warns="refuses temperature",
    ),
    Fault(
        "refuses a temperature other than 1",
        "OpenAI gpt-5, Anthropic",
        "stops: answers would not be sampled as recorded",
        without("temperature", refused=anthropic_refusal),
        requests=1,
        wants=UNAVAILABLE,
        reason="the server refuses a temperature of 0.7, so answers would be sampled at its own; "
        "set temperature to 1",
        by="sampler",
        stops=True,
        options={"temperature": 0.7},
    ),
    Fault(
        "refuses even a temperature of 1",
        "Anthropic",
        "leaves it out: it is the server's default",
        without("temperature", then="A fine answer.", refused=anthropic_refusal),
        requests=3,
        wants="A fine answer.",
        by="sampler",
        warns="refuses temperature",
    ),
    *(
        Fault(
            f"refuses `seed` ({form})",
            seen,
            "leaves it out; the same request samples anew",
            without("seed", then="A fine answer.", refused=refused),
            requests=3,
            wants="A fine answer.",
            by="sampler",
            warns="refuses seed: the same request sent again samples anew",
        )
        for form, seen, refused in (
            ("422, `loc`", "FastAPI servers", pydantic_refusal),
            ("422, `loc` within `message`", "Mistral", mistral_refusal),
            ("a list of errors", "Gemini", gemini_refusal),
        )
    ),
    Fault(
        "refuses log-probabilities (403)",
        "OpenAI",
        "reads verdicts from words",
        without("logprobs", refused=not_allowed),
        requests=3,
        wants=1.0,
        warns="verdicts are read from words alone",
    ),
    Fault(
        "refuses 10 alternatives of a token",
        "vLLM, Fireworks",
        "asks for as many as it allows; soft verdicts",
        few_alternatives,
        requests=3,
        wants=0.8,  # e^-0.2231 against e^-1.6094
    ),
    Fault(
        "refuses `response_format`",
        "older servers, Gaudi",
        "`verdict: json` asks in words alone, and reads the JSON",
        without("response_format", then=f"```json\n{JSON}\n```"),
        requests=3,
        wants=0.0,
        warns="the prompt alone asks for JSON",
        options={"verdict": "json"},
    ),
    Fault(
        "refuses whatever is left out",
        "any",
        "stops, in the server's words",
        lambda body, number: unsupported("max_tokens"),
        wants=UNAVAILABLE,
        reason="Unsupported parameter: 'max_tokens'",
        stops=True,
    ),
    Fault(
        "refuses the length of a request",
        "vLLM",
        "stops, in the server's words",
        lambda body, number: refusal(
            "'max_tokens' is too large: 9000. This model's maximum context length is 2048 tokens.",
            param="max_tokens",
        ),
        requests=1,
        wants=UNAVAILABLE,
        reason="maximum context length is 2048",
        stops=True,
    ),
)
