"""A whole cycle on prompts that are conversations."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from flows.cli.export import _export
from flows.run import run_cycles
from rlhf_core.files.rows import read_rows
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import Candidate, Prompt, Split
from rlhf_core.store import Store
from rlhf_core.store.exchange import Selection
from tests.flows.conftest import smoke
from tests.flows.test_conversations import assistant, system, user

pytestmark = pytest.mark.slow
RIVERS = ("Seine", "Loire", "Rhine", "Elbe", "Oder", "Po", "Tiber", "Ebro")
EXAMPLES = [user("Where does the Nile end?"), assistant("In the Mediterranean.")]


def dialogue(number: int) -> dict[str, Any]:
    """Two turns of the user or three; every third has a system message, every fourth examples."""
    river = f"The {RIVERS[number % len(RIVERS)]}."
    turns = [user(f"Name river {number} of Europe."), assistant(river), user("Where is its end?")]
    if number % 6 == 1:
        turns += [assistant("In the sea."), user("Which one?")]
    before = [system("Answer like a geographer.")] if number % 3 == 0 else []
    examples = {"few_shot": EXAMPLES} if number % 4 == 0 else {}
    return {"prompt": [*before, *turns], "reference": f"{river} ends in the sea.", **examples}


def messages_read(row: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the model reads of a row, without a system message of the config."""
    start = int(row["prompt"][0]["role"] == "system")
    return [*row["prompt"][:start], *row.get("few_shot", []), *row["prompt"][start:]]


def test_a_cycle_on_conversations_runs_to_its_end(server: str, tmp_path: Path):
    rows = [dialogue(number) for number in range(24)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = smoke(tmp_path, f"prompts.path={path}")
    run_cycles(config, 1, is_quiet=True)
    store = Store(tmp_path / "solon.duckdb")
    prompts = {prompt.id: prompt for prompt in store.rows(Prompt)}
    expected = [messages_read(row) for row in rows]
    assert sorted(json.dumps(list(p.conversation.messages)) for p in prompts.values()) == sorted(
        json.dumps(messages) for messages in expected
    )
    _check_tokens(store, prompts, config.policy.system_prompt)
    _check_page(tmp_path / "artifacts", list(prompts.values()))
    target = tmp_path / "pairs.jsonl"
    chosen = Selection(with_cut_off=True)
    outcome = _export(
        store.files.database, target, "jsonl", "preference", "preference", chosen, None
    )
    assert outcome["rows"] > 0
    assert all(dict(row)["prompt"] in expected for _, row in read_rows(target))


def _check_tokens(store: Store, prompts: dict[str, Prompt], system_prompt: str | None) -> None:
    """Each candidate answered as many tokens as the template writes for the whole conversation."""
    tokenizer = load_tokenizer("tiny-random")
    candidates = store.rows(Candidate)
    assert candidates
    for candidate in candidates:
        messages = [dict(one) for one in prompts[candidate.prompt_id].conversation.messages]
        if messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system_prompt})
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert candidate.prompt_tokens == len(ids)


def _check_page(artifacts: Path, prompts: list[Prompt]) -> None:
    (page,) = artifacts.glob("reports/*/cycle-1.html")
    turns = re.findall(r'<p class="turn"><small>(.*?)</small>(.*?)</p>', page.read_text())
    shown = [(speaker, unescape(text)) for speaker, text in turns]
    held_out = [prompt for prompt in prompts if prompt.split is Split.HOLDOUT]
    assert shown
    assert set(shown) <= {(t.speaker, t.text) for prompt in held_out for t in prompt.turns}
