"""The deciding judge of an evaluation, its baseline, and the reuse of earlier evaluations."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cycle.cycle import Cycle
from flows.reports.cycle_data import gather
from flows.reports.summary import summary
from flows.run import run_cycles
from flows.stages.promote import promote
from rlhf_core.config import Config
from rlhf_core.evaluation.bounds import lower_bound
from rlhf_core.evaluation.win_rate import scored_prompts
from rlhf_core.records import Evaluation, EvaluationResult, Promotion
from rlhf_core.store import Store, line_queries, reading
from rlhf_core.store.audit.stories import find_story
from tests.flows.conftest import smoke
from tests.servers import Answer as Completion
from tests.servers import Server, completion, started

pytestmark = pytest.mark.usefixtures("server")

F1, BREVITY = "{kind: verifier, name: f1, metric: token_f1}", "{kind: brevity}"


@pytest.fixture
def copied(finished: Config, tmp_path: Path) -> Config:
    """The finished cycle, copied to a folder of its own so that a test can continue it."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    return smoke(tmp_path / "copy")


def roles(config: Config) -> dict[str, str]:
    """Return the role of each judge that the first cycle's report and summary show."""
    page = gather(Store(config.store), Cycle(config=config, number=1, run_id=""))
    assert page is not None
    shown = {row["judge"]: row["role"] for row in summary(config, 1, {})["evaluations"]}
    assert {e.judge: e.role for e in page["evaluations"]} == shown
    assert len(page["evaluations"]) == len(shown)
    assert page["deciding"].role == "decides"
    return shown


@pytest.mark.slow
def test_the_judge_that_the_config_names_first_decides(copied: Config):
    """This holds whichever judge decided before, on the same answers of the same policy."""
    store, found = Store(copied.store), []
    for line, judges in enumerate((f"[{F1}, {BREVITY}]", f"[{BREVITY}, {F1}]", f"[{BREVITY}]")):
        config = smoke(copied.store.parent, f"name=line-{line}", f"evaluation.judges={judges}")
        run_cycles(config, 1, is_quiet=True)
        assert run_cycles(config, 1, is_quiet=True) == {}
        found.append(roles(config))
    others = {"similarity": "trained_on", "proxy": "proxy"}
    assert found[0] == {"f1": "decides", "brevity": "reports", **others}
    assert found[1] == {"brevity": "decides", "f1": "reports", **others}
    assert found[2] == {"brevity": "decides", **others}
    kept = store.rows(Evaluation)
    assert len({e.policy_id for e in kept}) == 1
    assert {(e.judge, e.role) for e in kept} >= {(j, r) for each in found for j, r in each.items()}


def test_the_decision_rests_on_the_stored_comparisons(finished: Config):
    """The first decision on its prompts errs at 2.5 %; each comparison behind it is a row."""
    store = Store(finished.store)
    (decision,) = store.rows(Promotion)
    (deciding,) = store.rows(Evaluation, "id = ?", [decision.evaluation_id])
    results = store.rows(EvaluationResult, "evaluation_id = ?", [deciding.id])
    assert len(results) == deciding.comparisons
    assert sum(each.margin is None for each in results) == deciding.unscored
    margins = line_queries.margins_of(store, deciding.id)
    scored = scored_prompts(list(margins.values()))
    assert np.mean([np.mean(row) for row in scored]) == pytest.approx(deciding.win_rate)
    assert decision.error_rate == pytest.approx(0.025)
    assert decision.win_rate_bound == pytest.approx(lower_bound(scored, 0.025))


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with started(Server) as start:
        yield start


def labeler(body: dict[str, Any], number: int) -> Completion:
    """Grade every answer 4, raise no flag, and be unreadable about constraints."""
    asked = body["messages"][-1]["content"]
    if "every limit" in asked:
        return completion("Who can say")
    return completion("4" if "one digit" in asked else "No")


def test_judges_show_what_changed_in_the_answers(copied: Config, serve):
    """Shares of right, abstaining and wrong answers; InstructGPT's grade and eleven flags.

    Only answers about a given text may invent beyond it.
    """
    abstention = "{kind: abstention, judge: {kind: verifier, metric: contains}}"
    url = serve(labeler).url
    rubric = f"{{kind: rubric, weight: 0, model: 'openai:m', base_url: '{url}', max_attempts: 1}}"
    judges = f"evaluation.judges=[{BREVITY}, {abstention}, {rubric}]"
    config = smoke(copied.store.parent, "name=notes", judges, "judging.probes=0")
    run_cycles(config, 1, is_quiet=True)
    cycle = Cycle(config=config, number=1, run_id="")
    page = gather(Store(config.store), cycle)
    assert page is not None

    rows = {after.metric: (judge, before, after) for judge, before, after in page["abstention"]}
    assert {judge for judge, _, _ in rows.values()} == {"abstention"}
    kinds = [rows[f"answers_{name}"] for name in ("right", "abstain", "wrong")]
    for side in (1, 2):
        assert sum(row[side].value for row in kinds) == pytest.approx(1.0)

    aspects = {aspect.name: aspect for aspect in page["aspects"]}
    assert {aspect.judge for aspect in aspects.values()} == {"rubric"}
    assert [name for name, aspect in aspects.items() if aspect.is_grade] == ["overall_quality"]
    assert aspects["overall_quality"].after.value == pytest.approx(4.0)
    assert len(aspects) == 11
    assert "satisfies_constraint" not in aspects  # unread, and so in no mean
    texts = (
        "SELECT count(*) FILTER (context IS NOT NULL) AS n FROM prompts WHERE id IN "
        "(SELECT prompt_id FROM evaluation_results WHERE evaluation_id = ?)"
    )
    (with_text,) = Store(config.store).query(texts, [page["deciding"].id])
    assert 0 < aspects["hallucination"].after.n == with_text["n"]
    assert with_text["n"] < aspects["overall_quality"].after.n

    html = cycle.report_path.read_text()
    assert "Right, abstaining and wrong answers" in html
    assert "overall quality" in html
    with reading(config.store) as snapshot:
        story = find_story(snapshot, "models", page["promotion"].policy_id)
    figures = {(row["metric"], row["facet"]): row["value"] for row in story["figures"]}
    assert figures["grade_overall_quality", "after"] == pytest.approx(4.0)
    assert figures["unread_satisfies_constraint", "after"] == 1.0


def test_a_cycle_that_was_decided_on_stays_so(copied: Config):
    """Late verdicts make a new evaluation, and do not change the decision."""
    store = Store(copied.store)
    refused = next(e for e in store.rows(Evaluation) if e.role == "decides")
    changes = {"settings": "later", "win_rate": 0.9, "win_rate_low": 0.8, "policy_eos_rate": 1.0}
    winning = Evaluation.model_validate({**refused.model_dump(exclude={"id"}), **changes})
    store.append([winning])
    assert promote(Cycle(config=copied, number=1, run_id="late"), winning.id) is False
    (row,) = store.query("SELECT evaluation_id, promoted FROM promotions")
    assert (row["evaluation_id"], row["promoted"]) == (refused.id, False)
