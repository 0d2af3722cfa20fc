"""`solon judges bench`: plan, figures, rows and page, on a dozen labelled answers."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.audit.bench import Bench, Benchmark, plan_bench, read_sets, records, run_bench, summary
from judges.bench.results import Extras
from rlhf_core.config import Panel, load_panel
from rlhf_core.errors import ConfigError, DataFileError, EndpointError
from rlhf_core.store import Store, reading
from tests.conftest import ROOT
from tests.flows.test_cli import call

COLOURS = ("Blue", "Red", "Green", "White", "Black", "Brown", "Grey", "Pink", "Gold", "Teal")
EVIL = "<script>alert(1)</script>"
TINY = {"kind": "pairwise", "model": "tiny-random", "min_label_mass": 0.0}
"""A random model, to which no label is likely."""
JUDGES = [{"kind": "brevity"}, {"kind": "verifier"}, TINY]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The short right answer against a longer wrong one: brevity is always right."""
    rows = [
        {
            "prompt": f"Which colour is number {n}?",
            "reference": f"{colour}.",
            "chosen": f"{colour}.",
            "rejected": f"I do not know of any, {EVIL}.",
            "subset": "even" if n % 2 == 0 else EVIL,
        }
        for n, colour in enumerate(COLOURS)
    ]
    return write(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [
        {"question": f"{n}?", "answer": "yes " * (n + 1), "label": n % 2, "reference": "yes"}
        for n in range(10)
    ]
    return write(tmp_path / "texts.jsonl", rows)


def panel(folder: Path, judges: list[dict[str, Any]] = JUDGES, device: str = "auto") -> Panel:
    places = {"store": folder / "solon.duckdb", "artifacts": folder / "artifacts"}
    compute = {"device": device}
    return Panel.model_validate({**places, "judges": judges, "compute": compute})


@dataclass(frozen=True)
class Shorter:
    """The fixture's attack: brevity falls for nothing else."""

    name: str = "one letter"

    def apply(self, text: str) -> str:
        return text[:1]


@pytest.fixture(scope="module")
def benchmark(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Benchmark]:
    """One run with everything, which tests only read."""
    extras = Extras((Shorter(),), injections=6, again=4)
    folder = tmp_path_factory.mktemp("benchmark")
    wanted = Bench(panel(folder), read_sets([pairs], None, [], None), extras)
    return wanted, run_bench(wanted, plan_bench(wanted))


def test_figures_rows_and_page_of_pairs(benchmark: tuple[Bench, Benchmark]):
    wanted, found = benchmark
    length, brevity, _, pairwise = found.sets[0].judges
    assert length.value("accuracy") == 0
    assert brevity.value("accuracy") == 1
    assert brevity.value("longer_accuracy") == 0
    assert brevity.value("accuracy", "even") == 1
    assert brevity.value("kappa", "verifier") == 1
    assert (brevity.value("kappa", "longer wins") or 0) < -0.9
    assert pairwise.value("consistency") is not None
    assert [f.facet for f in brevity.facets("flip_rate")] == ["one letter"]
    assert brevity.value("repeat_consistency") == 1
    rows = Store(wanted.panel.store).query(
        "SELECT judge, accuracy, longer_accuracy FROM judge_reliability ORDER BY judge"
    )
    assert {"judge": "brevity", "accuracy": 1.0, "longer_accuracy": 0.0} in rows
    page = found.page.read_text()
    assert found.page == wanted.panel.artifacts / "benches" / f"{found.id}.html"
    assert EVIL not in page
    assert not re.search(r'(src|href)="(?!#)', page)
    for words in ("longer wins", "Calibration", "Injections", "one letter", "Accuracy by subset"):
        assert words in page


def test_the_same_verdicts_twice_are_two_benchmarks_and_the_view_shows_one(
    tmp_path: Path, pairs: Path
):
    wanted = Bench(panel(tmp_path, JUDGES[:1]), read_sets([pairs], None, [], None))
    for _ in range(2):
        run_bench(wanted, plan_bench(wanted))
    store = Store(wanted.panel.store)
    assert len(store.query("SELECT DISTINCT benchmark FROM judge_benchmarks")) == 2
    assert len(store.query("SELECT * FROM judge_reliability WHERE judge = 'brevity'")) == 1


def test_texts_leave_out_judges_that_only_compare_and_say_so(tmp_path: Path, texts: Path):
    wanted = Bench(panel(tmp_path), read_sets([texts], None, [], None))
    found = run_bench(wanted, plan_bench(wanted), tmp_path / "page.html").sets[0]
    assert list(found.unfit) == ["pairwise"]
    assert [judge.name for judge in found.judges] == ["longer wins", "brevity", "verifier"]
    brevity = found.judges[1]
    assert brevity.value("spearman") == pytest.approx(-(found.judges[0].value("spearman") or 0))
    assert brevity.value("length_correlation") == pytest.approx(-1)
    assert brevity.value("ece_after") is not None
    assert "compares two answers" in (tmp_path / "page.html").read_text()


def test_models_are_computed_on_the_device_of_the_config(tmp_path: Path, pairs: Path):
    wanted = Bench(panel(tmp_path, [TINY], "abacus"), read_sets([pairs], None, [], None))
    with pytest.raises(ConfigError, match=r"compute.device = 'abacus'"):
        run_bench(wanted, plan_bench(wanted))


@pytest.mark.slow
def test_real_models_are_measured(tmp_path: Path, pairs: Path):
    """The encoder knows the right colour; the small model has a slot and a probability."""
    real = [{"kind": "similarity"}, {"kind": "pairwise", "model": "smollm2-135m-instruct"}]
    wanted = Bench(panel(tmp_path, real), read_sets([pairs], None, [], 3))
    _, similarity, pairwise = run_bench(wanted, plan_bench(wanted)).sets[0].judges
    assert similarity.value("accuracy") == 1
    assert pairwise.value("scored") == 3
    assert 0 < (pairwise.value("brier") or 0) < 0.5


def test_a_judge_that_never_varies_raises_an_alarm(tmp_path: Path, pairs: Path):
    constant = [{"kind": "verifier", "metric": "regex", "pattern": "^$", "name": "never"}]
    silent = [{"kind": "verifier", "metric": "numeric", "name": "silent"}]
    wanted = Bench(panel(tmp_path, constant + silent), read_sets([pairs], None, [], None))
    found = summary(run_bench(wanted, plan_bench(wanted)))
    assert found["sets"][0]["alarms"] == [
        "never gives the same score in 100 % of cases",
        "silent scored nothing here",
    ]


def test_the_plan_counts_the_calls(tmp_path: Path, pairs: Path):
    """Ten pairs: 20 answers, of which the wrong one differs by prompt; both orders for pairwise."""
    sets = read_sets([pairs], None, [], None)
    wanted = Bench(panel(tmp_path), sets, Extras((), 0, 0))
    assert [row.calls for row in plan_bench(wanted)] == [20, 20, 20]
    more = Bench(panel(tmp_path), sets, Extras((Shorter(), Shorter("twice")), 3, 4))
    assert [row.calls for row in plan_bench(more)] == [20 + 2 * 4 + 2 * 3 * 2] * 3
    assert not (tmp_path / "solon.duckdb").exists()


def test_a_remote_judge_has_its_price_in_the_plan(tmp_path: Path, pairs: Path, monkeypatch):
    monkeypatch.setenv("KEY", "x")
    remote = {
        "kind": "pairwise",
        "model": "openai:x",
        "api_key_env": "KEY",
        "max_tokens": 2,
        "price_per_million_output_tokens": 1e6,
    }
    wanted = Bench(panel(tmp_path, [remote]), read_sets([pairs], None, [], None))
    assert plan_bench(wanted)[0].cost_usd == pytest.approx(20 * 2)


def test_a_remote_judge_that_does_not_answer_ends_the_bench_before_any_judge_is_queried(
    tmp_path: Path, pairs: Path
):
    remote = {"kind": "pairwise", "model": "openai:x", "base_url": "http://127.0.0.1:9/v1"}
    local = {"kind": "brevity"}
    settings = [local, {**remote, "max_attempts": 1}]
    wanted = Bench(panel(tmp_path, settings), read_sets([pairs], None, [], None))
    with pytest.raises(EndpointError, match=r"^judge 'pairwise': "):
        run_bench(wanted, plan_bench(wanted))
    with reading(wanted.panel.store) as snapshot:
        assert not snapshot.query("SELECT * FROM judge_benchmarks").rows


def test_injections_want_pairs(tmp_path: Path, texts: Path):
    wanted = Bench(panel(tmp_path), read_sets([texts], None, [], None), Extras((Shorter(),), 1))
    with pytest.raises(DataFileError, match="holds single texts; --injections attacks"):
        plan_bench(wanted)


def test_every_figure_of_a_bench_is_defined_once(
    tmp_path: Path, benchmark: tuple[Bench, Benchmark], texts: Path
):
    page = (ROOT / "deploy/docs/metrics.md").read_text()
    section = page[page.index("## Judges on labelled answers") :]
    defined = [
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    wanted = Bench(panel(tmp_path), read_sets([texts], None, [], None))
    both = [*benchmark[1].sets, *run_bench(wanted, plan_bench(wanted)).sets]
    stored = {record.metric for result in both for record in records("", result)}
    assert stored == set(defined)
    assert len(defined) == len(set(defined))


def config(folder: Path) -> Path:
    path = folder / "judges.yaml"
    places = f"store: {folder / 's.duckdb'}\nartifacts: {folder / 'artifacts'}\n"
    path.write_text(places + "judges: [{kind: brevity}]\n")
    return path


def test_the_command_prints_figures(monkeypatch, capsys, tmp_path: Path, pairs: Path):
    arguments = ["judges", "bench", str(config(tmp_path)), "--data", str(pairs), "--limit", "6"]
    assert call(monkeypatch, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"][0]["items"] == 6
    assert "brevity" in found["sets"][0]["judges"]
    assert call(monkeypatch, *arguments, "--out", str(tmp_path / "page.html")) == 0
    printed = capsys.readouterr().out
    assert "longer wins" in printed
    # The 2.5 % quantile of Beta(n + 1/2, 1/2), with n = 6 (1.960 / 2.571)², as Korn and Graubard.
    assert "1.000 (0.51–1.00)" in printed
    assert (tmp_path / "page.html").exists()


def test_a_dry_run_calls_no_model_and_writes_nothing(
    monkeypatch, capsys, tmp_path: Path, pairs: Path
):
    arguments = ["judges", "bench", str(config(tmp_path)), "--data", str(pairs), "--dry-run"]
    assert call(monkeypatch, *arguments) == 0
    assert "20" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["calls"] == 20
    assert not (tmp_path / "s.duckdb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.jsonl"], "no file none.jsonl; name an existing one"),
        (["--data", "DATA", "--map", "prompt"], "--map prompt: write ROLE=COLUMN"),
        (["--data", "DATA", "--format", "pears"], "no format 'pears'; use pairs"),
        (["--data", "DATA", "--set", "judges.0.kind=oracle"], "no judge 'oracle'"),
        (["--data", "DATA", "--set", "judgez=1"], "unknown key 'judgez'; did you mean 'judges'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    monkeypatch, capsys, tmp_path: Path, pairs: Path, arguments: list[str], message: str
):
    chosen = [str(pairs) if word == "DATA" else word for word in arguments]
    assert call(monkeypatch, "judges", "bench", str(config(tmp_path)), *chosen) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_the_judges_of_a_run_config_will_do(in_root: Path, tmp_path: Path):
    found = load_panel(in_root / "deploy/configs/default.yaml", [], {})
    assert [judge.name for judge in found.judges] == ["similarity", "brevity"]
    path = tmp_path / "none.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="'judges' is missing"):
        load_panel(path, [], {})
    path.write_text("judges: [{kind: brevity}, {kind: brevity}]\n")
    with pytest.raises(ConfigError, match="two judges are named 'brevity'"):
        load_panel(path, [], {})
