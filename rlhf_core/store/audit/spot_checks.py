"""Select pairs for a person's spot checks, and store the verdicts."""

from typing import Any

from rlhf_core.preferences.spot_checks import CheckablePair, PairToCheck, Shown
from rlhf_core.records import HumanVerdict, Split, SpotCheck
from rlhf_core.records.turns import turns_to_show
from rlhf_core.store.snapshot import Snapshot, reading
from rlhf_core.store.store import Store

POOL = 1000
"""Pairs that each strategy may choose among: far more than a person checks at once."""

# A verdict is about two texts, so of pairs made again by another recipe only the newest counts.
# An imported label without a margin has the full margin.
CHECKABLE = """
WITH newest AS (
    SELECT id, prompt_id, left_id, right_id, outcome,
           coalesce(margin, (outcome = 'preferred')::INTEGER) AS margin,
           coalesce(1 - agreement, 0) AS dissent
    FROM pairs WHERE outcome <> 'unscored'
    QUALIFY row_number() OVER (
        PARTITION BY left_id, right_id ORDER BY created_at DESC, id DESC
    ) = 1
), worth AS (
    SELECT *, CASE outcome WHEN 'preferred' THEN margin ELSE 0 END
        * count(*) FILTER (outcome = 'preferred') OVER (PARTITION BY prompt_id) AS weight
    FROM newest
), askable AS MATERIALIZED (
    SELECT worth.*
    FROM worth
    ANTI JOIN (SELECT unnest($done_left) AS left_id, unnest($done_right) AS right_id) AS done
        USING (left_id, right_id)
    JOIN prompts ON prompts.id = worth.prompt_id AND ($split IS NULL OR prompts.split = $split)
    JOIN candidates AS one ON one.id = worth.left_id
    JOIN candidates AS other ON other.id = worth.right_id
    WHERE trim(one.text) <> trim(other.text)
), pool AS (
    (SELECT id FROM askable ORDER BY dissent DESC, hash(id, $seed) LIMIT $pool)
    UNION (SELECT id FROM askable ORDER BY margin, hash(id, $seed) LIMIT $pool)
    UNION (SELECT id FROM askable ORDER BY weight DESC, hash(id, $seed) LIMIT $pool)
    UNION (SELECT id FROM askable ORDER BY hash(id, $seed) LIMIT $pool)
)
SELECT askable.*, prompts.text AS prompt, prompts.context,
       prompts.messages, prompts.few_shot, prompts.tools,
       one.text AS left_text, other.text AS right_text
FROM askable
SEMI JOIN pool USING (id)
JOIN prompts ON prompts.id = askable.prompt_id
JOIN candidates AS one ON one.id = askable.left_id
JOIN candidates AS other ON other.id = askable.right_id
ORDER BY askable.id
"""


def checkable(
    store: Store, person: str, split: Split | None = None, seed: int = 0, pool: int = POOL
) -> list[CheckablePair]:
    """Return the pairs that a person has not checked, by id.

    `rlhf_core.preferences.spot_checks.choose` chooses among them. Unscored pairs and pairs of equal
    texts are left out. The pairs come from the store's snapshot, so that no writer waits; the
    person's earlier checks come from the store itself.

    Args:
        store: The store.
        person: Name of the person who checks.
        split: Split of the prompts; None for both.
        seed: Seed of the random choice.
        pool: Number of pairs that each strategy may choose among.
    """
    done = store.query(
        "SELECT DISTINCT left_id, right_id FROM spot_checks WHERE person = ?", [person]
    )
    parameters = {
        "done_left": [row["left_id"] for row in done],
        "done_right": [row["right_id"] for row in done],
        "split": split.value if split else None,
        "seed": seed,
        "pool": pool,
    }
    with reading(store.address) as snapshot:
        return [_pair(row) for row in snapshot.query(CHECKABLE, parameters).as_dicts()]


def _pair(row: dict[str, Any]) -> CheckablePair:
    return CheckablePair(
        pair_id=row["id"],
        prompt_id=row["prompt_id"],
        prompt=row["prompt"],
        context=row["context"],
        left=Shown(row["left_id"], row["left_text"]),
        right=Shown(row["right_id"], row["right_text"]),
        dissent=row["dissent"],
        margin=row["margin"],
        weight=row["weight"],
        turns=turns_to_show(row["prompt"], row["messages"], row["few_shot"], row["tools"]),
    )


def record(
    store: Store,
    check: PairToCheck,
    person: str,
    said: HumanVerdict,
    seconds: float,
    note: str | None = None,
) -> SpotCheck:
    """Store a person's verdict; a second verdict on the same pair is a row of a higher round.

    Args:
        store: The store.
        check: The pair that was shown, in the order of `check.pair.shown_to(person)`.
        person: Name of the person.
        said: LEFT or RIGHT as on the person's screen, TIE or UNSURE.
        seconds: Time from showing the pair to the verdict.
        note: The person's note on the pair.

    Returns:
        The verdict as it was stored.
    """
    pair = check.pair
    spot_check = SpotCheck(
        pair_id=pair.pair_id,
        prompt_id=pair.prompt_id,
        left_id=pair.left.id,
        right_id=pair.right.id,
        person=person,
        verdict=pair.verdict(said, person),
        note=note,
        strategy=check.strategy,
        shown_left=pair.shown_to(person)[0].id,
        seconds=seconds,
        round=_rounds(store, pair, person) + 1,
    )
    store.append([spot_check])
    return spot_check


def _rounds(store: Store, pair: CheckablePair, person: str) -> int:
    (row,) = store.query(
        "SELECT coalesce(max(round), 0) AS rounds FROM spot_checks "
        "WHERE left_id = ? AND right_id = ? AND person = ?",
        [pair.left.id, pair.right.id, person],
    )
    return int(row["rounds"])


def votes_beside_people(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return each verdict beside each judge's vote and the label, as in judge_human_votes."""
    return snapshot.query(
        "SELECT source, judge, judge_version, votes.prompt_id, strategy, agrees, mode, "
        "strftime(date_trunc('week', checked_at), '%Y-%m-%d') AS week "
        "FROM judge_human_votes AS votes JOIN prompts ON prompts.id = votes.prompt_id "
        "ORDER BY source DESC, judge, judge_version, check_id"
    ).as_dicts()


def verdicts_of_people(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return each person's current verdict on each two candidates, with the prompt."""
    return snapshot.query(
        "SELECT prompt_id, left_id, right_id, person, verdict, seconds FROM human_verdicts "
        "ORDER BY left_id, right_id, person"
    ).as_dicts()


def disputes(snapshot: Snapshot, count: int) -> list[dict[str, Any]]:
    """Return the pairs where people and judges differ most.

    Pairs with the largest share of votes against people come first, then those with the surest
    label.
    """
    return snapshot.query(
        """
        SELECT pair_id, prompts.text AS prompt, one.text AS left_text, other.text AS right_text,
               list(DISTINCT person || ': ' || verdict ORDER BY person || ': ' || verdict)
                   AS people,
               sum((agrees = 0)::INTEGER) FILTER (source = 'judge') AS against,
               count(agrees) FILTER (source = 'judge') AS votes,
               any_value(votes.margin) FILTER (source = 'label') AS label_margin
        FROM judge_human_votes AS votes
        JOIN pairs ON pairs.id = votes.pair_id
        JOIN prompts ON prompts.id = votes.prompt_id
        JOIN candidates AS one ON one.id = pairs.left_id
        JOIN candidates AS other ON other.id = pairs.right_id
        GROUP BY pair_id, prompt, left_text, right_text
        HAVING against > 0
        ORDER BY against / count(agrees) FILTER (source = 'judge') DESC,
                 abs(label_margin) DESC, pair_id
        LIMIT ?
        """,
        [count],
    ).as_dicts()
