"""DuckDB: the only package that imports it."""

from rlhf_core.store.audit import Answer, audit
from rlhf_core.store.store import Store

__all__ = ["Answer", "Store", "audit"]
