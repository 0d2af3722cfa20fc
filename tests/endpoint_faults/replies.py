"""Replies with thoughts, errors, refusals or filters in them."""

from tests.endpoint_faults.behaviours import (
    after_tiny,
    completion,
    edited,
    filtered_prompt,
    message,
    refusal,
    says,
    thinks_at_length,
)
from tests.endpoint_faults.fault import UNAVAILABLE, UNPARSED, Fault

THOUGHTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "A? No."}]}]
BESIDE = (
    (
        "sends the content in parts, with thoughts",
        "Mistral",
        says([*THOUGHTS, {"type": "text", "text": "B"}]),
    ),
    (
        "sends `reasoning_content`",
        "DeepSeek, SGLang",
        says("B", reasoning_content="A is better? No."),
    ),
    ("sends `reasoning`", "vLLM, OpenRouter", says("B", reasoning="A is better? No.")),
)
WITHIN = (
    (
        "sends thoughts in the content (`<think>`)",
        "servers without a parser",
        says("<think>\nA is better? No.\n</think>\n\nB"),
    ),
    (
        "sends thoughts whose opening mark the template holds",
        "servers without a parser",
        says("A is better? No.\n</think>\n\nB"),
    ),
)
CALLS = [{"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}]
NO_COUNTS = {"prompt_tokens": 40, "completion_tokens": None, "total_tokens": None}

REPLIES = (
    *(
        Fault(name, seen, result, answer, wants=0.0)
        for result, forms in (
            ("reads the text, keeps the thoughts", BESIDE),
            ("reads what follows them", WITHIN),
        )
        for name, seen, answer in forms
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
        wants=UNAVAILABLE,
        reason="cut off before an answer, with 4096 tokens for thoughts",
        stops=True,
    ),
    *(
        Fault(name, "gateways", "takes the highest possible cost", edited(usage=usage), wants=1.0)
        for name, usage in (
            ("counts no tokens (`usage: null`)", None),
            ("counts some tokens (`completion_tokens: null`)", NO_COUNTS),
        )
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
        wants=UNAVAILABLE,
        reason="Provider said no",
    ),
    Fault(
        "refuses to answer (`message.refusal`)",
        "OpenAI",
        "no verdict, with the model's words",
        after_tiny(message(None, refusal="I can't say whether A is better.")),
        wants=UNPARSED,
        reason="the model refused to answer: I can't say whether A is better.",
    ),
    Fault(
        "refuses to answer (`message.refusal`)",
        "OpenAI",
        "keeps the model's words as its answer",
        after_tiny(message(None, refusal="I'm sorry, no.")),
        wants="I'm sorry, no.",
        by="sampler",
    ),
    Fault(
        "filters the reply",
        "Azure, OpenAI",
        "no verdict, with that reason; not asked again",
        after_tiny(message("A is bet", "content_filter")),
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
        wants=UNPARSED,
        reason="content filter withheld the reply",
    ),
    Fault(
        "filters the question (400)",
        "Azure",
        "no verdict, with that reason; costs nothing, not asked again",
        filtered_prompt,
        wants=UNPARSED,
        reason="content filter withheld the reply",
    ),
    Fault(
        "filters the question (400)",
        "Azure",
        "no answer, with that reason",
        filtered_prompt,
        wants=UNAVAILABLE,
        reason="content filter withheld the answer",
        by="sampler",
    ),
    Fault(
        "only calls a tool",
        "any",
        "no verdict, with that reason; not asked again",
        after_tiny(message(None, "tool_calls", tool_calls=CALLS)),
        wants=UNPARSED,
        reason="the model only called a tool",
    ),
    Fault(
        "only calls a tool",
        "any",
        "no answer, with that reason",
        after_tiny(message("", "stop", tool_calls=CALLS)),
        wants=UNAVAILABLE,
        reason="the model only called a tool, and an answer is text",
        by="sampler",
    ),
)
