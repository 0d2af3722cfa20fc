"""A user's facts go from a lake: from its rows, its former snapshots, its catalog, its copy."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.rlhf_core.store.lakes import Lake, PostgreSQL, object_store

USER, MARK = "ann-7f3a9c", "q7z4hx"
KEYS = {"AWS_ACCESS_KEY_ID": "key-7f3a", "AWS_SECRET_ACCESS_KEY": "secret"}
KEPT = ("prompt_sets", "deletions", "prompt_tombstones")
"""Tables that tell of a deletion, or are made shorter by one."""


class Case:
    """A lake before and after a user was forgotten."""

    def __init__(self, lake: Lake, files: Callable[[], dict[str, bytes]]) -> None:
        self.lake, self._files = lake, files
        self.before: dict[str, list[dict[str, Any]]] = {}
        self.after: dict[str, list[dict[str, Any]]] = {}
        self.said: dict[str, Any] = {}

    def rows(self) -> str:
        """Return the content of the Parquet files, whose bytes are compressed."""
        files = self._files().values()
        return " ".join(str(pq.read_table(io.BytesIO(found)).to_pylist()) for found in files)

    def snapshot(self) -> bytes:
        cache = self.lake.libraries.parent / ".cache" / "solon"
        return b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*.parquet")}


@pytest.fixture(scope="module", params=["folder", "bucket"])
def stored(
    request: pytest.FixtureRequest,
    libraries: Path,
    server: PostgreSQL,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Case]:
    server.create(request.param)
    if request.param == "folder":
        rows = tmp_path_factory.mktemp("rows")
        yield Case(Lake(libraries, server.address(rows, "folder")), lambda: files_in(rows))
        return
    with object_store(tmp_path_factory.mktemp("objects") / "libraries") as bucket:
        yield Case(
            Lake(libraries, server.address(bucket.options, "bucket"), **KEYS), bucket.objects
        )


@pytest.fixture(scope="module")
def forgotten(stored: Case, server: PostgreSQL) -> Case:
    lake = stored.lake
    lake.said("fill", USER, MARK)
    stored.before = lake.found("rows")
    assert f"zz-{MARK}-17" in stored.rows()
    for place in (server.pages(), stored.snapshot()):
        assert f"{MARK}-prompt".encode() in place, "must be there to be deleted"
        assert USER.encode() in place
    stored.said = lake.found("forget", USER)
    stored.after = lake.found("rows")
    return stored


@pytest.mark.slow
def test_no_byte_of_the_user_is_left(forgotten: Case, server: PostgreSQL):
    for place in (forgotten.rows().encode(), server.pages(), forgotten.snapshot()):
        assert MARK.encode() not in place
        assert USER.encode() not in place
        assert b"plain" in place


@pytest.mark.slow
def test_all_other_facts_stay_as_they_were(forgotten: Case):
    before, after = forgotten.before, forgotten.after
    gone = {table: len(before[table]) - len(after[table]) for table in before}
    assert {table: n for table, n in gone.items() if n > 0} == forgotten.said["rows"]
    assert forgotten.said["rows"]["candidates"] == 32
    for table in set(before) - set(KEPT):
        kept = {row["id"] for row in after[table]}
        assert [row for row in before[table] if row["id"] in kept] == after[table]
    assert len(after["prompt_sets"][0]["prompt_ids"]) == 2
    assert len(after["prompt_tombstones"]) == 2
    (deletion,) = after["deletions"]
    assert "candidates" in deletion["deleted_rows"]


@pytest.mark.slow
def test_the_lake_takes_facts_and_answers_as_before(forgotten: Case):
    forgotten.lake.said("append", "0", "20", "20")
    counted = forgotten.lake.found(
        "audit", "SELECT count(*) FROM candidates WHERE text LIKE '%日%'"
    )
    assert counted["rows"] == [[20]]


@pytest.mark.slow
def test_what_a_killed_writer_left_is_told_and_not_deleted(lake: Lake, lakes: Any):
    """Another lake might own it."""
    lake.said("fill", USER, MARK)
    found = [path for path in lakes.rows.rglob("*.parquet") if "candidates" in path.parts]
    (hers,) = [path for path in found if MARK in str(pq.read_table(path).to_pylist())]
    stray = Path(shutil.copy(hers, hers.with_name("stray.parquet")))
    hers.with_name("short.parquet").write_bytes(hers.read_bytes()[:-20])
    hers.with_name("empty.parquet").write_bytes(b"")
    (other,) = [path for path in found if "zz-plain" in str(pq.read_table(path).to_pylist())]
    shutil.copy(other, hers.with_name("other.parquet"))
    said = lake.found("forget", USER)
    left = {Path(path).name for path in said["left_files"]}
    assert left == {"stray.parquet", "short.parquet", "empty.parquet"}
    assert stray.exists()
    assert not hers.exists()


@pytest.mark.slow
def test_what_somebody_still_sees_is_an_error_and_goes_the_next_time(
    lake: Lake, server: PostgreSQL
):
    lake.said("fill", USER, MARK)
    database = lake.address.split("?")[0].rsplit("/", 1)[1]
    with server.reader(database):
        _, err = (process := lake.start("forget", USER)).communicate(timeout=600)
    assert process.returncode != 0
    assert "still see what was deleted; end them, run again" in err
    assert MARK.encode() in server.pages()
    assert lake.found("forget", USER)["rows"] == {}
    assert MARK.encode() not in server.pages()


@pytest.mark.slow
def test_a_key_that_only_this_machine_has_is_no_key_of_a_lake(lake: Lake):
    del lake.environment["SOLON_USER_KEY"]
    _, err = (process := lake.start("forget", USER)).communicate(timeout=600)
    assert process.returncode != 0
    assert "is shared: set SOLON_USER_KEY to the same secret on every machine" in err
