"""What the stages ask the store, by name: one question a function, records out."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from rlhf_core.records import (
    Candidate,
    ConfigVersion,
    CycleRun,
    Evaluation,
    Judgement,
    Metric,
    ModelInput,
    ModelVersion,
    Outcome,
    Pair,
    Promotion,
    Prompt,
    PromptSet,
    Ranking,
    Response,
    Revision,
    RolloutRecord,
    Split,
    StageRun,
)
from rlhf_core.store.store import Store


def prompts_of(store: Store, prompt_set_id: str, split: Split) -> list[Prompt]:
    """The prompts of a set that fall into a split, by id, so in the same order on every run.

    Retracted ones are left out.
    """
    found = store.rows(
        Prompt,
        "split = ? AND id IN (SELECT unnest(prompt_ids) FROM prompt_sets WHERE id = ?) "
        "AND id NOT IN (SELECT subject_id FROM retracted WHERE subject_table = 'prompts')",
        [split.value, prompt_set_id],
    )
    return sorted(found, key=lambda prompt: prompt.id)


def prompt_set(store: Store, prompt_set_id: str) -> PromptSet:
    return store.rows(PromptSet, "id = ?", [prompt_set_id])[0]


def known_ids(store: Store, table: str, ids: Collection[str]) -> set[str]:
    """Those of the ids that the table holds already."""
    found = store.query(f"SELECT id FROM {table} WHERE id IN (SELECT unnest(?))", [list(ids)])
    return {row["id"] for row in found}


def candidates_by_prompt(
    store: Store, model_id: str, sampling: str, seed: int, prompts: Sequence[Prompt]
) -> dict[str, list[Candidate]]:
    """Candidates of one model under one sampling and seed, by prompt, in sample order."""
    wanted: dict[str, list[Candidate]] = {prompt.id: [] for prompt in prompts}
    found = store.rows(
        Candidate, "model_id = ? AND sampling = ? AND seed = ?", [model_id, sampling, seed]
    )
    for candidate in sorted(found, key=lambda candidate: candidate.sample_index):
        if candidate.prompt_id in wanted:
            wanted[candidate.prompt_id].append(candidate)
    return wanted


def candidates_by_id(store: Store, ids: Collection[str]) -> dict[str, Candidate]:
    found = store.rows(Candidate, "id IN (SELECT unnest(?))", [list(ids)])
    return {candidate.id: candidate for candidate in found}


def judgements_of(
    store: Store, candidate_ids: Collection[str], versions: Collection[str]
) -> list[Judgement]:
    """Judgements by these judges that show one of the candidates first, but the retracted."""
    ids = list(candidate_ids)
    return store.rows(
        Judgement,
        "candidate_id IN (SELECT unnest(?)) AND judge_version IN (SELECT unnest(?)) AND id IN "
        "(SELECT id FROM standing_judgements WHERE candidate_id IN (SELECT unnest(?)))",
        [ids, list(versions), ids],
    )


def responses_to(store: Store, request_hashes: Collection[str]) -> dict[str, Response]:
    """What models said to these questions, by the question's hash."""
    found = store.rows(Response, "request_hash IN (SELECT unnest(?))", [list(request_hashes)])
    return {response.request_hash: response for response in found}


def judgements_by(store: Store, judge: str) -> list[Judgement]:
    """All that a judge of this name ever said, by any of its versions."""
    return store.rows(Judgement, "judge = ?", [judge])


def prompts_by_id(store: Store, ids: Collection[str]) -> dict[str, Prompt]:
    found = store.rows(Prompt, "id IN (SELECT unnest(?))", [list(ids)])
    return {prompt.id: prompt for prompt in found}


def splits_of(store: Store, ids: Collection[str]) -> dict[str, Split]:
    """The split of each of these prompts that is in the store, by its id."""
    found = store.query("SELECT id, split FROM prompts WHERE id IN (SELECT unnest(?))", [list(ids)])
    return {row["id"]: Split(row["split"]) for row in found}


def tombstones(store: Store) -> set[tuple[str, str]]:
    """Each deleted prompt's id with the hash of the user who had it deleted."""
    found = store.query("SELECT prompt_id, user_hash FROM prompt_tombstones")
    return {(row["prompt_id"], row["user_hash"]) for row in found}


def revisions_by(store: Store, reviser: str) -> dict[str, list[Revision]]:
    """What one reviser made of each prompt, by prompt id, rounds ascending."""
    found: dict[str, list[Revision]] = {}
    rows = store.rows(Revision, "reviser = ?", [reviser])
    for revision in sorted(rows, key=lambda row: row.round):
        found.setdefault(revision.prompt_id, []).append(revision)
    return found


def revisions_cut_off(store: Store, revisions: Iterable[Revision]) -> set[str]:
    """Ids of the revisions whose text was cut off: the last response behind each is that text."""
    texts = {row.id: row.response_ids[-1] for row in revisions if row.response_ids}
    found = store.query(
        "SELECT id FROM responses WHERE id IN (SELECT unnest(?)) AND finish_reason <> 'eos'",
        [list(texts.values())],
    )
    cut_off = {row["id"] for row in found}
    return {id for id, response in texts.items() if response in cut_off}


def answered_judgements(store: Store, candidate_ids: Collection[str]) -> set[str]:
    """Ids of the judgements of these candidates that need not be asked for again."""
    found = store.query(
        "SELECT id FROM judgements WHERE candidate_id IN (SELECT unnest(?)) AND outcome <> ?",
        [list(candidate_ids), Outcome.UNAVAILABLE.value],
    )
    return {row["id"] for row in found}


def answers_of(
    store: Store, judge_version: str, candidate_ids: Collection[str]
) -> list[tuple[Outcome, str | None, str | None]]:
    """Outcome, reason and raw output of a judge's verdicts that need not be asked for again."""
    found = store.query(
        "SELECT outcome, reason, raw_output FROM judgements WHERE judge_version = ? "
        "AND candidate_id IN (SELECT unnest(?)) AND outcome <> ?",
        [judge_version, list(candidate_ids), Outcome.UNAVAILABLE.value],
    )
    return [(Outcome(row["outcome"]), row["reason"], row["raw_output"]) for row in found]


def rankings_of(
    store: Store, recipe: str, batches: Collection[tuple[str, int]], prompts: Sequence[Prompt]
) -> list[Ranking]:
    """Rankings made by one recipe from the candidates of some (model, seed) batches, by id.

    None that rests on something retracted. Of several rankings of a prompt's candidates, as they
    come of a retraction that was withdrawn, the one by most judgements.
    """
    wanted = {prompt.id for prompt in prompts}
    standing = "recipe = ? AND id NOT IN (SELECT ranking_id FROM tainted_rankings)"
    found: dict[tuple[str, str, int], Ranking] = {}
    for ranking in store.rows(Ranking, standing, [recipe]):
        key = (ranking.prompt_id, ranking.model_id, ranking.seed)
        if key[1:] in batches and ranking.prompt_id in wanted:
            known = found.get(key)
            if known is None or len(ranking.judgement_ids) > len(known.judgement_ids):
                found[key] = ranking
    return sorted(found.values(), key=lambda ranking: ranking.id)


def retracted_judges(store: Store, versions: Collection[str]) -> dict[str, str]:
    """Why each of these judge versions is retracted; sound ones are left out."""
    found = store.query(
        "SELECT subject_id, reason FROM retracted WHERE subject_table = 'judge_versions' "
        "AND subject_id IN (SELECT unnest(?)) ORDER BY subject_id",
        [list(versions)],
    )
    return {row["subject_id"]: row["reason"] for row in found}


def retracted_pairs(store: Store, rankings: Sequence[Ranking]) -> list[str]:
    """Ids of the pairs of these rankings that were retracted by themselves."""
    sql = "SELECT pair_id FROM tainted_pairs WHERE ranking_id IN (SELECT unnest(?)) ORDER BY 1"
    found = store.query(sql, [[ranking.id for ranking in rankings]])
    return [row["pair_id"] for row in found]


def pairs_left_out(store: Store, rankings: Sequence[Ranking]) -> list[Pair]:
    """The pairs of these rankings that `pairs_of_rankings` leaves out."""
    return store.rows(Pair, "id IN (SELECT unnest(?))", [retracted_pairs(store, rankings)])


def pairs_of_rankings(store: Store, rankings: Sequence[Ranking]) -> dict[str, list[Pair]]:
    """The pairs of each ranking but the retracted, by ranking id."""
    pairs: dict[str, list[Pair]] = {ranking.id: [] for ranking in rankings}
    left_out = set(retracted_pairs(store, rankings))
    for pair in store.rows(Pair, "ranking_id IN (SELECT unnest(?))", [list(pairs)]):
        if pair.id not in left_out:
            pairs[pair.ranking_id].append(pair)
    return pairs


def judges_of_rankings(store: Store, ranking_ids: Collection[str]) -> set[str]:
    """The judge versions behind the pairs of these rankings."""
    found = store.query(
        "SELECT DISTINCT unnest(judge_versions) AS judge_version FROM "
        "(SELECT DISTINCT judge_versions FROM pairs WHERE ranking_id IN (SELECT unnest(?)))",
        [list(ranking_ids)],
    )
    return {row["judge_version"] for row in found}


def samplers_of(store: Store, ranking_ids: Collection[str]) -> set[str]:
    """The models whose answers these rankings rank."""
    found = store.query(
        "SELECT DISTINCT model_id FROM rankings WHERE id IN (SELECT unnest(?))", [list(ranking_ids)]
    )
    return {row["model_id"] for row in found}


def models_of_judges(store: Store, versions: Collection[str]) -> set[str]:
    """Models of this store that these judges ask."""
    found = store.query(
        "SELECT DISTINCT model_id FROM judge_models WHERE judge_version IN (SELECT unnest(?))",
        [list(versions)],
    )
    return {row["model_id"] for row in found}


def judges_behind(store: Store, model_ids: Collection[str]) -> dict[str, str]:
    """Return the judges that had a say in models or those behind them, each with such a model."""
    found = store.query(
        "SELECT judge_version, min(ancestor_id) AS model_id FROM model_ancestry "
        "JOIN model_judges ON model_judges.model_id = ancestor_id "
        "WHERE model_ancestry.model_id IN (SELECT unnest(?)) AND role <> 'evaluation' "
        "GROUP BY judge_version ORDER BY judge_version",
        [list(model_ids)],
    )
    return {row["judge_version"]: row["model_id"] for row in found}


def reward_models(store: Store, ids: Collection[str]) -> set[str]:
    """Return those of the ids that are reward models of this store."""
    found = store.query(
        "SELECT id FROM models WHERE kind = 'reward' AND id IN (SELECT unnest(?))", [list(ids)]
    )
    return {row["id"] for row in found}


def reward_models_behind(store: Store, model_ids: Collection[str]) -> set[str]:
    """Return the reward models among these models and those behind them."""
    found = store.query(
        "SELECT DISTINCT ancestor_id FROM model_ancestry WHERE ancestor_kind = 'reward' "
        "AND model_id IN (SELECT unnest(?))",
        [list(model_ids)],
    )
    return {row["ancestor_id"] for row in found}


def retracted_under(store: Store, model_id: str) -> list[tuple[str, str]]:
    """Table and id of each retracted thing that a model itself rests on."""
    found = store.query(
        "SELECT DISTINCT subject_table, subject_id FROM tainted_inputs WHERE model_id = ? "
        "ORDER BY ALL",
        [model_id],
    )
    return [(row["subject_table"], row["subject_id"]) for row in found]


def retracted_prompts(store: Store, prompt_set_id: str, split: Split) -> list[str]:
    """Ids of the prompts of a set's split that `prompts_of` leaves out."""
    found = store.query(
        "SELECT id FROM prompts JOIN retracted ON subject_table = 'prompts' AND subject_id = id "
        "WHERE split = ? AND id IN (SELECT unnest(prompt_ids) FROM prompt_sets WHERE id = ?) "
        "ORDER BY id",
        [split.value, prompt_set_id],
    )
    return [row["id"] for row in found]


def model(store: Store, model_id: str) -> ModelVersion | None:
    found = store.rows(ModelVersion, "id = ?", [model_id])
    return found[0] if found else None


def inputs_of(store: Store, model_id: str) -> list[ModelInput]:
    return store.rows(ModelInput, "model_id = ?", [model_id])


def promotions_of(store: Store, line: str) -> dict[int, Promotion]:
    """The decision of each cycle of a policy line, by the cycle's number."""
    found = store.rows(Promotion, "line = ?", [line])
    return {promotion.cycle: promotion for promotion in found}


def decided_at(store: Store, promotion: Promotion) -> datetime:
    """When a decision was written."""
    (row,) = store.query("SELECT created_at FROM promotions WHERE id = ?", [promotion.id])
    found: datetime = row["created_at"]
    return found


def stage_runs_of(store: Store, line: str, stage: str) -> list[StageRun]:
    """A stage's sign-offs; a cycle has one for each config that brought it so far."""
    return store.rows(StageRun, "line = ? AND stage = ?", [line, stage])


def cycle_runs_of(store: Store, line: str) -> list[CycleRun]:
    """The runs of a line's cycles, in the order in which they began."""
    found = store.query("SELECT * FROM cycle_runs WHERE line = ? ORDER BY created_at", [line])
    return [CycleRun.model_validate(row) for row in found]


def config_version(store: Store, config_hash: str) -> ConfigVersion | None:
    found = store.rows(ConfigVersion, "config_hash = ?", [config_hash])
    return found[0] if found else None


def champion(store: Store, line: str, cycle: int, ancestor_id: str | None = None) -> str | None:
    """The policy of a line that was promoted last before a cycle; None while there is none.

    Args:
        store: Where to look.
        line: Whose promotions.
        cycle: Before which.
        ancestor_id: Only policies that were initialised from this model, at first or second hand.
    """
    promotions = promotions_of(store, line)
    winners = [n for n, promotion in promotions.items() if n < cycle and promotion.promoted]
    if ancestor_id is not None:
        sql = "SELECT model_id FROM model_lineage WHERE ancestor_id = ?"
        come_of_it = {row["model_id"] for row in store.query(sql, [ancestor_id])}
        winners = [n for n in winners if promotions[n].policy_id in come_of_it]
    return promotions[max(winners)].policy_id if winners else None


def sft_behind(store: Store, policy_id: str) -> ModelVersion | None:
    """The SFT model that a policy stands on."""
    found = store.query(
        "SELECT ancestor_id FROM model_lineage JOIN models ON models.id = ancestor_id "
        "WHERE model_id = ? AND models.kind = 'sft' ORDER BY generations LIMIT 1",
        [policy_id],
    )
    return model(store, found[0]["ancestor_id"]) if found else None


def evaluations_of(store: Store, policy_id: str, baseline_id: str) -> list[Evaluation]:
    return store.rows(Evaluation, "policy_id = ? AND baseline_id = ?", [policy_id, baseline_id])


def metrics_of(store: Store, model_id: str) -> dict[str, list[tuple[int, float]]]:
    """Each metric of a model as (step, value), steps ascending."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for metric in store.rows(Metric, "model_id = ?", [model_id]):
        curves.setdefault(metric.name, []).append((metric.step, metric.value))
    return {name: sorted(points) for name, points in curves.items()}


def rollouts_of(store: Store, model_id: str) -> list[RolloutRecord]:
    return store.rows(RolloutRecord, "model_id = ?", [model_id])
