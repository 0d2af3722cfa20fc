"""One step of lineage as SQL, and the ways to read one relation between two tables as two steps.

A step goes up, from a fact to what it came from, or down, to what came of it. Its SQL starts at
the rows of `mine` and selects the `id` that it leads to, with a `note` to count the rows by; from
models, whose steps are taken for many at once, the `model_id` too. Models lead to models by the
view model_sources, not here.

A relation holds between the rows `later` and `earlier`: read up, `mine` are the later ones, read
down, the earlier ones.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Step:
    """One direction of a relation.

    Args:
        relation: Name of the relation from `mine` to the rows that it leads to.
        table: The table that it leads to.
        sql: Selects `id` and `note`, from `mine` among others.
        further: Steps that are taken at once from the rows it leads to.
    """

    relation: str
    table: str
    sql: str
    further: tuple["Step", ...] = ()


@dataclass(frozen=True)
class Relation:
    """A relation between the rows of two tables; a direction that nobody follows is None."""

    later: str
    earlier: str
    up: Step | None
    down: Step | None

    def then(self, *further: Step) -> "Relation":
        """Return the relation with steps that are taken at once after its step up."""
        assert self.up is not None, "there is a step up to continue from"
        return replace(self, up=replace(self.up, further=further))


@dataclass(frozen=True)
class Names:
    """Names of a relation's two directions, and the notes by which their rows are counted.

    Args:
        up: Name of the step up; empty if nobody takes it.
        down: Name of the step down; empty if nobody takes it.
        up_note: SQL over the rows `later`, `earlier` or `link` that the form of relation has.
        down_note: The same for the step down.
    """

    up: str = ""
    down: str = ""
    up_note: str = "''"
    down_note: str = "''"


USED = "SELECT hash(unnest(judgement_ids)) AS h FROM mine"
"""Query for the hashes of the judgements of rankings or pairs, which steps read as `used`. Hashes
take half the time of ids to compare, and mistake one in 10^12."""
WITH_JUDGEMENTS = ("rankings", "pairs")


def refers(
    later: str, reference: str, earlier: str, names: Names, down_where: str = "true"
) -> Relation:
    """Return the relation of rows that hold the id of another row.

    Read up, it does not look whether that row is there.

    Args:
        later: Table of the rows that refer.
        reference: SQL over `later` for the id, null where a row refers to nothing.
        earlier: Table of the rows referred to.
        names: Names of the directions.
        down_where: Condition on `later` for the step down.
    """
    up = (
        f"SELECT DISTINCT {reference} AS id, {names.up_note} AS note FROM mine AS later "
        f"WHERE {reference} IS NOT NULL"
    )
    down = (
        f"SELECT {_model(earlier, 'earlier')}later.id, {names.down_note} AS note "
        f"FROM mine AS earlier JOIN {later} AS later ON {reference} = earlier.id "
        f"WHERE {down_where}"
    )
    return _relation(later, earlier, names, up, down)


def lists(later: str, column: str, earlier: str, names: Names, up_where: str = "true") -> Relation:
    """Return the relation of rows that list the ids of other rows of the same prompt.

    Args:
        later: Table of the rows with the list.
        column: The list.
        earlier: Table of the rows that are listed.
        names: Names of the directions.
        up_where: Condition on `earlier` for the step up.
    """
    used = (
        "used" if column == "judgement_ids" else f"(SELECT hash(unnest({column})) AS h FROM mine)"
    )
    up = (
        f"SELECT id, {names.up_note} AS note FROM {earlier} AS earlier "
        f"SEMI JOIN {used} AS listed ON h = hash(id) WHERE {up_where}"
    )
    down = (
        f"SELECT later.id, {names.down_note} AS note FROM mine AS earlier "
        f"JOIN {later} AS later ON later.prompt_id = earlier.prompt_id "
        f"AND list_contains(later.{column}, earlier.id)"
    )
    return _relation(later, earlier, names, up, down)


def meets(later: str, earlier: str, on: str, names: Names) -> Relation:
    """Return the relation of rows that meet a condition.

    Args:
        later: Table of the later rows.
        earlier: Table of the earlier rows.
        on: The condition, SQL over `later` and `earlier`.
        names: Names of the directions.
    """
    up = (
        f"SELECT DISTINCT earlier.id, {names.up_note} AS note "
        f"FROM mine AS later JOIN {earlier} AS earlier ON {on}"
    )
    down = (
        f"SELECT later.id, {names.down_note} AS note "
        f"FROM mine AS earlier JOIN {later} AS later ON {on}"
    )
    return _relation(later, earlier, names, up, down)


def linked(later: str, earlier: str, link: str, names: Names) -> Relation:
    """Return the relation of rows that a third table connects.

    Read up, it does not look whether the earlier row is there.

    Args:
        later: Table of the later rows.
        earlier: Table of the earlier rows.
        link: A query that selects `later_id` and `earlier_id`; notes read it as `link`.
        names: Names of the directions.
    """
    up = (
        f"SELECT {_model(later, 'mine')}earlier_id AS id, {names.up_note} AS note "
        f"FROM ({link}) AS link JOIN mine ON mine.id = later_id"
    )
    down = (
        f"SELECT DISTINCT {_model(earlier, 'mine')}later_id AS id, {names.down_note} AS note "
        f"FROM ({link}) AS link JOIN mine ON mine.id = earlier_id"
    )
    return _relation(later, earlier, names, up, down)


def only_up(later: str, earlier: str, name: str, sql: str) -> Relation:
    """Return a relation that is only read up, by its own query.

    Args:
        later: Table of the later rows.
        earlier: Table of the earlier rows.
        name: Name of the step.
        sql: Selects `id` and `note`.
    """
    return Relation(later, earlier, Step(name, earlier, sql), None)


def only_down(later: str, earlier: str, name: str, sql: str) -> Relation:
    """Return a relation that is only read down, by its own query.

    Args:
        later: Table of the later rows.
        earlier: Table of the earlier rows.
        name: Name of the step.
        sql: Selects `id` and `note`.
    """
    return Relation(later, earlier, None, Step(name, later, sql))


def _relation(later: str, earlier: str, names: Names, up: str, down: str) -> Relation:
    return Relation(
        later,
        earlier,
        Step(names.up, earlier, up) if names.up else None,
        Step(names.down, later, down) if names.down else None,
    )


def _model(table: str, rows: str) -> str:
    return f"{rows}.id AS model_id, " if table == "models" else ""
