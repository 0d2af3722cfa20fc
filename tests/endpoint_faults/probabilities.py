"""Log-probabilities as servers send them, and replies without any."""

from tests.endpoint_faults.behaviours import bytes_of_a_split_character, says, with_logprobs
from tests.endpoint_faults.fault import UNAVAILABLE, Fault

PROBABILITIES = (
    Fault(
        "ignores `logprobs`",
        "Anthropic, `transformers serve`",
        "reads verdicts from words",
        says("A"),
        wants=1.0,
        warns="returns no log-probabilities",
    ),
    Fault(
        "sends fewer alternatives than asked",
        "gateways",
        "counts the others as 0, and says so",
        with_logprobs("B", ("B", {"B": -0.1054})),
        wants=0.0,
        warns="only 1 of 10 alternatives",
    ),
    Fault(
        "sends alternatives of some tokens only",
        "gateways",
        "reads the words where the verdict's token has none",
        with_logprobs("So: B", ("So", {"So": -0.1, "A": -3.0}), (": ", {}), ("B", {})),
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
        wants=0.2,
    ),
    Fault(
        "says no in lower case",
        "any",
        "counts each spelling of a label",
        with_logprobs("no", ("no", {"no": -0.01, "Yes": -7.0, " no": -5.0})),
        wants=0.0009,  # e^-7 / (e^-7 + e^-0.01 + e^-5)
        by="rubric",
    ),
    *(
        Fault(
            f"spells tokens as {tokenizer} does (`{space}A`)",
            seen,
            "reads them as their text",
            with_logprobs(
                "I say A",
                (first, {}),
                (f"{space}say", {}),
                (f"{space}A", {f"{space}A": -0.2231, f"{space}B": -1.6094}),
            ),
            wants=0.8,
        )
        for tokenizer, seen, space, first in (
            ("SentencePiece", "llama.cpp, older vLLM", "▁", "▁I"),
            ("GPT-2", "older TGI", "Ġ", "I"),
        )
    ),
    Fault(
        "splits a character over two tokens",
        "OpenAI, vLLM",
        "joins their bytes",
        bytes_of_a_split_character,
        wants=0.75,
    ),
    Fault(
        "ignores `response_format`",
        "Anthropic",
        "`verdict: json` reads JSON, or else words",
        says("**B** is better."),
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
)
