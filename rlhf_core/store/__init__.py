"""DuckDB: the only package that imports it."""

from rlhf_core.store.audit import Answer, Snapshot, audit, reading
from rlhf_core.store.database import store_exists
from rlhf_core.store.store import Store

__all__ = ["Answer", "Snapshot", "Store", "audit", "reading", "store_exists"]
