"""Work on a lake in a process of its own: python -m tests.rlhf_core.store.lake_work ADDRESS WHAT.

WHAT is one of these; all print JSON:
    append FIRST COUNT [BATCH]   candidates in batches of five, or of so many; their ids are printed
                                 once they are stored. DuckLake keeps less than ten in its catalog.
    counts                       of the rows of every table
    texts                        of the candidates, as they read back
    audit SQL
    attempt                      each line of standard input, as an auditor: its answer or its error
    same FILE                    which views and named queries find other rows than over that file
    fill USER MARK               what came from prompts of the user, some of it with more rows than
                                 the catalog keeps, and of a user "other"; MARK is in its texts
    rows                         of all tables, each with its id first
    forget USER
"""

import json
import sys
from dataclasses import asdict

from rlhf_core.errors import QueryError
from rlhf_core.records import Candidate, PromptSet
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.describe import relations
from rlhf_core.store.audit.named import named_queries
from rlhf_core.store.forgetting import forget
from tests.facts import candidate, prompt, query_store
from tests.rlhf_core.store.user_facts import MODELS, asked, chain


def append(store: Store, first: int, count: int, batch: int = 5) -> None:
    store.append([prompt()])
    for start in range(first, first + count, batch):
        numbers = range(start, min(start + batch, first + count))
        facts = [candidate(f"text '{n}' 日本", n, token_ids=(n, 2)) for n in numbers]
        store.append(facts)
        print(json.dumps([fact.id for fact in facts]), flush=True)


def attempt(address: str) -> None:
    with reading(address) as snapshot:
        for sql in sys.stdin:
            try:
                found = {"rows": snapshot.query(sql, timeout_seconds=5).rows}
            except QueryError as error:
                found = {"refused": str(error)}
            print(json.dumps(found, default=str), flush=True)


def same(address: str, file: str) -> None:
    with reading(address) as ours, reading(file) as theirs:
        # When a migration ran is a fact of each store alone.
        wanted = {one.name for one in relations(theirs)} - {"migrations"}
        asked = {name: (f"SELECT * FROM {name}", {}) for name in wanted}
        queries = named_queries()
        for query in queries.values():
            given = {name: query.defaults.get(name, "x") for name in query.meanings}
            asked[f"query {query.name}"] = (query.sql, given)
        differ = [
            name
            for name, (sql, parameters) in asked.items()
            if sorted(map(repr, ours.query(sql, parameters).rows))
            != sorted(map(repr, theirs.query(sql, parameters).rows))
        ]
    print(json.dumps({"relations": len(wanted), "queries": len(queries), "differ": differ}))


def fill(store: Store, user: str, mark: str) -> None:
    store.append(MODELS)
    shared, shared_of_user = asked(user, "shared")
    _, shared_of_other = asked("other", "shared")
    store.append([shared, shared_of_user, shared_of_other])
    prompts = [shared.id]
    for name, of in ((user, mark), ("other", "plain")):
        prompt, sent = asked(name, of)
        prompts.append(prompt.id)
        store.append([prompt, sent, *chain(prompt, of)])
        many = [candidate(f"zz-{of}-{n}", n, prompt_id=prompt.id) for n in range(10, 40)]
        store.append(many)
    store.append([PromptSet(source="f", prompt_ids=tuple(prompts))])
    store.publish()


def rows(store: Store) -> dict[str, list[dict[str, object]]]:
    return {table: store.query(f"SELECT * FROM {table} ORDER BY id") for table in store.counts()}


def main() -> None:
    address, what, *arguments = sys.argv[1:]
    if what == "audit":
        found = query_store(address, arguments[0])
        print(json.dumps({"columns": found.columns, "rows": found.rows}, default=str))
        return
    if what == "attempt":
        attempt(address)
        return
    if what == "same":
        same(address, arguments[0])
        return
    store = Store(address, run_id="lake")
    if what == "append":
        append(store, *map(int, arguments))
    elif what == "counts":
        print(json.dumps(store.counts()))
    elif what == "fill":
        fill(store, *arguments)
    elif what == "rows":
        print(json.dumps(rows(store), default=str))
    elif what == "forget":
        print(json.dumps(asdict(forget(store, arguments[0]))))
    elif what == "texts":
        print(json.dumps([[c.text, c.token_ids] for c in store.rows(Candidate)]))


if __name__ == "__main__":
    main()
