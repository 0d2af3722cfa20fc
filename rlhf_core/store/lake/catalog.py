"""Connections of DuckDB to a lake's catalog in PostgreSQL, and the extensions that they need."""

from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb

from rlhf_core.errors import StoreBusyError, StoreError

NO_DOWNLOADS: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
METADATA_SCHEMA = "solon"


def attach_catalog(connection: duckdb.DuckDBPyConnection, catalog: str, name: str) -> None:
    """Attach the catalog's PostgreSQL database, as one database beside the lake.

    Args:
        connection: A connection with the extension postgres_scanner.
        catalog: PostgreSQL URL without a password.
        name: Name under which it is attached.

    Raises:
        StoreBusyError: If it cannot be reached.
    """
    try:
        connection.execute(f"ATTACH '{quoted(catalog)}' AS {name} (TYPE postgres)")
    except duckdb.Error as error:
        raise StoreBusyError(f"store: no catalog at {catalog}: {reason(error)}") from None


def load_extension(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    """Load an extension from its wheel, or the one that the user installed with INSTALL.

    Raises:
        StoreError: If it is not installed or cannot be loaded.
    """
    try:
        folder = Path(str(import_module(f"duckdb_extension_{extension}").__file__)).parent
        source = folder / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
        connection.execute(f"LOAD '{quoted(str(source))}'")
    except ImportError:
        try:
            connection.execute(f"LOAD {extension}")
        except duckdb.Error:
            raise StoreError(
                f"a store on DuckLake needs DuckDB's extension {extension}, which DuckDB "
                f"{duckdb.__version__} does not have here: `pip install 'solon[lake]'`"
            ) from None
    except duckdb.Error as error:
        raise StoreError(f"extension {extension} cannot be loaded: {reason(error)}") from None


def query_catalog(
    connection: duckdb.DuckDBPyConnection, name: str, sql: str
) -> list[tuple[object, ...]]:
    """Return the rows of a query that PostgreSQL runs.

    Args:
        connection: A connection with the catalog attached.
        name: Name under which it is attached.
        sql: A query in PostgreSQL's dialect.
    """
    return connection.execute(
        f"SELECT * FROM postgres_query('{name}', $sql)", {"sql": sql}
    ).fetchall()


def quoted(text: str) -> str:
    """Return a text with its quotes doubled, to stand between quotes in SQL."""
    return text.replace("'", "''")


def reason(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())
