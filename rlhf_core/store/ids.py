"""Complete the beginning of an id to the id; unknown and ambiguous beginnings are errors."""

from collections.abc import Iterable, Sequence

from rlhf_core.errors import IdError

LISTED = 10
"""Number of matching ids that an error message lists."""


def match_id(
    wanted: str, found: Sequence[tuple[str, str]], where: str, hint: str
) -> tuple[str, str]:
    """Return the only match for an id or its beginning.

    Args:
        wanted: An id, or its beginning.
        found: Kind and id of each match; an id equal to `wanted` comes first.
        where: What was searched, for the message, such as "among pairs, runs".
        hint: Advice on how to find ids.

    Returns:
        Kind and id of the match.

    Raises:
        IdError: If nothing or several things match.
    """
    if not wanted or not found:
        raise IdError(f"no id begins with {wanted!r}; looked {where}. {hint}")
    if len(found) > 1 and found[0][1] != wanted:
        named = ", ".join(f"{identity} ({what})" for what, identity in found[:LISTED])
        more = ", and more" if len(found) > LISTED else ""
        raise IdError(f"{wanted!r} begins several ids: {named}{more}; write more of it")
    return found[0]


def whole_id(wanted: str, known: Iterable[str], what: str, hint: str = "") -> str:
    """Return the only known id that equals or begins with `wanted`.

    Args:
        wanted: An id, or its beginning.
        known: All ids that it may be.
        what: Kind of thing that they identify, in the singular.
        hint: Advice on how to find ids; by default the first known ones.

    Returns:
        The whole id.

    Raises:
        IdError: If no id or several begin so.
    """
    ids = sorted(set(known))
    matches = [each for each in ids if each.startswith(wanted)]
    matching = [wanted] if wanted in matches else matches
    more = ", …" if len(ids) > LISTED else ""
    listed = f"There are {', '.join(ids[:LISTED])}{more}" if ids else "There are none yet"
    found = [(what, each) for each in matching]
    return match_id(wanted, found, f"for a {what}", hint or listed)[1]
