"""The command as its users meet it: in a process of its own, by exit code and what it prints."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from flows.cli import main
from flows.cycle.estimates import Speed
from flows.planning import sizes
from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE, places
from tests.flows.processes import solon, start_solon
from tests.servers import Server, completion, started

BROKEN_LINE = '{"prompt": "One?"}\n{"prompt": "Two?"\n'
EMPTY_PROMPT = '{"prompt": "One?"}\n{"prompt": ""}\n'


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command without the second that a process of its own costs; its exit code."""
    monkeypatch.setattr(sys, "argv", ["solon", *arguments])
    monkeypatch.setattr(main.atexit, "register", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("overrides", "content", "message"),
    [
        (["training.stepz=1"], None, "unknown key 'training.stepz'; did you mean 'steps'?"),
        (["prompts.path=nothing.jsonl"], None, "no file nothing.jsonl; set prompts.path"),
        ([], BROKEN_LINE, "line 2: not JSON"),
        ([], EMPTY_PROMPT, "line 2: the prompt is empty; fill it in or remove the row"),
        (["judges.0.kind=oracle"], None, "no judge 'oracle'; available: abstention"),
        (["judges.0.colour=red"], None, "judge 'similarity': unknown key 'colour'"),
        (["policy.model=smollm3"], None, "no model 'smollm3': name a folder, a hub id"),
        (["judges.0.model=./none"], None, "no model './none'"),
        (["sampling.candidates=1"], None, "sampling.candidates = 1: input should be greater"),
        (["policy.max_prompt_tokens=5"], None, "more than policy.max_prompt_tokens = 5"),
        (["sampling.max_new_tokens=4090"], None, "reads at most 4096 tokens, and the prompt"),
        (["prompts.limit=1"], None, "split is empty; add prompts or change the share"),
        (["compute.device=cuda:77"], None, "compute.device = 'cuda:77'"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    overrides: list[str],
    content: str | None,
    message: str,
):
    arguments = [command, SMOKE, *places(tmp_path / "out")]
    if content is not None:
        (tmp_path / "prompts.jsonl").write_text(content)
        overrides = [f"prompts.path={tmp_path / 'prompts.jsonl'}"]
    for override in overrides:
        arguments += ["--set", override]
    assert call(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("solon: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_input_in_a_real_process(environment: dict[str, str], tmp_path: Path):
    """No traceback, no notices of libraries: the one line and nothing else."""
    ended = solon(["run", "nothing.yaml"], environment, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "solon: config nothing.yaml: no such file or directory; name an existing YAML file\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_ends_with_1(monkeypatch, capsys, server: str, tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(f'{{"prompt": "Question {n}?"}}' for n in range(20)))
    arguments = [*places(tmp_path), "--set", f"prompts.path={path}"]
    assert call(monkeypatch, "run", SMOKE, "--json", *arguments) == 1
    assert "has a reference answer to learn from" in capsys.readouterr().err


def test_plan_prints_and_does_nothing(monkeypatch, capsys, tmp_path: Path):
    arguments = ["plan", SMOKE, *places(tmp_path / "out")]
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    for words in ("tiny-random", "held out", "candidates", "judgements by similarity", "in all"):
        assert words in printed
    assert call(monkeypatch, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0
    assert {row["stage"] for row in found["rows"]} >= {"sample", "judge", "train_policy"}
    assert not (tmp_path / "out").exists()


class TestUnderTorchrun:
    def test_the_plan_says_how_many_processes_there_are_and_shares_the_time_out(
        self, monkeypatch, capsys, tmp_path: Path
    ):
        speed = Speed(sampling=1.0, forward=1.0, training=1.0, update=0.0)
        monkeypatch.setattr(sizes, "measure_speed", lambda *_: speed)
        rows = {}
        for processes in ("1", "4"):
            monkeypatch.setenv("WORLD_SIZE", processes)
            assert call(monkeypatch, "plan", SMOKE, "--json", *places(tmp_path)) == 0
            found = json.loads(capsys.readouterr().out)
            assert found["processes"] == int(processes)
            rows[processes] = {(row["stage"], row["what"]): row["seconds"] for row in found["rows"]}
        for (stage, what), seconds in rows["1"].items():
            share = 1 if "judgements" in what else 4
            assert rows["4"][stage, what] == pytest.approx(seconds / share), what
        assert call(monkeypatch, "plan", SMOKE, *places(tmp_path)) == 0
        assert ", in 4 processes" in capsys.readouterr().out

    def test_only_the_first_process_answers_what_is_no_run(
        self, monkeypatch, capsys, tmp_path: Path
    ):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        assert call(monkeypatch, "plan", SMOKE, *places(tmp_path)) == 0
        assert capsys.readouterr() == ("", "")

    def test_a_schedule_of_several_processes_is_refused(self, monkeypatch, capsys, tmp_path: Path):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert call(monkeypatch, "serve", SMOKE, "--cron", "0 3 * * *", *places(tmp_path)) == 2
        assert "have your scheduler call" in capsys.readouterr().err


def test_plan_prices_remote_models(monkeypatch, capsys, tmp_path: Path):
    with started(Server) as start:
        url = start(lambda body, number: completion("A")).url
        endpoint = f"base_url: '{url}', price_per_million_output_tokens: 1000000"
        judge = f"judges.0={{kind: pairwise, model: 'openai:x', max_tokens: 2, {endpoint}}}"
        assert call(monkeypatch, "plan", SMOKE, *places(tmp_path), "--set", judge, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = [r for r in found["rows"] if r["what"] == "judgements by pairwise"][:1]
    assert row["cost_usd"] == pytest.approx(2 * row["count"])


def test_a_remote_judge_that_does_not_answer_is_told_in_one_line(
    monkeypatch, capsys, tmp_path: Path
):
    """A server whose paths begin with /v1, and a config that leaves it out."""
    with started(Server) as start:
        refused = (404, {}, '{"error": {"message": "no such path"}}')
        url = start(lambda body, number: refused).url.removesuffix("/v1")
        judge = f"judges.0={{kind: pairwise, model: 'openai:x', base_url: '{url}'}}"
        for command in ("plan", "run"):
            assert call(monkeypatch, command, SMOKE, *places(tmp_path), "--set", judge) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("solon: judge 'pairwise': model 'openai:x' at http://127.0.0.1:")
            assert "no such path" in line
            assert line.endswith(f"; did you mean base_url: {url}/v1?")
    assert not (tmp_path / "solon.duckdb").exists()


@pytest.mark.slow
def test_sql_answers_while_a_run_goes_on_and_a_rerun_says_that_nothing_is_new(
    monkeypatch, capsys, environment: dict[str, str], tmp_path: Path
):
    """A real process without a server started by hand; later one that finds all done."""
    arguments = ["run", SMOKE, *places(tmp_path), "--set", "training.steps=24"]
    models = tmp_path / "artifacts" / "models"
    query = "SELECT count(*) AS n FROM metrics WHERE name = 'objective'"
    seen = []
    run = start_solon(arguments, environment)
    try:
        while run.poll() is None and not list(models.glob("reward-*")):
            time.sleep(0.2)
        while run.poll() is None and len(seen) < 2:
            code = call(monkeypatch, "sql", "--json", query, *places(tmp_path)[:2])
            printed = capsys.readouterr().out
            if code == 0 and run.poll() is None:
                steps = json.loads(printed)[0]["n"]
                if steps and steps not in seen:
                    seen.append(steps)
            time.sleep(0.2)
        printed, errors = run.communicate(timeout=180)
    finally:
        run.kill()
    assert len(seen) == 2, "no answer between two steps of the training"
    assert seen == sorted(seen)
    assert run.returncode == 0, errors
    for words in ("win rate", "cycle 1, ", "rows added: candidates", "report: "):
        assert words in printed
    assert "train_policy" in errors
    assert "Traceback" not in errors
    assert "leaked" not in errors
    started = time.monotonic()
    again = solon([*arguments, "--json"], environment)
    assert json.loads(again.stdout)["added"] == {}
    assert again.stderr == ""
    assert time.monotonic() - started < 60
    assert call(monkeypatch, *arguments) == 0
    assert "rows added: none" in capsys.readouterr().out


def test_sql_in_a_table_and_as_json(monkeypatch, capsys, finished: Config):
    store = ["--set", f"store={finished.store}"]
    query = "SELECT split, count(*) AS prompts FROM prompts GROUP BY split ORDER BY split"
    assert call(monkeypatch, "sql", query, *store, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["split"] for row in rows] == ["holdout", "train"]
    assert call(monkeypatch, "sql", query, *store) == 0
    assert "holdout" in capsys.readouterr().out


def test_sql_shows_what_models_wrote_as_text(monkeypatch, capsys, finished: Config):
    """Neither the terminal nor rich's markup obeys it, and long cells are not cut off."""
    query = "SELECT '[red]' || chr(27) || '[2J' || repeat('x', 300) AS said, 0.1 + 0.2 AS number"
    assert call(monkeypatch, "sql", query, "--set", f"store={finished.store}") == 0
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert r"[red]\x1b[2J" in printed
    assert "x" * 300 in printed
    assert " 0.3 " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["SELECT 1; SELECT 2"], 2, "exactly one SQL statement"),
        (["DROP TABLE prompts"], 2, "read-only"),
        (["SELECT 1", "--set", "store=none.duckdb"], 1, "no store at"),
    ],
)
def test_sql_that_is_refused(monkeypatch, capsys, finished: Config, arguments, code, message):
    store = ["--set", f"store={finished.store}"] if "--set" not in arguments else []
    assert call(monkeypatch, "sql", *arguments, *store) == code
    assert message in capsys.readouterr().err


def test_report_is_written_again(monkeypatch, capsys, finished: Config):
    folder = finished.store.parent
    assert call(monkeypatch, "report", SMOKE, *places(folder)) == 0
    pages = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [page.name for page in pages] == ["cycle-1.html", "index.html"]
    assert all(page.exists() for page in pages)
    assert call(monkeypatch, "report", SMOKE, *places(folder), "--cycle", "9") == 1
    assert "has not ended" in capsys.readouterr().err


def test_merge_writes_a_plain_folder_and_says_what_it_did(
    monkeypatch, capsys, finished: Config, tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    folder = finished.store.parent
    policy = Store(finished.store).query("SELECT id FROM models WHERE kind = 'policy'")[0]["id"]
    arguments = ["merge", SMOKE, *places(folder), "--model", policy, "--set"]
    arguments += ["compute.precision=fp32", "--out", str(tmp_path / "out")]
    assert call(monkeypatch, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert found["model"] == policy
    assert found["precision"] == "float32"
    assert found["parameters"] == sum(parameter.numel() for parameter in plain.parameters())
    assert call(monkeypatch, *arguments) == 2
    assert "the folder is not empty; name a new one" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "out")
    assert call(monkeypatch, *arguments) == 0
    assert f"{policy} written to" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_merge_writes_an_adapter_on_the_model_that_the_line_began_with(
    monkeypatch, capsys, finished: Config, tmp_path: Path
):
    from peft import AutoPeftModelForCausalLM

    folder, out = finished.store.parent, tmp_path / "out"
    policy = Store(finished.store).query("SELECT id FROM models WHERE kind = 'policy'")[0]["id"]
    arguments = ["merge", SMOKE, *places(folder), "--model", policy, "--out", str(out)]
    assert call(monkeypatch, *arguments, "--base", "owner/name") == 2
    assert "--base names the base of an adapter; add --as-adapter" in capsys.readouterr().err
    assert call(monkeypatch, *arguments, "--as-adapter", "--set", "compute.precision=fp32") == 0
    assert f"{policy} written to {out}: an adapter of rank " in capsys.readouterr().out
    model = AutoPeftModelForCausalLM.from_pretrained(out)
    assert model.base_model.model.config.vocab_size > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            ["--model", "policy-none"],
            "no id begins with 'policy-none'; looked for a model. There are ",
        ),
        (["--model", "reward"], "is a reward model; name one of policy-"),
        (["--set", "name=other"], "no policy of the line other was promoted; name another model"),
        (["--set", "store=none.duckdb"], "no store at none.duckdb: nothing was trained"),
    ],
)
def test_merge_refuses_what_it_cannot_merge(
    monkeypatch, capsys, finished: Config, tmp_path: Path, changed: list[str], message: str
):
    if changed[1] == "reward":
        rows = Store(finished.store).query("SELECT id FROM models WHERE kind = 'reward'")
        changed = ["--model", rows[0]["id"]]
    arguments = [*places(finished.store.parent), *changed, "--out", str(tmp_path / "out")]
    assert call(monkeypatch, "merge", SMOKE, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_schema_is_the_published_one(monkeypatch, capsys):
    """After a change of the config: make schema."""
    assert call(monkeypatch, "schema") == 0
    assert capsys.readouterr().out == (ROOT / "deploy/config.schema.json").read_text()


def test_schema_accepts_the_configs_and_refuses_what_solon_refuses():
    import jsonschema
    import yaml

    schema = json.loads((ROOT / "deploy/config.schema.json").read_text())
    for path in (ROOT / "deploy/configs").glob("*.yaml"):
        config = yaml.safe_load(path.read_text())
        jsonschema.validate(config, schema)
        for broken in (
            {**config, "xyzzy": 1},
            {**config, "judges": [{"kind": "oracle"}]},
            {**config, "judges": [{"kind": "similarity", "xyzzy": 1}]},
            {**config, "sampling": {"candidates": 1}},
        ):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(broken, schema)


def test_help_teaches(monkeypatch, capsys):
    assert call(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    for command in ("run", "plan", "sql", "serve", "report", "merge", "schema", "judges"):
        assert f" {command} " in printed
    assert call(monkeypatch, "run", "--help") == 0
    assert "training.steps=5" in capsys.readouterr().out
    assert call(monkeypatch, "merge", "--help") == 0
    assert "AutoModelForCausalLM.from_pretrained" in capsys.readouterr().out


def test_judges_are_listed(monkeypatch, capsys):
    assert call(monkeypatch, "judges", "list", "--json") == 0
    kinds = [judge["kind"] for judge in json.loads(capsys.readouterr().out)]
    assert set(kinds) >= {"brevity", "constitution", "pairwise", "similarity", "verifier"}
