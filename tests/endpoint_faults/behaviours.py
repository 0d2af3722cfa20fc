"""Servers that refuse options, and replies in the forms that servers send."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from rlhf_core.endpoints.preflight import QUESTION
from tests.servers import Answer, completion

Body = Mapping[str, Any]
Behaviour = Callable[[Body, int], Answer]


def refusal(message: str, status: int = 400, **error: Any) -> Answer:
    """An error in OpenAI's form."""
    return status, {}, json.dumps({"error": {"message": message, **error}})


def unsupported(option: str) -> Answer:
    said = f"Unsupported parameter: '{option}' is not supported with this model."
    return refusal(said, param=option, code="unsupported_parameter")


def without(*options: str, then: str = "A", refused: Callable[[str], Answer] = unsupported) -> Any:
    """A server that refuses options."""

    def answer(body: Body, number: int) -> Answer:
        return next((refused(option) for option in options if option in body), completion(then))

    return answer


def message(content: Any = None, finish: str = "stop", **more: Any) -> Answer:
    said = {"role": "assistant", "content": content, **more}
    return completion(message=said, finish_reason=finish)


def says(content: Any = None, finish: str = "stop", **more: Any) -> Behaviour:
    """A server that always sends this message."""
    return lambda body, number: message(content, finish, **more)


def logprobs(*positions: tuple[str, Mapping[str, float]], **more: Any) -> dict[str, Any]:
    """Log-probabilities in OpenAI's form; each position is a token and its alternatives."""
    return {
        "content": [
            {
                "token": token,
                "logprob": tops.get(token, -0.1),
                "top_logprobs": [{"token": t, "logprob": p} for t, p in tops.items()],
                **more,
            }
            for token, tops in positions
        ]
    }


def with_logprobs(text: str, *positions: tuple[str, Mapping[str, float]]) -> Behaviour:
    found = logprobs(*positions)
    return lambda body, number: completion(text, logprobs=found)


def bytes_of_a_split_character(body: Body, number: int) -> Answer:
    """The é is split over two tokens, which a server can only show as bytes; P(A) is 3/4."""
    tops = [{"token": "A", "logprob": -0.4055}, {"token": "B", "logprob": -1.5041}]
    split = [("\ufffd", [0xC3]), ("\ufffd", [0xA9]), (": ", [58, 32])]
    parts = [{"token": t, "logprob": -0.1, "bytes": b, "top_logprobs": []} for t, b in split]
    verdict = {"token": "A", "logprob": -0.4055, "bytes": [65], "top_logprobs": tops}
    return completion("é: A", logprobs={"content": [*parts, verdict]})


def few_alternatives(body: Body, number: int) -> Answer:
    if body.get("top_logprobs", 0) > 5:
        said = "Requested sample logprobs of 10, which is greater than max allowed: 5"
        return refusal(said, param="logprobs")
    return completion("A", logprobs=logprobs(("A", {"A": -0.2231, "B": -1.6094})))


def is_tiny(body: Body) -> bool:
    return QUESTION in body["messages"][-1]["content"]


def thinks_at_length(body: Body, number: int) -> Answer:
    """Spend 1000 tokens on thoughts, and answer if any are left."""
    if body["max_tokens"] > 1000:
        return message("B", reasoning_content="Let me compare the two.")
    return message(None, "length", reasoning_content="Let me compare")


def filtered_prompt(body: Body, number: int) -> Answer:
    if is_tiny(body):
        return completion("yes")
    said = "The response was filtered due to the prompt triggering a content management policy."
    inner = {"code": "ResponsibleAIPolicyViolation"}
    return refusal(said, param="prompt", code="content_filter", innererror=inner)


def edited(**changes: Any) -> Behaviour:
    """A completion of A with other fields."""
    return lambda body, number: (200, {}, json.dumps({**json.loads(completion("A")[2]), **changes}))


def after_tiny(answer: Answer) -> Behaviour:
    return lambda body, number: completion("yes") if is_tiny(body) else answer


def pydantic_refusal(option: str) -> Answer:
    detail = [{"type": "extra_forbidden", "loc": ["body", option], "msg": "Extra inputs are not"}]
    return 422, {}, json.dumps({"detail": detail})


def mistral_refusal(option: str) -> Answer:
    status, headers, detail = pydantic_refusal(option)
    return status, headers, json.dumps({"object": "error", "message": json.loads(detail)})


def gemini_refusal(option: str) -> Answer:
    said = f'Invalid JSON payload received. Unknown name "{option}": Cannot find field.'
    return 400, {}, json.dumps([{"error": {"code": 400, "message": said}}])


def anthropic_refusal(option: str) -> Answer:
    return refusal(f"`{option}` is deprecated for this model.", type="invalid_request_error")


def not_allowed(option: str) -> Answer:
    return refusal(f"You are not allowed to request {option} from this model.", 403)
