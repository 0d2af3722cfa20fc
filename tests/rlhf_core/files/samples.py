"""One row of each well-known data set, as its card describes it, with invented texts."""

from typing import Any


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


GOOD, BAD = "The Seine.", "Bananas."
TURNS = [user("Hi"), assistant("Hello!"), user("Name a river.")]
DIALOGUE = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a river."
ONE = "Name a river."
HH = {
    "chosen": f"{DIALOGUE}\n\nAssistant: {GOOD}",
    "rejected": f"{DIALOGUE}\n\nAssistant: {BAD}",
}
HELPSTEER_SCORES = {"correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 1}
SAMPLES: dict[str, dict[str, Any]] = {
    "openai": {
        "input": {"messages": [user(ONE)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [assistant(GOOD)],
        "non_preferred_output": [assistant(BAD)],
    },
    "ultrafeedback": {
        "source": "evol_instruct",
        "instruction": ONE,
        "models": ["a", "b", "c"],
        "completions": [
            {"model": "a", "response": BAD, "overall_score": 1.0, "fine-grained_score": 1.0},
            {"model": "b", "response": GOOD, "overall_score": 10.0, "fine-grained_score": 5.0},
            {"model": "c", "response": "A river.", "overall_score": 5.5, "fine-grained_score": 3.0},
        ],
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
    },
    "ultrafeedback_binarized": {
        "prompt": ONE,
        "prompt_id": "x",
        "chosen": [user(ONE), assistant(GOOD)],
        "rejected": [user(ONE), assistant(BAD)],
        "messages": [user(ONE), assistant(GOOD)],
        "score_chosen": 8.5,
        "score_rejected": 4.0,
    },
    "hh": HH,
    "hh_with_prompt": {
        "prompt": f"{DIALOGUE}\n\nAssistant:",
        "response": f" {GOOD}",
        "chosen": f" {GOOD}",
        "rejected": f" {BAD}",
    },
    "nectar": {
        "prompt": f"{DIALOGUE}\n\nAssistant: ",
        "answers": [
            {"answer": GOOD, "model": "a", "rank": 1.0},
            {"answer": BAD, "model": "b", "rank": 2.0},
        ],
        "turns": 2,
        "num_responses": 2,
        "source": ["sharegpt"],
        "good_natured": True,
    },
    "helpsteer2": {
        "prompt": f"Hi\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\n{ONE}",
        "response": GOOD,
        "helpfulness": 3,
        **HELPSTEER_SCORES,
    },
    "helpsteer2_preference": {
        "split": "train",
        "prompt": ONE,
        "response_1": BAD,
        "response_2": GOOD,
        "preference_strength": 2,
        "preference_statement": "Response 2 names a river.",
        "preference_elaboration": "",
    },
    "helpsteer3": {
        "domain": "general",
        "language": "english",
        "context": TURNS,
        "response1": GOOD,
        "response2": BAD,
        "overall_preference": -3,
        "individual_preference": [{"score": -3, "reasoning": "", "feedback1": "", "feedback2": ""}],
    },
    "sharegpt": {
        "id": "x",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": ONE},
            {"from": "gpt", "value": GOOD},
        ],
    },
    "sharegpt_preference": {
        "conversations": [{"from": "human", "value": ONE}],
        "chosen": {"from": "gpt", "value": GOOD},
        "rejected": {"from": "gpt", "value": BAD},
    },
    "alpaca": {"instruction": "Name one.", "input": "Rivers of France", "output": GOOD},
    "alpaca_preference": {"instruction": ONE, "input": "", "chosen": GOOD, "rejected": BAD},
    "alpaca_farm": {
        "instruction": ONE,
        "input": "",
        "output_1": BAD,
        "output_2": GOOD,
        "preference": 2,
    },
    "orca": {"system": "Be brief.", "question": ONE, "chosen": GOOD, "rejected": BAD},
    "verl": {
        "data_source": "openai/gsm8k",
        "prompt": [user("What is 6 times 7?")],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "42"},
        "extra_info": {"split": "train", "index": 0},
    },
    "healthbench": {
        "prompt_id": "x",
        "prompt": [user("My head hurts.")],
        "rubrics": [
            {"criterion": "Asks since when.", "points": 5, "tags": ["level:example"]},
            {"criterion": "Prescribes a drug.", "points": -8, "tags": []},
        ],
        "ideal_completions_data": None,
        "example_tags": [],
    },
}
TRL: dict[str, dict[str, Any]] = {
    "preference": {"prompt": "The river is", "chosen": " long.", "rejected": " a banana."},
    "preference, implicit prompt": {
        "chosen": "The river is long.",
        "rejected": "The river is a banana.",
    },
    "preference of messages": {
        "prompt": TURNS,
        "chosen": [assistant(GOOD)],
        "rejected": [assistant(BAD)],
    },
    "preference of messages, implicit prompt": {
        "chosen": [*TURNS, assistant(GOOD)],
        "rejected": [*TURNS, assistant(BAD)],
    },
    "unpaired preference, KTO": {"prompt": ONE, "completion": GOOD, "label": True},
    "prompt and completion": {"prompt": ONE, "completion": GOOD},
    "messages": {"messages": [*TURNS, assistant(GOOD)]},
    "prompt": {"prompt": ONE},
    "ranking, Solon's own": {"prompt": ONE, "answers": [GOOD, BAD], "utilities": [0.5, -0.5]},
}
