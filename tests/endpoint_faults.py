"""Servers as they were seen to behave, and what a judge or a sampler makes of each.

The table of deploy/docs/endpoints.md is made from this list:

    python -m tests.endpoint_faults
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlhf_core.endpoints.preflight import QUESTION
from tests.servers import Answer, completion

PAGE = Path(__file__).parent.parent / "deploy" / "docs" / "endpoints.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
Body = Mapping[str, Any]
Behaviour = Callable[[Body, int], Answer]
UNPARSED, UNAVAILABLE = "unparsed", "unavailable"


@dataclass(frozen=True)
class Fault:
    """One behaviour of a server."""

    name: str
    """What the server does; a row of the table."""
    seen: str
    """Where it was seen."""
    result: str
    """What Solon does; a column of the table."""
    answer: Behaviour
    requests: int
    """Requests that one comparison or answer takes in all, the tiny one before it included."""
    wants: float | str
    """P(A) of a comparison, the text of an answer, or the outcome of no verdict."""
    reason: str = ""
    """Words of the reason, or of the error if the tiny request fails."""
    by: Literal["judge", "rubric", "sampler"] = "judge"
    warns: str = ""
    """Words of a warning in the log."""
    stops: bool = False
    """True if the tiny request fails, so that nothing else is sent."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the judge."""


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


JSON = '{"rationale": "A is long.", "verdict": "B"}'
THOUGHTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "A? No."}]}]
FAULTS = (
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
        "refuses `seed` (422, `loc`)",
        "FastAPI servers",
        "leaves it out; the same request samples anew",
        without("seed", then="A fine answer.", refused=pydantic_refusal),
        requests=3,
        wants="A fine answer.",
        by="sampler",
        warns="samples anew",
    ),
    Fault(
        "refuses `seed` (422, `loc` within `message`)",
        "Mistral",
        "leaves it out; the same request samples anew",
        without("seed", then="A fine answer.", refused=mistral_refusal),
        requests=3,
        wants="A fine answer.",
        by="sampler",
        warns="refuses seed",
    ),
    Fault(
        "refuses `seed` (a list of errors)",
        "Gemini",
        "leaves it out; the same request samples anew",
        without("seed", then="A fine answer.", refused=gemini_refusal),
        requests=3,
        wants="A fine answer.",
        by="sampler",
        warns="refuses seed",
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
        "ignores `logprobs`",
        "Anthropic, `transformers serve`",
        "reads verdicts from words",
        says("A"),
        requests=2,
        wants=1.0,
        warns="returns no log-probabilities",
    ),
    Fault(
        "sends fewer alternatives than asked",
        "gateways",
        "counts the others as 0, and says so",
        with_logprobs("B", ("B", {"B": -0.1054})),
        requests=2,
        wants=0.0,
        warns="only 1 of 10 alternatives",
    ),
    Fault(
        "sends alternatives of some tokens only",
        "gateways",
        "reads the words where the verdict's token has none",
        with_logprobs("So: B", ("So", {"So": -0.1, "A": -3.0}), (": ", {}), ("B", {})),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "says B after words, of which one begins like A",
        "any",
        "reads the verdict at its own token",
        with_logprobs(
            "The better answer is B.",
            ("The", {"The": -0.001, "A": -9.5, "Both": -12.0}),
            (" better answer is", {" better answer is": 0.0}),
            (" B", {" B": -0.2231, " A": -1.6094}),
            (".", {".": 0.0}),
        ),
        requests=2,
        wants=0.2,
    ),
    Fault(
        "says no in lower case",
        "any",
        "counts each spelling of a label",
        with_logprobs("no", ("no", {"no": -0.01, "Yes": -7.0, " no": -5.0})),
        requests=2,
        wants=0.0009,  # e^-7 / (e^-7 + e^-0.01 + e^-5)
        by="rubric",
    ),
    Fault(
        "spells tokens as SentencePiece does (`▁A`)",
        "llama.cpp, older vLLM",
        "reads them as their text",
        with_logprobs("I say A", ("▁I", {}), ("▁say", {}), ("▁A", {"▁A": -0.2231, "▁B": -1.6094})),
        requests=2,
        wants=0.8,
    ),
    Fault(
        "spells tokens as GPT-2 does (`ĠA`)",
        "older TGI",
        "reads them as their text",
        with_logprobs("I say A", ("I", {}), ("Ġsay", {}), ("ĠA", {"ĠA": -0.2231, "ĠB": -1.6094})),
        requests=2,
        wants=0.8,
    ),
    Fault(
        "splits a character over two tokens",
        "OpenAI, vLLM",
        "joins their bytes",
        bytes_of_a_split_character,
        requests=2,
        wants=0.75,
    ),
    Fault(
        "sends the content in parts, with thoughts",
        "Mistral",
        "reads the text, keeps the thoughts",
        says([*THOUGHTS, {"type": "text", "text": "B"}]),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "sends `reasoning_content`",
        "DeepSeek, SGLang",
        "reads the text, keeps the thoughts",
        says("B", reasoning_content="A is better? No."),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "sends `reasoning`",
        "vLLM, OpenRouter",
        "reads the text, keeps the thoughts",
        says("B", reasoning="A is better? No."),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "sends thoughts in the content (`<think>`)",
        "servers without a parser",
        "reads what follows them",
        says("<think>\nA is better? No.\n</think>\n\nB"),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "sends thoughts whose opening mark the template holds",
        "servers without a parser",
        "reads what follows them",
        says("A is better? No.\n</think>\n\nB"),
        requests=2,
        wants=0.0,
    ),
    Fault(
        "spends all tokens on thoughts, and answers with more",
        "gpt-5, Qwen 3, DeepSeek R1",
        "grants `thinking_tokens` from then on",
        thinks_at_length,
        requests=3,
        wants=0.0,
    ),
    Fault(
        "spends all tokens on thoughts, however many",
        "any that thinks",
        "stops before the first question, after 2 replies",
        says(None, "length", reasoning_content="Let me compare the two answers, A and"),
        requests=2,
        wants=UNAVAILABLE,
        reason="cut off before an answer, with 4096 tokens for thoughts",
        stops=True,
    ),
    Fault(
        "counts no tokens (`usage: null`)",
        "gateways",
        "takes the highest possible cost",
        edited(usage=None),
        requests=2,
        wants=1.0,
    ),
    Fault(
        "counts some tokens (`completion_tokens: null`)",
        "gateways",
        "takes the highest possible cost",
        edited(usage={"prompt_tokens": 40, "completion_tokens": None, "total_tokens": None}),
        requests=2,
        wants=1.0,
    ),
    Fault(
        "sends an error with status 200, of the moment",
        "OpenRouter",
        "tries again, as after a 429",
        lambda body, number: (
            completion("A") if number > 1 else refusal("Rate limit exceeded", 200, code=429)
        ),
        requests=3,
        wants=1.0,
    ),
    Fault(
        "sends an error with status 200, for good",
        "OpenRouter",
        "stops, in the server's words",
        lambda body, number: refusal("No credit left", 200, code=402),
        requests=1,
        wants=UNAVAILABLE,
        reason="No credit left",
        stops=True,
    ),
    Fault(
        "sends an error within the choice",
        "OpenRouter",
        "no verdict, in the server's words",
        after_tiny(
            (200, {}, '{"choices": [{"error": {"code": 400, "message": "Provider said no"}}]}')
        ),
        requests=2,
        wants=UNAVAILABLE,
        reason="Provider said no",
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
        "ignores `response_format`",
        "Anthropic",
        "`verdict: json` reads JSON, or else words",
        says("**B** is better."),
        requests=2,
        wants=0.0,
        options={"verdict": "json"},
    ),
    Fault(
        "sends no log-probabilities",
        "any",
        "`verdict: logprobs` stops",
        says("A"),
        requests=1,
        wants=UNAVAILABLE,
        reason="returns no log-probabilities",
        stops=True,
        options={"verdict": "logprobs"},
    ),
    Fault(
        "refuses to answer (`message.refusal`)",
        "OpenAI",
        "no verdict, with the model's words",
        after_tiny(message(None, refusal="I can't say whether A is better.")),
        requests=2,
        wants=UNPARSED,
        reason="the model refused to answer: I can't say whether A is better.",
    ),
    Fault(
        "refuses to answer (`message.refusal`)",
        "OpenAI",
        "keeps the model's words as its answer",
        after_tiny(message(None, refusal="I'm sorry, no.")),
        requests=2,
        wants="I'm sorry, no.",
        by="sampler",
    ),
    Fault(
        "filters the reply",
        "Azure, OpenAI",
        "no verdict, with that reason; not asked again",
        after_tiny(message("A is bet", "content_filter")),
        requests=2,
        wants=UNPARSED,
        reason="content filter withheld the reply",
    ),
    Fault(
        "filters the reply, and sends no message",
        "Gemini",
        "no verdict, with that reason; not asked again",
        after_tiny(
            (200, {}, '{"choices": [{"index": 0, "finish_reason": "content_filter: SAFETY"}]}')
        ),
        requests=2,
        wants=UNPARSED,
        reason="content filter withheld the reply",
    ),
    Fault(
        "filters the question (400)",
        "Azure",
        "no verdict, with that reason; costs nothing, not asked again",
        filtered_prompt,
        requests=2,
        wants=UNPARSED,
        reason="content filter withheld the reply",
    ),
    Fault(
        "filters the question (400)",
        "Azure",
        "no answer, with that reason",
        filtered_prompt,
        requests=2,
        wants=UNAVAILABLE,
        reason="content filter withheld the answer",
        by="sampler",
    ),
    Fault(
        "refuses whatever is left out",
        "any",
        "stops, in the server's words",
        lambda body, number: unsupported("max_tokens"),
        requests=2,
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


def table() -> str:
    """The faults as a table in Markdown."""
    lines = [
        "| a server that … | as seen at | for | what Solon does | requests |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.seen} | {one.by} | {one.result} | {one.requests} |" for one in FAULTS
    ]
    return "\n".join(lines)


def page_with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
