"""What is exported trains in the real TRL, as it is."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from rlhf_core.models.tiny import write_tiny_model
from tests.benchmarks.versus import PEERS_FOLDER, output_of, peer_python
from tests.flows.test_exchange import Solon, at, said, solon, written

pytestmark = pytest.mark.slow
__all__ = ["solon"]


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return peer_python("trl-1.16")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"TRL's environment cannot be made here: {error}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_tiny_model(folder)
    return folder


@pytest.mark.parametrize(
    ("ending", "shape"), [(".jsonl", "--plain"), (".parquet", "--conversational")]
)
@pytest.mark.parametrize(
    ("trainer", "options"),
    [
        ("DPO", ["--format", "preference"]),
        ("Reward", ["--format", "preference"]),
        ("KTO", ["--format", "kto"]),
        ("SFT", ["--format", "sft", "--from", "rankings"]),
    ],
)
def test_trl_trains_on_the_file_as_it_is(
    solon: Solon,
    tmp_path: Path,
    python: Path,
    model: Path,
    trainer: str,
    options: list[str],
    ending: str,
    shape: str,
):
    rows = [
        {"prompt": f"Question {number}?", "chosen": "Yes, so it is.", "rejected": "é\n🦀"}
        for number in range(6)
    ]
    scored = [{**row, "score_chosen": 0.9, "score_rejected": 0.2} for row in rows[:3]]
    turns = {
        "prompt": [{"role": "system", "content": "Be brief."}, *said("a", "b", "c")],
        "chosen": [{"role": "assistant", "content": "d"}],
        "rejected": [{"role": "assistant", "content": "e"}],
    }
    call = {"type": "function", "function": {"name": "add", "arguments": '{"to": 1}'}}
    with_tools = {
        **turns,
        "prompt": [
            *said("a"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2"},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}],
        "few_shot": said("f", "g"),
    }
    for name, kept in (("texts", [*scored, *rows[3:]]), ("turns", [turns, with_tools])):
        source = written(tmp_path / f"{name}.jsonl", kept)
        assert solon("import", source, "--holdout", 0, *at(tmp_path)) == 0
    path = tmp_path / f"out{ending}"
    assert solon("export", path, *options, shape, *at(tmp_path)) == 0
    script = str(PEERS_FOLDER / "trl_loads.py")
    found = output_of([str(python), script, str(model), trainer, str(path)])
    assert found["rows"] == (16 if trainer == "KTO" else 8)
    assert found["steps"] == 2
    assert all(math.isfinite(loss) for loss in found["losses"]), json.dumps(found)
