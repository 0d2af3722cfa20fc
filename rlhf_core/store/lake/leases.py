"""Claims in a lake: leases in a table of its catalog, which their holders renew.

PostgreSQL's clock decides, so those of the machines need not agree. A lock of PostgreSQL would hold
a transaction open for as long as a training takes, and so keep what is deleted meanwhile from being
erased.
"""

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import duckdb

from rlhf_core.errors import StoreBusyError, StoreError
from rlhf_core.store.disk.claims import UNKNOWN, Holder
from rlhf_core.store.lake.catalog import (
    METADATA_SCHEMA,
    NO_DOWNLOADS,
    attach_catalog,
    load_extension,
    query_catalog,
    quoted,
    reason,
)

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
RENEWAL_SECONDS = 15.0
CATALOG = "catalog"
TABLE = f"{METADATA_SCHEMA}.leases"
CREATE = (
    f"CREATE SCHEMA IF NOT EXISTS {METADATA_SCHEMA}; CREATE TABLE IF NOT EXISTS {TABLE} "
    "(work text PRIMARY KEY, token text, holder text, until timestamptz)"
)
TAKE = (
    f"INSERT INTO {TABLE} VALUES ('{{work}}', '{{token}}', '{{holder}}', now() + interval "
    f"'{LEASE_SECONDS} s') ON CONFLICT (work) DO UPDATE SET token = excluded.token, "
    f"holder = excluded.holder, until = excluded.until WHERE {TABLE}.until < now()"
)
READ = f"SELECT token, holder FROM {TABLE} WHERE work = '{{work}}'"
RENEW = (
    f"UPDATE {TABLE} SET until = now() + interval '{LEASE_SECONDS} s' "
    "WHERE work = '{work}' AND token = '{token}'"
)
RELEASE = f"DELETE FROM {TABLE} WHERE work = '{{work}}' AND token = '{{token}}'"


class LeaseClaim:
    """A claim among all machines that share a lake.

    Args:
        catalog: PostgreSQL URL of the lake's catalog.
        work: Name of the work.
    """

    poll_seconds = 2.0

    def __init__(self, catalog: str, work: str) -> None:
        self._catalog, self._work, self._token = catalog, work, uuid.uuid4().hex
        self._ended = threading.Event()

    def take(self) -> Holder | None:
        with self._connected() as connection:
            _execute(connection, CREATE)
            _execute(connection, self._filled(TAKE, holder=json.dumps(asdict(Holder()))))
            holder = self._other(connection)
        if holder is None:
            threading.Thread(target=self._renew, daemon=True, name=f"lease of {self._work}").start()
        return holder

    def release(self) -> None:
        self._ended.set()
        try:
            with self._connected() as connection:
                _execute(connection, self._filled(RELEASE))
        except StoreError as error:
            logger.warning("the claim on %s ends by itself: %s", self._work, error)

    def _renew(self) -> None:
        # Rows have content ids, so a lost claim costs work done twice and no facts.
        while not self._ended.wait(RENEWAL_SECONDS):
            try:
                with self._connected() as connection:
                    _execute(connection, self._filled(RENEW))
                    holder = self._other(connection)
            except StoreError as error:
                logger.warning("the claim on %s was not renewed: %s", self._work, error)
                continue
            if holder is not None and not self._ended.is_set():
                logger.warning("the claim on %s expired, and another process took it", self._work)
                return

    def _other(self, connection: duckdb.DuckDBPyConnection) -> Holder | None:
        """Return the process that holds the claim; None if it is this one."""
        rows = query_catalog(connection, CATALOG, self._filled(READ))
        if not rows:
            return UNKNOWN
        return None if rows[0][0] == self._token else _holder(str(rows[0][1]))

    def _filled(self, sql: str, holder: str = "") -> str:
        return sql.format(work=quoted(self._work), token=self._token, holder=quoted(holder))

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = duckdb.connect(config=NO_DOWNLOADS)
        try:
            load_extension(connection, "postgres_scanner")
            attach_catalog(connection, self._catalog, CATALOG)
            yield connection
        except duckdb.Error as error:
            raise StoreBusyError(
                f"store {self._catalog}: the claim on {self._work}: {reason(error)}"
            ) from None
        finally:
            connection.close()


def _execute(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    connection.execute(
        "CALL postgres_execute($catalog, $sql, use_transaction => false)",
        {"catalog": CATALOG, "sql": sql},
    )


def _holder(note: str) -> Holder:
    known = json.loads(note)
    return Holder(str(known["host"]), int(known["pid"]), str(known["since"]))
