"""The model card of a champion, made of the store's facts.

What users, judges and models wrote is data: it is escaped, so that it makes no HTML, no links and
no structure in the card.
"""

import html
import re
from datetime import UTC
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from flows.champion.history import describe_champion
from rlhf_core.config import Config
from rlhf_core.files.whole import whole_text
from rlhf_core.records import ModelVersion
from rlhf_core.store import Store, line_queries

LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MARKUP = re.compile(r"([\\`*_{}\[\]()#|!~])")
LINKING = {":": "&#58;", "@": "&#64;", "www.": "www&#46;"}
"""Marks that make a link of a bare address, and what shows the same."""

COUNTS_SQL = """
SELECT
    (SELECT count(*) FROM prompts WHERE id IN (SELECT prompt_id FROM prompt_models
        WHERE model_id = $1)) AS prompts,
    (SELECT count(DISTINCT input_id) FROM model_ancestry
        JOIN model_inputs ON model_inputs.model_id = ancestor_id
        WHERE model_ancestry.model_id = $1 AND input_table = 'rankings') AS rankings,
    (SELECT count(DISTINCT pair_id) FROM model_ancestry
        JOIN model_pairs ON model_pairs.model_id = ancestor_id
        WHERE model_ancestry.model_id = $1) AS pairs"""
SOURCES_SQL = """
SELECT DISTINCT source FROM prompt_sets
WHERE list_has_any(prompt_ids, (SELECT list(prompt_id) FROM prompt_models WHERE model_id = ?))
ORDER BY source"""
JUDGES_SQL = """
SELECT judge_version, array_to_string(list_sort(list(DISTINCT CASE role
    WHEN 'evaluation' THEN 'evaluated it' WHEN 'reward' THEN 'part of the reward'
    ELSE 'judged training data' END)), '; ') AS roles
FROM model_ancestry JOIN model_judges ON model_judges.model_id = ancestor_id
WHERE model_ancestry.model_id = ? AND (role <> 'evaluation' OR ancestor_id = ?)
    AND NOT starts_with(judge_version, 'reward-')
GROUP BY judge_version ORDER BY judge_version"""
LINEAGE_SQL = "SELECT * FROM model_lineage WHERE model_id = ? ORDER BY generations"
REWARD_SQL = """
SELECT reward_comparisons.* FROM reward_comparisons
JOIN model_sources ON source_id = reward_comparisons.model_id AND relation = 'input'
WHERE model_sources.model_id = ? AND line = ? AND accuracy IS NOT NULL
ORDER BY cycle DESC LIMIT 1"""


def write_card(store: Store, config: Config, model: ModelVersion, form: str, folder: Path) -> None:
    """Write README.md into the folder of a champion.

    Args:
        store: Store with the facts.
        config: Config of the line.
        model: The champion.
        form: merged or adapter.
        folder: Its folder.
    """
    has_adapter = (folder / "adapter").is_dir()
    facts = {**card_facts(store, config, model, form), "has_adapter": has_adapter}
    environment = Environment(
        loader=PackageLoader("flows.champion"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters["plain"] = plain
    with whole_text(folder / "README.md") as stream:
        stream.write(environment.get_template("card.md").render(facts))


def card_facts(store: Store, config: Config, model: ModelVersion, form: str) -> dict[str, Any]:
    """Return the variables of the card, except for what its folder holds.

    Args:
        store: Store with the facts.
        config: Config of the line.
        model: The champion.
        form: merged or adapter.
    """
    told = describe_champion(store, config.name)
    if told["since"] is not None:
        told["since"] = told["since"].astimezone(UTC)
    sft = line_queries.sft_behind(store, model.id)
    base = sft.base if sft else model.base
    licence = licence_of(base)
    header: dict[str, Any] = {
        "library_name": "transformers" if form == "merged" else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["rlaif", "solon"],
    }
    if licence:
        header["license"] = licence
    if HUB_ID.fullmatch(base) and not Path(base).exists():  # else it is a folder
        header["base_model"] = base
    (counts,) = store.query(COUNTS_SQL, [model.id])
    sources = store.query(SOURCES_SQL, [model.id])
    comparisons = store.query(REWARD_SQL, [model.id, config.name])
    return {
        "header": yaml.safe_dump(header, sort_keys=True).strip(),
        "line": config.name,
        "model": model.id,
        "form": form,
        "base": Path(base).name if Path(base).is_absolute() else base,
        "licence": licence,
        "champion": told,
        "counts": counts,
        "sources": [Path(row["source"]).name for row in sources],
        "judges": store.query(JUDGES_SQL, [model.id, model.id]),
        "lineage": store.query(LINEAGE_SQL, [model.id]),
        "reward": comparisons[0] if comparisons else None,
    }


def licence_of(base: str) -> str | None:
    """Return the licence that the card of a base model names; None if it is unknown."""
    card = Path(base) / "README.md"
    if not card.is_file() and HUB_ID.fullmatch(base):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base, "README.md")
        card = Path(cached) if isinstance(cached, str) else card
    if not card.is_file():
        return None
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return None
    licence = header.get("license") if isinstance(header, dict) else None
    return licence if isinstance(licence, str) and LICENCE.fullmatch(licence) else None


def plain(value: object) -> str:
    """Return a text that Markdown shows as it is, in one line, without HTML and links."""
    text = MARKUP.sub(r"\\\1", html.escape(" ".join(str(value).split()), quote=False))
    for mark, entity in LINKING.items():
        text = text.replace(mark, entity)
    return text
