"""The files that define the store's views: those of the folder `views`, and generated ones."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rlhf_core.identity import digest
from rlhf_core.store.generated_views import check_duplicate_ids, check_orphans, run_rows

FILES = (
    "opinions.sql",
    "votes.sql",
    "judges.sql",
    "people.sql",
    "prompts.sql",
    "texts.sql",
    "runs.sql",
    "models.sql",
    "tainted.sql",
    "triggers.sql",
    "quarantine.sql",
    "checks.sql",
)
"""Files in the order in which they are applied: a view must come after those that it reads."""


@dataclass(frozen=True)
class ViewFile:
    name: str
    sql: str

    @property
    def hash(self) -> str:
        return digest(self.sql.encode())


@cache
def all_view_files() -> list[ViewFile]:
    """Return the files of views in the order in which they are applied.

    To remove a view, drop it in a migration: files only create and replace views.
    """
    folder = files(__package__) / "views"
    generated = "\n".join([run_rows(), check_duplicate_ids(), check_orphans()])
    return [
        ViewFile("generated", generated),
        *(ViewFile(name, (folder / name).read_text(encoding="utf-8")) for name in FILES),
    ]
