"""README and deploy/docs are true: commands run, configs load, and what they name exists.

The commands of a page run in order, in a folder that holds a finished cycle and `my.yaml`. Words in
capitals stand for ids. A command whose comment begins with one of MARKS does not run; its options
are checked all the same.
"""

import json
import re
import shlex
import shutil
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from flows.cli import main
from judges import load
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.config.loading import validate
from rlhf_core.records import Prompt, PromptUser
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE
from tests.flows.test_cli import call

DOCS = ROOT / "deploy" / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
MARKS = ("minutes", "needs:", "serves:", "asks:")
ELSEWHERE = ("source", "apt-get", "docker", "kubectl", "systemctl", "install", "git", "pg_dump")
MODULES_ELSEWHERE = ("vllm",)
"""Programs of others, whose commands are not run; the files of deploy/ that they name exist."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USER = "user-17"
IDS = {
    "PAIR_ID": "SELECT id FROM pairs WHERE outcome = 'preferred' LIMIT 1",
    "PROMPT_ID": "SELECT id FROM prompts LIMIT 1",
    "POLICY_ID": "SELECT id FROM models WHERE kind = 'policy'",
    "JUDGE_VERSION": "SELECT DISTINCT judge_version AS id FROM judgements "
    "WHERE judge_version LIKE 'similarity%'",
}
ONLY_WARNS = "solon check --strict --json"
"""May end with 1: a tiny random model teaches little."""
SMALLEST = {
    "prompts": {"path": "deploy/prompts/default.jsonl"},
    "judges": [{"kind": "similarity"}],
    "evaluation": {"judges": [{"kind": "verifier", "metric": "contains"}]},
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def lines(page: Path) -> Iterator[tuple[list[str], str]]:
    """The words of each command of a page, and its comment."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words, line.partition(" # ")[2]


@pytest.fixture
def workplace(finished: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user of the smoke config has it after its first cycle."""
    shutil.copytree(finished.store.parent, tmp_path / "runs")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    config = yaml.safe_load(Path(SMOKE).read_text())
    config |= {"name": finished.name, "store": "runs/solon.duckdb", "artifacts": "runs/artifacts"}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    labelled = {"prompt": "What is one and one?", "chosen": "Two.", "rejected": "Three."}
    for name in ("labelled.jsonl", "helpful.jsonl"):
        (tmp_path / name).write_text(json.dumps(labelled) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def meanings(workplace: Path) -> dict[str, str]:
    """What the words in capitals stand for in that folder's store."""
    store = Store(workplace / "runs" / "solon.duckdb")
    store.append([PromptUser(prompt_id=store.rows(Prompt)[0].id, user_id=USER)])
    store.publish()
    return {"USER": USER} | {word: store.query(query)[0]["id"] for word, query in IDS.items()}


def parse(arguments: list[str]) -> None:
    """Hold words against the parser of the command that they name.

    Raises:
        click.UsageError: If there is no such command, option or argument.
    """
    command: Any = typer.main.get_command(main.app)
    rest = list(arguments)
    while rest and hasattr(command, "commands") and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands") or rest == ["--help"], arguments
    if rest != ["--help"]:
        command.make_context("solon", rest)


def check_elsewhere(words: list[str]) -> None:
    """Check what a command of another program names of this project."""
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # variables of the command's environment
        words = words[1:]
    program = words[0]
    if program == "make":
        assert re.search(rf"^{words[1]}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "pip":
        extras = re.findall(r"\[(.*?)\]", " ".join(words))
        assert {extra for group in extras for extra in group.split(",")} <= set(
            PROJECT["optional-dependencies"]
        )
    elif program == "torchrun":
        parse(words[words.index("flows.cli") + 1 :])
    elif words[:2] == ["python", "-m"] and words[2].split(".")[0] not in MODULES_ELSEWHERE:
        assert (ROOT / words[2].replace(".", "/") / "__main__.py").is_file(), words
    elif program == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file(), words
    else:
        assert program in ELSEWHERE or program == "python", words
        named = re.findall(r"deploy/[\w./@-]+", " ".join(words))
        assert all(list(ROOT.glob(path)) for path in named), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_run(
    page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    commands = list(lines(page))
    known = meanings(workplace) if commands else {}
    for words, comment in commands:
        program, *arguments = (known.get(word, word) for word in words)
        if program != "solon":
            check_elsewhere(words)
            continue
        parse(arguments)
        if not comment.startswith(MARKS):
            code = call(monkeypatch, *arguments)
            allowed = (0, 1) if " ".join(words) == ONLY_WARNS else (0,)
            assert code in allowed, f"{' '.join(words)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configs_of_a_page_load(page: Path):
    for block in blocks(page, "yaml"):
        config = validate(Config, {**SMALLEST, **yaml.safe_load(block)}, page.name)
        for judge in judges_in(config):
            load(judge)


def judges_in(settings: Any) -> Iterator[JudgeSettings]:
    if isinstance(settings, JudgeSettings):
        yield settings
    elif isinstance(settings, BaseModel):
        for name in type(settings).model_fields:
            yield from judges_in(getattr(settings, name))
    elif isinstance(settings, tuple):
        for each in settings:
            yield from judges_in(each)


def test_a_key_that_is_none_would_be_seen():
    with pytest.raises(Exception, match="did you mean 'steps'"):
        validate(Config, {**SMALLEST, "training": {"stepz": 1}}, "a page")


def test_a_misspelt_option_would_be_seen():
    with pytest.raises(Exception, match="No such option"):
        parse(["plan", "my.yaml", "--cycle", "2"])


WRITTEN = [path for path in PAGES if path.name not in ("store.md", "metrics.md")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_keys_options_and_commands_in_a_text_exist(page: Path):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        dotted = re.match(r"[a-z_]+(\.[a-z_]+)+", code)
        if dotted and dotted[0].split(".")[0] in Config.model_fields:
            assert has_key(Config, dotted[0].split(".")), f"{page.name}: {code}"
        if code.startswith("--"):
            assert code.split()[0] in options(), f"{page.name}: {code}"
        if code.startswith("solon "):
            group: Any = typer.main.get_command(main.app)
            for word in code.split()[1:]:
                group = getattr(group, "commands", {}).get(word) or group
            assert not hasattr(group, "commands"), f"{page.name}: {code}"


def has_key(annotation: Any, keys: list[str]) -> bool:
    """Return whether some settings, or a choice of several, have a key under a key."""
    if not keys:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(keys[0])
        return field is not None and has_key(field.annotation, keys[1:])
    return any(has_key(each, keys) for each in typing.get_args(annotation))


def options() -> set[str]:
    def of(command: Any) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        commands: Mapping[str, Any] = getattr(command, "commands", {})
        for each in commands.values():
            yield from of(each)

    return set(of(typer.main.get_command(main.app)))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "judges" / "README.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        place, _, anchor = target.partition("#")
        if "://" in target:
            continue
        path = (page.parent / place) if place else page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, target


def test_the_readme_is_for_the_first_minutes():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    assert {path.name for path in DOCS.glob("*.md")} <= set(re.findall(r"docs/(\w+\.md)", text))
