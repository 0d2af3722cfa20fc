"""`solon judges`: the judges by themselves, outside a cycle."""

import typer

from flows._screen import AsJson, print_json, print_table

app = typer.Typer(help="The judges by themselves.", no_args_is_help=True)


@app.command("list")
def list_judges(as_json: AsJson = False) -> None:
    """Every judge that a config can name, with its options and their defaults."""
    from judges import describe

    found = describe()
    if as_json:
        print_json(found)
    else:
        rows = [(j["kind"], j["what"], ", ".join(j["options"])) for j in found]
        print_table(["judge", "what it does", "options"], rows)
