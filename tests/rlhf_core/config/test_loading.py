import re
from pathlib import Path

import pytest
import yaml

from rlhf_core.config import Config, load_config, validate
from rlhf_core.config.loading import store_path
from rlhf_core.errors import ConfigError

DEMOS = Path(__file__).parents[3] / "deploy" / "configs"
SMALL = """
prompts: {path: prompts.jsonl}
judges: [{kind: similarity}]
evaluation: {judges: [{kind: verifier, metric: token_f1}]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(SMALL)
    return file


def load(path: Path, *overrides: str, **environment: str) -> Config:
    return load_config(path, overrides, environment)


def test_a_file_holds_only_what_differs(path: Path):
    config = load(path)
    assert config.prompts.path == "prompts.jsonl"
    assert config.sampling.candidates == Config.model_fields["sampling"].default.candidates
    assert config.evaluation.judges[0].options == {"metric": "token_f1"}


def test_no_system_message_is_sent_unless_a_config_names_one(path: Path):
    """The demos keep theirs: their figures were measured with it."""
    assert load(path).policy.system_prompt is None
    for name in ("default", "smoke"):
        assert load(DEMOS / f"{name}.yaml").policy.system_prompt == "Answer briefly."


def test_later_sources_win(path: Path):
    assert load(path, SOLON__TRAINING__STEPS="5").training.steps == 5
    both = load(path, "training.steps=7", SOLON__TRAINING__STEPS="5")
    assert both.training.steps == 7


def test_values_are_read_as_yaml(path: Path):
    config = load(
        path,
        "training.missing_eos_score=null",
        "evaluation.judges=[{kind: brevity}]",
        "judges.0.weight=0.5",
        "seed = 3",
    )
    assert config.training.missing_eos_score is None
    assert config.evaluation.judges[0].kind == "brevity"
    assert config.judges[0].weight == 0.5
    assert config.seed == 3


def test_a_config_is_frozen(path: Path):
    with pytest.raises(ValueError, match="frozen"):
        load(path).seed = 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stepz=5", r"unknown key 'training\.stepz'; did you mean 'steps'\?"),
        ("trainin.steps=5", r"unknown key 'trainin'; did you mean 'training'\?"),
        ("prompts.columns.promt=q", r"'prompts\.columns\.promt'; did you mean 'prompt'\?"),
        ("training.kl.xyzzy=1", r"unknown key 'training\.kl\.xyzzy'; known here: coefficient"),
        ("sampling.candidates=1", r"sampling\.candidates = 1: .*greater than or equal to 2"),
        ("training.steps=0", r"training\.steps = 0: .*greater than 0"),
        ("training.learning_rate=.inf", r"training\.learning_rate = inf: .*finite"),
        ("training.steps=many", r"training\.steps = 'many': .*integer"),
        ("training.algorithm=magic", r"training: 'magic' is none of 'ppo', 'rloo', 'grpo', 'dpo'"),
        ("training={algorithm: rloo, samples_per_prompt: 1}", "set samples_per_prompt to at least"),
        ("training={algorithm: grpo, samples_per_prompt: 1}", "greater than or equal to 2"),
        ("training={algorithm: grpo, dynamic_sampling: 0}", r"dynamic_sampling = 0: .*than 0"),
        (
            "training={algorithm: grpo, ratio: sequence, aggregation: token}",
            "ratio: sequence gives each answer one loss, .* set aggregation to answer",
        ),
        (
            "training={algorithm: grpo, overlong_buffer: 49}",
            "overlong_buffer = 49 .* at most sampling.max_new_tokens = 48",
        ),
        ("training={algorithm: rloo, clip_range_high: 0.3}", r"unknown key .*clip_range_high'"),
        ("judges=[]", r"judges: .*at least 1 item"),
        ("judges.0.weight=0", "every weight is 0, so nothing could be ranked; raise one"),
        ("judges.0.name=proxy", "the name 'proxy' is reserved for the reward model; use another"),
        ("judges.1.weight=1", "'1' must be a number from 0 to 0"),
        ("prompts=null", r"prompts = None"),
        ("policy.weights=half", r"policy\.weights = 'half': .*'adapters' or 'full'"),
        (
            "policy={weights: full, lora_alpha: 8}",
            "lora_alpha: for adapters, and weights: full",
        ),
        (
            "policy={weights: full, lora_dropout: 0.05}",
            "lora_dropout: for adapters, and weights: full",
        ),
        (
            "policy={weights: full, quantization: nf4}",
            "quantization: for adapters, and weights: full",
        ),
        ("policy.quantization=int8", r"policy\.quantization = 'int8': .*'nf4'"),
        ("policy.lora_dropout=1", r"policy\.lora_dropout = 1: .*less than 1"),
        ("policy={weights: full, lora_rank: 8}", "lora_rank = 8 is for adapters, .* remove"),
        ("policy.lora_rank=null", "weights: adapters need a lora_rank, such as 16; or set weights"),
        ("training.steps.x=5", "'steps' holds a value, not a group of keys"),
        ("training.steps", r"write it as key=value, as in training\.steps=5"),
        ("seed=[", "the value is not YAML; quote it"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_mend(path: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        load(path, "training.steps=4", override)
    assert "\n" not in str(caught.value)


def test_weights_of_4_bits_are_not_sharded(path: Path):
    with pytest.raises(ConfigError, match=r"nf4 has no shards; set compute\.shard to false"):
        load(path, "policy.quantization=nf4", "compute.shard=true")


def test_a_missing_key_is_named(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("judges: [{kind: similarity}]")
    with pytest.raises(ConfigError, match="'prompts' is missing; 'evaluation' is missing"):
        load(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("- one", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str, message: str):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file or directory; name an existing YAML file"):
        load(tmp_path / "nothing.yaml")


def test_a_judge_cannot_judge_what_it_trained(path: Path):
    same = "evaluation.judges=[{kind: similarity, name: other}]"
    with pytest.raises(ConfigError, match="'other' also judges the training data"):
        load(path, same)
    beside = "judges=[{kind: brevity}, {kind: similarity, weight: 0}]"
    assert load(path, same, beside).evaluation.judges[0].name == "other"
    differs = "evaluation.judges=[{kind: similarity, model: another/encoder}]"
    assert load(path, differs).evaluation.judges[0].options == {"model": "another/encoder"}


def test_two_judges_of_one_name_are_refused(path: Path):
    with pytest.raises(ConfigError, match="two judges are named 'similarity'"):
        load(path, "judges=[{kind: similarity}, {kind: similarity, model: a/b}]")


def test_a_line_is_named_by_its_file_or_its_config(path: Path):
    """The default is the file's stem and a hash of its path: another folder is another line."""
    named = load(path).name
    assert re.fullmatch(r"config-[0-9a-f]{8}", named)
    assert load(path, "seed=2", "training.steps=3").name == named
    assert load(path, "name=null").name == named
    assert load(path, "name=helpful.v2").name == "helpful.v2"
    there = path.parent / "there" / "config.yaml"
    there.parent.mkdir()
    there.write_text(SMALL)
    assert load(there).name != named
    assert load(there.parent / ".." / "config.yaml").name == named
    odd = path.with_name("мой config (1).yaml")
    odd.write_text(SMALL)
    assert re.fullmatch(r"config-1-[0-9a-f]{8}", load(odd).name)
    code = Config.model_validate(yaml.safe_load(SMALL))
    assert code.name == "solon"


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "a b", "x" * 65, "é", "a\n"])
def test_a_name_that_suits_no_folder_is_refused(path: Path, name: str):
    with pytest.raises(ConfigError, match="use at most 64 letters, digits"):
        validate(Config, {**yaml.safe_load(SMALL), "name": name}, "config")


def test_where_the_store_lies_needs_no_whole_config(path: Path):
    assert store_path(None, [], {}) == Path("runs/solon.duckdb")
    assert store_path(None, ["store=a.duckdb"], {}) == Path("a.duckdb")
    assert store_path(None, [], {"SOLON__STORE": "b.duckdb"}) == Path("b.duckdb")
    path.write_text(SMALL + "store: c.duckdb")
    assert store_path(path, [], {}) == Path("c.duckdb")
    with pytest.raises(ConfigError, match="did you mean 'store'"):
        store_path(None, ["stor=a.duckdb"], {})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.reward.reward_model=0", "training.reward: every weight is 0"),
        ("training.reward.caution=1", "caution needs several heads; set reward_model.heads"),
        (
            "training.reward.judges=[{kind: verifier, metric: token_f1}]",
            "'verifier' also judges the training data",
        ),
        ("training.reward.judges=[{kind: brevity}, {kind: brevity}]", "two judges are named"),
    ],
)
def test_rewards_that_make_no_sense_are_refused(path: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(path, override)


def test_full_weights_have_no_rank_and_learn_in_small_steps(path: Path):
    """Their defaults are others; what a file names stays, and a config reads back as it is."""
    config = load(path, "policy.weights=full", "sft.learning_rate=2e-5")
    assert config.policy.lora_rank is None
    rates = (config.sft, config.reward_model, config.training)
    assert [settings.learning_rate for settings in rates] == [2e-5, 1e-5, 5e-6]
    assert config.training.critic_learning_rate == 9e-6
    assert (
        load(path, "policy.weights=full", "training.algorithm=dpo").training.learning_rate == 1e-6
    )
    assert Config.model_validate(config.model_dump(mode="json")) == config
    adapters = load(path, "sft.learning_rate=2e-5")
    assert (adapters.policy.lora_rank, adapters.training.learning_rate) == (16, 5e-4)
