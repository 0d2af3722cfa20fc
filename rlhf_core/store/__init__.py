"""The store of facts. No other package imports DuckDB."""

from rlhf_core.store.database import store_exists
from rlhf_core.store.snapshot import QueryResult, Snapshot, reading
from rlhf_core.store.store import Store

__all__ = ["QueryResult", "Snapshot", "Store", "reading", "store_exists"]
