"""From how an id begins to the id: unknown and ambiguous beginnings are errors that say more."""

from collections.abc import Iterable, Sequence

from rlhf_core.errors import IdError

LISTED = 10
"""How many of several things that an id may mean are named."""


def the_only(
    wanted: str, found: Sequence[tuple[str, str]], where: str, hint: str
) -> tuple[str, str]:
    """Return what an id means, of the things whose ids begin so.

    Args:
        wanted: An id, or how it begins.
        found: What each thing is and its id; one that is `wanted` itself stands first.
        where: Among what was looked.
        hint: How to find ids.

    Raises:
        IdError: If there is none, or are several.
    """
    if not wanted or not found:
        raise IdError(f"no id begins with {wanted!r}; looked among {where}. {hint}")
    if len(found) > 1 and found[0][1] != wanted:
        named = ", ".join(f"{identity} ({what})" for what, identity in found[:LISTED])
        more = ", and more" if len(found) > LISTED else ""
        raise IdError(f"{wanted!r} begins several ids: {named}{more}; write more of it")
    return found[0]


def whole_id(wanted: str, known: Iterable[str], what: str, hint: str = "") -> str:
    """Return the id, of all that are known, that begins so.

    Args:
        wanted: An id, or how it begins.
        known: All ids that it may be.
        what: What they are ids of, in the singular.
        hint: How to find ids; by default the first ones that are known.

    Raises:
        IdError: If none or several begin so.
    """
    ids = sorted(set(known))
    begin_so = [each for each in ids if each.startswith(wanted)]
    matching = [wanted] if wanted in begin_so else begin_so
    more = ", …" if len(ids) > LISTED else ""
    listed = f"There are {', '.join(ids[:LISTED])}{more}" if ids else "There are none yet"
    found = [(what, each) for each in matching]
    return the_only(wanted, found, f"ids of {what}s", hint or listed)[1]
