"""Pages from templates, and the queries behind their figures as texts to run again."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a page.

    Args:
        template: Name of the template in flows/reports/templates.
        values: Its variables; one that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader("flows.reports"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(values)


def query_text(sql: str, parameters: Sequence[str | int] = ()) -> str:
    """Return a query with its parameters written out, as `solon sql` takes it.

    Args:
        sql: The query, with a `?` for each parameter.
        parameters: Values of the placeholders, in order.
    """
    values = iter(parameters)
    return re.sub(r"\?", lambda match: _literal(next(values)), sql).strip()


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
