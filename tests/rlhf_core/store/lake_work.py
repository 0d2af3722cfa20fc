"""Work on a lake in a process of its own: python -m tests.rlhf_core.store.lake_work ADDRESS WHAT.

WHAT is `append FIRST COUNT [BATCH]` (candidates in batches of five, or of so many; their ids are
printed once they are stored), `counts`, `texts` (of the candidates as they read back) or
`audit SQL`; all print JSON. DuckLake keeps the rows of batches below ten in its catalog.
"""

import json
import sys

from rlhf_core.records import Candidate
from rlhf_core.store import Store, audit
from tests.facts import candidate, prompt


def append(store: Store, first: int, count: int, batch: int = 5) -> None:
    store.append([prompt()])
    for start in range(first, first + count, batch):
        numbers = range(start, min(start + batch, first + count))
        facts = [candidate(f"text '{n}' 日本", n, token_ids=(n, 2)) for n in numbers]
        store.append(facts)
        print(json.dumps([fact.id for fact in facts]), flush=True)


def main() -> None:
    address, what, *arguments = sys.argv[1:]
    if what == "audit":
        found = audit(address, arguments[0])
        print(json.dumps({"columns": found.columns, "rows": found.rows}, default=str))
        return
    store = Store(address, run_id="lake")
    if what == "append":
        append(store, *map(int, arguments))
    elif what == "counts":
        print(json.dumps(store.counts()))
    elif what == "texts":
        print(json.dumps([[c.text, c.token_ids] for c in store.rows(Candidate)]))


if __name__ == "__main__":
    main()
