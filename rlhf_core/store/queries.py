"""The queries of the stages: one function a query, with records as the result."""

from collections.abc import Collection, Iterable, Sequence

from rlhf_core.records import (
    Candidate,
    Judgement,
    Outcome,
    Pair,
    Prompt,
    PromptSet,
    Ranking,
    Response,
    Revision,
    Split,
)
from rlhf_core.store.store import Store


def prompts_of(store: Store, prompt_set_id: str, split: Split) -> list[Prompt]:
    """Return the prompts of a set in a split, by id, so in the same order on every run.

    Retracted prompts are left out.

    Args:
        store: The store.
        prompt_set_id: The prompt set.
        split: The split.
    """
    prompts = store.rows(
        Prompt,
        "split = ? AND id IN (SELECT unnest(prompt_ids) FROM prompt_sets WHERE id = ?) "
        "AND id NOT IN (SELECT subject_id FROM retracted WHERE subject_table = 'prompts')",
        [split.value, prompt_set_id],
    )
    return sorted(prompts, key=lambda prompt: prompt.id)


def prompt_set(store: Store, prompt_set_id: str) -> PromptSet:
    return store.rows(PromptSet, "id = ?", [prompt_set_id])[0]


def known_ids(store: Store, table: str, ids: Collection[str]) -> set[str]:
    """Return those of the ids that the table already has.

    Args:
        store: The store.
        table: A table of records.
        ids: The ids to look for.
    """
    rows = store.query(f"SELECT id FROM {table} WHERE id IN (SELECT unnest(?))", [list(ids)])
    return {row["id"] for row in rows}


def candidates_by_prompt(
    store: Store, model_id: str, sampling: str, seed: int, prompts: Sequence[Prompt]
) -> dict[str, list[Candidate]]:
    """Return the candidates of one model, sampling and seed, by prompt, in sample order.

    Args:
        store: The store.
        model_id: The model that sampled.
        sampling: Hash of the sampling settings.
        seed: Seed of the batch.
        prompts: Prompts to return; one without candidates has an empty list.
    """
    wanted: dict[str, list[Candidate]] = {prompt.id: [] for prompt in prompts}
    rows = store.rows(
        Candidate, "model_id = ? AND sampling = ? AND seed = ?", [model_id, sampling, seed]
    )
    for candidate in sorted(rows, key=lambda candidate: candidate.sample_index):
        if candidate.prompt_id in wanted:
            wanted[candidate.prompt_id].append(candidate)
    return wanted


def candidates_by_id(store: Store, ids: Collection[str]) -> dict[str, Candidate]:
    rows = store.rows(Candidate, "id IN (SELECT unnest(?))", [list(ids)])
    return {candidate.id: candidate for candidate in rows}


def judgements_of(
    store: Store, candidate_ids: Collection[str], versions: Collection[str]
) -> list[Judgement]:
    """Return the judgements of these judges that show one of the candidates first.

    Retracted judgements are left out.

    Args:
        store: The store.
        candidate_ids: The candidates.
        versions: Versions of the judges.
    """
    ids = list(candidate_ids)
    return store.rows(
        Judgement,
        "candidate_id IN (SELECT unnest(?)) AND judge_version IN (SELECT unnest(?)) AND id IN "
        "(SELECT id FROM standing_judgements WHERE candidate_id IN (SELECT unnest(?)))",
        [ids, list(versions), ids],
    )


def responses_to(store: Store, request_hashes: Collection[str]) -> dict[str, Response]:
    """Return the responses of models to these requests, by the hash of the request."""
    rows = store.rows(Response, "request_hash IN (SELECT unnest(?))", [list(request_hashes)])
    return {response.request_hash: response for response in rows}


def judgements_by(store: Store, judge: str) -> list[Judgement]:
    """Return all judgements of a judge, whatever its version."""
    return store.rows(Judgement, "judge = ?", [judge])


def prompts_by_id(store: Store, ids: Collection[str]) -> dict[str, Prompt]:
    rows = store.rows(Prompt, "id IN (SELECT unnest(?))", [list(ids)])
    return {prompt.id: prompt for prompt in rows}


def splits_of(store: Store, ids: Collection[str]) -> dict[str, Split]:
    """Return the split of each of these prompts that the store has, by prompt id."""
    rows = store.query("SELECT id, split FROM prompts WHERE id IN (SELECT unnest(?))", [list(ids)])
    return {row["id"]: Split(row["split"]) for row in rows}


def tombstones(store: Store) -> set[tuple[str, str]]:
    """Return the id of each deleted prompt with the hash of the user who had it deleted."""
    rows = store.query("SELECT prompt_id, user_hash FROM prompt_tombstones")
    return {(row["prompt_id"], row["user_hash"]) for row in rows}


def revisions_by(store: Store, reviser: str) -> dict[str, list[Revision]]:
    """Return the revisions of one reviser by prompt id, rounds ascending."""
    revisions: dict[str, list[Revision]] = {}
    rows = store.rows(Revision, "reviser = ?", [reviser])
    for revision in sorted(rows, key=lambda row: row.round):
        revisions.setdefault(revision.prompt_id, []).append(revision)
    return revisions


def revisions_cut_off(store: Store, revisions: Iterable[Revision]) -> set[str]:
    """Return the ids of revisions whose text, their last response, was cut off."""
    texts = {row.id: row.response_ids[-1] for row in revisions if row.response_ids}
    rows = store.query(
        "SELECT id FROM responses WHERE id IN (SELECT unnest(?)) AND finish_reason <> 'eos'",
        [list(texts.values())],
    )
    cut_off = {row["id"] for row in rows}
    return {id for id, response in texts.items() if response in cut_off}


def answered_judgements(store: Store, candidate_ids: Collection[str]) -> set[str]:
    """Return the ids of judgements of these candidates that need not be judged again."""
    rows = store.query(
        "SELECT id FROM judgements WHERE candidate_id IN (SELECT unnest(?)) AND outcome <> ?",
        [list(candidate_ids), Outcome.UNAVAILABLE.value],
    )
    return {row["id"] for row in rows}


def answers_of(
    store: Store, judge_version: str, candidate_ids: Collection[str]
) -> list[tuple[Outcome, str | None, str | None]]:
    """Return outcome, reason and raw output of a judge's verdicts that need not be judged again.

    Args:
        store: The store.
        judge_version: The judge.
        candidate_ids: The candidates that it judged.
    """
    rows = store.query(
        "SELECT outcome, reason, raw_output FROM judgements WHERE judge_version = ? "
        "AND candidate_id IN (SELECT unnest(?)) AND outcome <> ?",
        [judge_version, list(candidate_ids), Outcome.UNAVAILABLE.value],
    )
    return [(Outcome(row["outcome"]), row["reason"], row["raw_output"]) for row in rows]


def rankings_of(
    store: Store, recipe: str, batches: Collection[tuple[str, int]], prompts: Sequence[Prompt]
) -> list[Ranking]:
    """Return the rankings of one recipe for some batches of candidates, by id.

    Rankings that rest on something retracted are left out, and those of the guard's repair, some
    of which no reward model may learn from. If a batch has several rankings, as after a withdrawn
    retraction, the one by most judgements is returned.

    Args:
        store: The store.
        recipe: Recipe of the rankings.
        batches: Model and seed of each batch.
        prompts: Prompts of the rankings.
    """
    wanted = {prompt.id for prompt in prompts}
    standing = (
        "recipe = ? AND id NOT IN (SELECT ranking_id FROM tainted_rankings) "
        "AND id NOT IN (SELECT ranking_id FROM guard_comparisons)"
    )
    chosen: dict[tuple[str, str, int], Ranking] = {}
    for ranking in store.rows(Ranking, standing, [recipe]):
        key = (ranking.prompt_id, ranking.model_id, ranking.seed)
        if key[1:] in batches and ranking.prompt_id in wanted:
            known = chosen.get(key)
            if known is None or len(ranking.judgement_ids) > len(known.judgement_ids):
                chosen[key] = ranking
    return sorted(chosen.values(), key=lambda ranking: ranking.id)


def retracted_judges(store: Store, versions: Collection[str]) -> dict[str, str]:
    """Return the reason of each of these judge versions that is retracted, by version."""
    rows = store.query(
        "SELECT subject_id, reason FROM retracted WHERE subject_table = 'judge_versions' "
        "AND subject_id IN (SELECT unnest(?)) ORDER BY subject_id",
        [list(versions)],
    )
    return {row["subject_id"]: row["reason"] for row in rows}


def retracted_pairs(store: Store, rankings: Sequence[Ranking]) -> list[str]:
    """Return the ids of the tainted pairs of these rankings."""
    sql = "SELECT pair_id FROM tainted_pairs WHERE ranking_id IN (SELECT unnest(?)) ORDER BY 1"
    rows = store.query(sql, [[ranking.id for ranking in rankings]])
    return [row["pair_id"] for row in rows]


def pairs_left_out(store: Store, rankings: Sequence[Ranking]) -> list[Pair]:
    """Return the pairs of these rankings that `pairs_of_rankings` leaves out."""
    return store.rows(Pair, "id IN (SELECT unnest(?))", [retracted_pairs(store, rankings)])


def pairs_of_rankings(store: Store, rankings: Sequence[Ranking]) -> dict[str, list[Pair]]:
    """Return the pairs of each ranking without tainted ones, by ranking id."""
    pairs: dict[str, list[Pair]] = {ranking.id: [] for ranking in rankings}
    left_out = set(retracted_pairs(store, rankings))
    for pair in store.rows(Pair, "ranking_id IN (SELECT unnest(?))", [list(pairs)]):
        if pair.id not in left_out:
            pairs[pair.ranking_id].append(pair)
    return pairs


def judges_of_rankings(store: Store, ranking_ids: Collection[str]) -> set[str]:
    """Return the judge versions behind the pairs of these rankings."""
    rows = store.query(
        "SELECT DISTINCT unnest(judge_versions) AS judge_version FROM "
        "(SELECT DISTINCT judge_versions FROM pairs WHERE ranking_id IN (SELECT unnest(?)))",
        [list(ranking_ids)],
    )
    return {row["judge_version"] for row in rows}


def samplers_of(store: Store, ranking_ids: Collection[str]) -> set[str]:
    """Return the models whose answers these rankings rank."""
    rows = store.query(
        "SELECT DISTINCT model_id FROM rankings WHERE id IN (SELECT unnest(?))", [list(ranking_ids)]
    )
    return {row["model_id"] for row in rows}


def models_of_judges(store: Store, versions: Collection[str]) -> set[str]:
    """Return the models of this store that these judges call."""
    rows = store.query(
        "SELECT DISTINCT model_id FROM judge_models WHERE judge_version IN (SELECT unnest(?))",
        [list(versions)],
    )
    return {row["model_id"] for row in rows}


def judges_behind(store: Store, model_ids: Collection[str]) -> dict[str, str]:
    """Return the judges that influenced models or those behind them, each with one such model."""
    rows = store.query(
        "SELECT judge_version, min(ancestor_id) AS model_id FROM model_ancestry "
        "JOIN model_judges ON model_judges.model_id = ancestor_id "
        "WHERE model_ancestry.model_id IN (SELECT unnest(?)) AND role <> 'evaluation' "
        "GROUP BY judge_version ORDER BY judge_version",
        [list(model_ids)],
    )
    return {row["judge_version"]: row["model_id"] for row in rows}


def reward_models(store: Store, ids: Collection[str]) -> set[str]:
    """Return those of the ids that are reward models of this store."""
    rows = store.query(
        "SELECT id FROM models WHERE kind = 'reward' AND id IN (SELECT unnest(?))", [list(ids)]
    )
    return {row["id"] for row in rows}


def reward_models_behind(store: Store, model_ids: Collection[str]) -> set[str]:
    """Return the reward models among these models and those behind them."""
    rows = store.query(
        "SELECT DISTINCT ancestor_id FROM model_ancestry WHERE ancestor_kind = 'reward' "
        "AND model_id IN (SELECT unnest(?))",
        [list(model_ids)],
    )
    return {row["ancestor_id"] for row in rows}


def retracted_under(store: Store, model_id: str) -> list[tuple[str, str]]:
    """Return table and id of each retracted fact that a model itself rests on."""
    rows = store.query(
        "SELECT DISTINCT subject_table, subject_id FROM tainted_inputs WHERE model_id = ? "
        "ORDER BY ALL",
        [model_id],
    )
    return [(row["subject_table"], row["subject_id"]) for row in rows]


def retracted_prompts(store: Store, prompt_set_id: str, split: Split) -> list[str]:
    """Return the ids of the retracted prompts that `prompts_of` leaves out.

    Args:
        store: The store.
        prompt_set_id: The prompts of the cycle.
        split: Training or held-out prompts.
    """
    rows = store.query(
        "SELECT id FROM prompts JOIN retracted ON subject_table = 'prompts' AND subject_id = id "
        "WHERE split = ? AND id IN (SELECT unnest(prompt_ids) FROM prompt_sets WHERE id = ?) "
        "ORDER BY id",
        [split.value, prompt_set_id],
    )
    return [row["id"] for row in rows]
