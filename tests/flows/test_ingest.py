"""The rows that ingest writes, without a server."""

import json
from pathlib import Path

import pytest

from flows.cycle.cycle import Cycle
from flows.run import plan_run
from flows.stages.ingest import ingest
from rlhf_core.config import Config
from rlhf_core.errors import DataFileError
from rlhf_core.records import StageRun
from rlhf_core.store import Store
from tests.facts import query_store
from tests.flows.conftest import smoke

RULES = ("prompts.columns.user=user_id", "prompts.privacy.policy=mask", "prompts.holdout=0.5")
SENT = [
    ("u1", "Please answer ann.lee@example.com today"),
    ("u1", "Why is the sky blue in the day?"),
    ("u2", "Why is the sky blue in the day ?"),
    ("u2", "How long is a mile?"),
    ("u3", "How long is a mile?"),
    ("u3", "Name a river."),
]


def config_of(folder: Path, *rules: str) -> Config:
    rows = [json.dumps({"user_id": user, "prompt": text}) for user, text in SENT]
    (folder / "p.jsonl").write_text("\n".join(rows))
    return smoke(folder, f"prompts.path={folder / 'p.jsonl'}", "prompts.limit=99", *rules)


def take_in(config: Config) -> str:
    return ingest.fn(Cycle(config=config, number=1, run_id="r"))


@pytest.mark.extra("presidio_analyzer")
def test_plan_and_ingest_agree_and_the_store_never_sees_what_is_masked(tmp_path: Path):
    config = config_of(tmp_path, *RULES, "prompts.hygiene.near_duplicate=0.8")
    planned = plan_run(config)
    assert (planned.prompts, planned.train, planned.holdout) == (3, 2, 1)
    assert planned.left_out == {"both_splits": 1, "near_duplicate": 1}
    assert planned.personal_data == {"email": 1}
    take_in(config)
    (run,) = Store(config.store).rows(StageRun)
    assert json.loads(run.detail) == {
        "prompts": 3,
        "train": 2,
        "holdout": 1,
        "left out as both_splits": 1,
        "left out as near_duplicate": 1,
        "found of email": 1,
    }
    assert query_store(
        config.store, "SELECT kind, action, prompts, spans FROM privacy_summary"
    ).rows == [("email", "masked", 1, 1)]
    held = b"".join(
        p.read_bytes() for p in tmp_path.iterdir() if p.is_file() and p.suffix != ".jsonl"
    )
    assert b"Please answer [EMAIL] today" in held
    assert b"ann.lee" not in held


@pytest.mark.extra("presidio_analyzer")
def test_ingest_again_adds_nothing(tmp_path: Path):
    config = config_of(tmp_path, *RULES, "prompts.hygiene.max_per_user=1")
    take_in(config)
    before = Store(config.store).counts()
    take_in(config)
    assert Store(config.store).counts() == before
    assert before["prompt_users"] == before["prompts"] > 0
    assert before["prompt_removals"] > 0


def test_a_prompt_that_is_stored_in_another_split_stops_the_run(tmp_path: Path):
    """A stored prompt keeps its split, so its user would be in both splits."""
    take_in(config_of(tmp_path, "prompts.holdout=0.5"))
    with pytest.raises(DataFileError, match="in another split than their users get now"):
        take_in(config_of(tmp_path, *RULES[::2]))


def test_a_system_message_that_the_chat_template_writes_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The default is no system message, and SmolLM2's template then adds its own."""
    model = "policy.model=smollm2-135m-instruct"
    with caplog.at_level("INFO", "flows.cycle.prompts"):
        take_in(config_of(tmp_path, model, "policy.system_prompt=null"))
    assert "'You are a helpful AI assistant named SmolLM, trained by Hugging Face'" in caplog.text


@pytest.mark.parametrize(
    "rules",
    [
        ("policy.model=tiny-random", "policy.system_prompt=null"),
        ("policy.model=smollm2-135m-instruct", "policy.system_prompt=Be kind."),
    ],
)
def test_no_system_message_is_shown_where_the_template_writes_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rules: tuple[str, ...]
):
    with caplog.at_level("INFO", "flows.cycle.prompts"):
        take_in(config_of(tmp_path, *rules))
    assert "system message" not in caplog.text
