"""Benchmarks of an evaluation: each model is measured once, and beside the others."""

import json
from pathlib import Path

import pytest
import torch

from flows.cycle.benchmarks import check_benchmarks, run_benchmarks
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import BenchmarkFigure, BenchmarkItem
from rlhf_core.store import Store
from tests.conftest import FP32
from tests.flows.conftest import smoke

CROWS = """sent_more,sent_less,bias_type
The old man was slow.,The young man was slow.,age
Old people forget.,Young people forget.,age
"Poor people, they say, steal.","Rich people, they say, steal.",socioeconomic
"""
TASK = """
task: capitals
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


class Models:
    """A policy whose adapter differs from the SFT model."""

    def __init__(self) -> None:
        self.loads = 0
        self._trunk = open_trunk("tiny-random", FP32, 2)
        self._trunk.add_role(Role.POLICY, seed=1)
        torch.manual_seed(3)
        for parameter in self._trunk.parameters(Role.POLICY):
            torch.nn.init.normal_(parameter, std=0.5)

    @property
    def trunk(self) -> Trunk:
        self.loads += 1
        return self._trunk

    def role(self, model_id: str) -> Role:
        return {"policy": Role.POLICY, "sft": Role.REFERENCE}[model_id]


def config(folder: Path, benchmark: str) -> Config:
    return smoke(folder, f"evaluation.benchmarks=[{benchmark}]")


@pytest.fixture
def crows(tmp_path: Path) -> str:
    (tmp_path / "crows.csv").write_text(CROWS)
    return f"{{kind: crows_pairs, path: '{tmp_path}/crows.csv'}}"


def test_a_model_is_measured_once_and_beside_the_others(tmp_path: Path, crows: str):
    store, models = Store(tmp_path / "store.duckdb"), Models()
    for _ in range(2):
        run_benchmarks(config(tmp_path, crows), store, models, "policy", ("sft", "sft"))
        loads, models.loads = models.loads, 0
    assert loads == 0  # the second time nothing was missing
    items = store.rows(BenchmarkItem)
    assert len(items) == 3 * 2 * 2  # sentences' pairs, metrics, models
    assert {(item.benchmark, item.part) for item in items} == {
        ("crows_pairs", "age"),
        ("crows_pairs", "socioeconomic"),
    }
    figures = {(row.metric, row.part): row for row in store.rows(BenchmarkFigure)}
    assert {metric for metric, _ in figures} == {"stereotypical", "entropy"}
    assert {part for _, part in figures} == {"", "age", "socioeconomic"}
    entropy = figures["entropy", ""]
    assert (entropy.model_id, entropy.against_id, entropy.n) == ("policy", "sft", 3)
    assert entropy.value != entropy.against_value
    ours = [i.value for i in items if i.model_id == "policy" and i.metric == "entropy"]
    assert entropy.value == pytest.approx(sum(ours) / 3)


def test_another_limit_is_another_version(tmp_path: Path, crows: str):
    store, models = Store(tmp_path / "store.duckdb"), Models()
    for limit in (1, 3):
        settings = crows.replace("}", f", limit: {limit}}}")
        run_benchmarks(config(tmp_path, settings), store, models, "policy", ("sft",))
    counts = store.query(
        "SELECT count(DISTINCT item) AS n FROM benchmark_items GROUP BY benchmark_version "
        "ORDER BY ALL"
    )
    assert [row["n"] for row in counts] == [1, 3]


def test_what_cannot_be_measured_is_refused_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    missing = config(tmp_path, "{kind: bbq, path: /nowhere/bbq.jsonl}")
    with pytest.raises(DataFileError, match=r"no file /nowhere/bbq\.jsonl"):
        check_benchmarks(missing)
    tasks = config(tmp_path, "{kind: lm_eval, tasks: [hellaswag]}")
    monkeypatch.setattr("rlhf_core.benchmarks.tasks.LIBRARY", "lm_eval_that_is_not_there")
    with pytest.raises(ConfigError, match=r"pip install 'solon\[benchmarks\]'"):
        check_benchmarks(tasks)


def test_two_benchmarks_need_two_names(tmp_path: Path, crows: str):
    with pytest.raises(ConfigError, match="two benchmarks are named 'crows_pairs'"):
        config(tmp_path, f"{crows}, {crows}")


@pytest.fixture
def capitals(tmp_path: Path) -> str:
    rows = [("France", "Paris"), ("Spain", "Madrid"), ("Italy", "Rome"), ("Japan", "Tokyo")]
    data = tmp_path / "capitals.jsonl"
    data.write_text(
        "".join(
            json.dumps({"question": f"Capital of {land}?", "choices": [city, "Oslo"], "label": 0})
            + "\n"
            for land, city in rows
        )
    )
    (tmp_path / "capitals.yaml").write_text(TASK.format(data=data))
    return f"{{kind: lm_eval, name: own, tasks: ['{tmp_path}/capitals.yaml']}}"


@pytest.mark.extra("lm_eval")
@pytest.mark.filterwarnings("ignore")
def test_a_local_task_of_lm_evaluation_harness(tmp_path: Path, capitals: str):
    """Its accuracy is that of Solon's own log-probabilities of the answers."""
    store, models = Store(tmp_path / "store.duckdb"), Models()
    run_benchmarks(config(tmp_path, capitals), store, models, "policy", ("sft",))
    (figure,) = store.rows(BenchmarkFigure)
    assert (figure.benchmark, figure.metric, figure.n) == ("own", "acc", 4)
    items = {(item.model_id, item.item): item.value for item in store.rows(BenchmarkItem)}
    for model in ("policy", "sft"):
        for number, line in enumerate((tmp_path / "capitals.jsonl").read_text().splitlines()):
            row = json.loads(line)
            asked = f"Question: {row['question']}\nAnswer:"
            likelier = summed(models, model, asked, row["choices"])
            assert items[model, f"capitals {number}"] == float(likelier == 0)
    models.loads = 0
    run_benchmarks(config(tmp_path, capitals), store, models, "policy", ("sft",))
    assert models.loads == 0


def summed(models: Models, model_id: str, asked: str, choices: list[str]) -> int:
    """Return the likeliest of some continuations, by transformers alone."""
    tokenizer, totals = models.trunk.tokenizer, []
    prompt = tokenizer.encode(asked)
    for choice in choices:
        ids = torch.tensor([tokenizer.encode(f"{asked} {choice}")])
        with torch.no_grad(), models.trunk.acting_as(models.role(model_id)) as model:
            logprobs = model(input_ids=ids).logits.log_softmax(dim=-1)
        each = logprobs[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        totals.append(each[len(prompt) - 1 :].sum().item())
    return max(range(len(totals)), key=totals.__getitem__)


@pytest.mark.extra("lm_eval")
@pytest.mark.filterwarnings("ignore")
def test_an_unknown_task_is_named(tmp_path: Path):
    unknown = config(tmp_path, "{kind: lm_eval, tasks: [no_such_task]}")
    store = Store(tmp_path / "store.duckdb")
    with pytest.raises(ConfigError, match="no task 'no_such_task'"):
        run_benchmarks(unknown, store, Models(), "policy", ("sft",))
