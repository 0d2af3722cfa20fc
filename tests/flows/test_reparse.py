"""A fixed parser reads the stored replies again; no model is called, nothing is overwritten."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flows.audit.reparse import reparse
from flows.cycle.ledger import StoreLedger
from judges.language_model import choice, model
from judges.language_model.parsing import ParsedVerdict
from judges.panel.panel import Panelist, ranking_tasks
from rlhf_core.config import Config
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.records import Judgement, Outcome, Response
from rlhf_core.store import Store
from tests.facts import candidate, prompt

JUDGE = {"kind": "pairwise", "model": "openai:m", "base_url": "http://127.0.0.1:1/v1"}
ASKED = prompt("Why?")
CANDIDATES = [candidate("one", 0), candidate("two", 1)]


@pytest.fixture
def config(store: Store) -> Config:
    return Config.model_validate(
        {
            "store": str(store.files.database),
            "prompts": {"path": "none.jsonl"},
            "judges": [JUDGE],
            "evaluation": {"judges": [{"kind": "brevity"}]},
        }
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ChatRequest]:
    """Collect the requests to an endpoint that answers in words no parser expects."""
    calls: list[ChatRequest] = []

    def complete(
        self: Endpoint,
        requests: Sequence[ChatRequest],
        on_reply: Callable[[int, ChatReply], None],
    ) -> list[ChatReply]:
        calls.extend(requests)
        replies = [ChatReply("The former.", "eos", 9, 2, 0.1, cost_usd=0.5) for _ in requests]
        for index, reply in enumerate(replies):
            on_reply(index, reply)
        return replies

    monkeypatch.setattr(Endpoint, "complete", complete)
    return calls


def judge_all(config: Config, store: Store) -> list[Judgement]:
    panelist = Panelist(config.judges[0], StoreLedger(store))
    found = panelist.judge(ranking_tasks(panelist, ASKED, CANDIDATES), attempt="run")
    store.append([ASKED, *CANDIDATES, *found])
    return found


def test_words_and_verdict_are_rows_of_their_own(
    config: Config, store: Store, asked: list[ChatRequest]
):
    one, other = judge_all(config, store)
    assert {one.outcome, other.outcome} == {Outcome.UNPARSED}
    (response,) = store.rows(Response, "id = ?", [one.response_ids[0]])
    assert (response.text, response.cost_usd) == ("The former.", 0.5)
    assert len(asked) == 2


def test_the_same_question_is_asked_once(config: Config, store: Store, asked: list[ChatRequest]):
    judge_all(config, store)
    again = judge_all(config, store)
    assert len(asked) == 2
    assert [judgement.cost_usd for judgement in again] == [0.0, 0.0]


def test_a_mended_parser_reads_for_free(
    config: Config, store: Store, asked: list[ChatRequest], monkeypatch: pytest.MonkeyPatch
):
    before = judge_all(config, store)
    monkeypatch.setattr(model, "PARSER", "mended")
    monkeypatch.setattr(
        choice, "parse_verdict", lambda text, labels, *rest: ParsedVerdict(labels[0], 0)
    )
    (found, _) = reparse(config)
    assert (found.read_again, found.changed, found.not_asked) == (2, 2, 0)
    kept = store.rows(Judgement)
    assert len(kept) == 4
    new = [j for j in kept if j.judge_version != before[0].judge_version]
    assert {j.outcome for j in new} == {Outcome.FIRST}
    assert {j.response_ids for j in new} == {j.response_ids for j in before}
    assert len(asked) == 2
    assert [(again.read_again, again.changed) for again in reparse(config)] == [(0, 0), (0, 0)]


def test_a_question_in_other_words_is_left_to_a_run(
    config: Config, store: Store, asked: list[ChatRequest], monkeypatch: pytest.MonkeyPatch
):
    judge_all(config, store)
    monkeypatch.setattr("judges.pairwise.TEMPLATE", "Quite another question: {first} {second}")
    (found, _) = reparse(config)
    assert (found.read_again, found.not_asked) == (0, 2)
    assert len(store.rows(Judgement)) == 2


def test_auditors_see_verdicts_beside_the_words(
    config: Config, store: Store, asked: list[ChatRequest], tmp_path: Path
):
    judge_all(config, store)
    rows = store.query("SELECT outcome, text, cost_usd FROM judgement_responses")
    assert rows == [{"outcome": "unparsed", "text": "The former.", "cost_usd": 0.5}] * 2
