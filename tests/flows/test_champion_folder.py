"""The champion's folder: other libraries load it as it is, and no reader sees a part of it."""

import html
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows.champion.card import licence_of, plain
from flows.champion.folder import place_champion, present_champion
from flows.champion.rollback import roll_back
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.models.adapter_files import ADAPTER_CONFIG
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.test_pipeline import WINS_ALWAYS

PROMOTES = (*WINS_ALWAYS, "compute.precision=fp32")  # bf16 rounds merged weights


@pytest.fixture(scope="module")
def promoted(finished: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A line whose first cycle promoted its policy; its models are those of the finished one."""
    folder = tmp_path_factory.mktemp("promoted") / "copy"
    shutil.copytree(finished.store.parent, folder)
    config = smoke(folder, *PROMOTES)
    run_cycles(config, 1, is_quiet=True)
    return config


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(6)[None]).logits.float()


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_transformers_and_peft_load_the_champion_as_it_is(promoted: Config):
    link = promoted.artifacts / "champion" / promoted.name
    assert link.is_symlink()
    merged = AutoModelForCausalLM.from_pretrained(link, dtype=torch.float32)
    adapter = AutoPeftModelForCausalLM.from_pretrained(link / "adapter", dtype=torch.float32)
    torch.testing.assert_close(logits(merged), logits(adapter), atol=1e-4, rtol=1e-4)
    assert AutoTokenizer.from_pretrained(link)("Hello")["input_ids"]
    files = {file.name for file in link.rglob("*") if file.is_file()}
    assert {"model.safetensors", "adapter_model.safetensors", "README.md"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]


@pytest.mark.slow
def test_the_card_tells_the_facts_of_the_store(promoted: Config):
    card = (promoted.artifacts / "champion" / promoted.name / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["library_name"] == "transformers"
    store = Store(promoted.store)
    (row,) = store.query("SELECT * FROM live_models WHERE line = ?", [promoted.name])
    (judge,) = {
        row["judge_version"] for row in store.query("FROM judgements WHERE judge = 'similarity'")
    }
    for words in (row["model_id"], "tiny-random", f"| {row['win_rate']:.1%} |", plain(judge)):
        assert words in card
    assert "licence of the base | unknown" in card
    assert f"| {plain(judge)} | evaluated it; judged training data |" in card


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_rollback_switches_the_folder_and_back(promoted: Config, tmp_path: Path):
    shutil.copytree(promoted.store.parent, tmp_path / "copy", symlinks=True)
    config = smoke(tmp_path / "copy", *PROMOTES)
    store, link = Store(config.store), config.artifacts / "champion" / config.name
    policy = present_champion(store, config.name)
    assert policy is not None
    assert link.resolve().name == f"{policy.id}-merged"
    reading = link.resolve()
    for to in (None, policy.id):
        decision = roll_back(store, config.artifacts / "models", config.name, to, "ada", "rude")
        place_champion(config, store)
        assert link.resolve().name == f"{decision.to_id}-merged"
        AutoModelForCausalLM.from_pretrained(link)
    assert (reading / "model.safetensors").exists()  # who resolved the link before, still reads
    adapter = smoke(
        tmp_path / "copy", *WINS_ALWAYS, f"name={config.name}", "service.champion.form=adapter"
    )
    assert place_champion(adapter, store) == link
    assert {path.name for path in link.iterdir()} >= {"README.md", "adapter", ADAPTER_CONFIG}
    assert not (link / "model.safetensors").exists()
    joined = AutoPeftModelForCausalLM.from_pretrained(link, dtype=torch.float32)
    own = AutoPeftModelForCausalLM.from_pretrained(link / "adapter", dtype=torch.float32)
    torch.testing.assert_close(logits(joined), logits(own), atol=1e-4, rtol=1e-4)
    assert "on the base model" in (link / "README.md").read_text()
    assert len(list((link.parent / ".versions" / config.name).iterdir())) == 2


def test_texts_make_no_markup_in_a_card():
    """A reader of Markdown shows what was written, in a paragraph and in a cell of a table."""
    text = "<script>x</script> [a](http://evil) | `b` **c** _d_ ~~e~~ &lt; \\\n# f ![g](h)"
    reader, written = MarkdownIt("commonmark").enable(["table", "strikethrough"]), text.split()
    shown = html.escape(" ".join(written), quote=False)
    assert reader.render(plain(text)) == f"<p>{shown}</p>\n"
    assert f"<td>{shown}</td>" in reader.render(f"| a |\n|---|\n| {plain(text)} |")
    for mark in ("http:", "www.", "@"):  # addresses without markup, which some readers link
        assert mark not in plain("http://evil www.evil.org ada@evil.org")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# Model", "apache-2.0"),
        ("---\nlicense: '<b>mine</b>'\n---\n", None),
        ("---\nlicense: [a\n---\n", None),
        ("# No header", None),
    ],
)
def test_the_licence_is_read_from_the_card_of_the_base(
    tmp_path: Path, card: str, licence: str | None
):
    (tmp_path / "README.md").write_text(card)
    assert licence_of(str(tmp_path)) == licence
    assert licence_of("tiny-random") is None


@pytest.fixture(scope="module", autouse=True)
def _adapters_of_later_torch() -> Iterator[None]:
    """PEFT warns of what it handles by itself, as in rlhf_core/models/adapter_roles.py."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
