"""Page: one pair, with both answers, every vote and the models that learnt from it."""

from fastapi import Request
from nicegui import ui

from flows.ui.differences import mark_differences
from flows.ui.overview import model_path
from flows.ui.parts import box, copy_button, frame, link, load, soon, words
from flows.ui.prompt import draw_prompt
from flows.ui.source import Source
from flows.ui.tables import table
from flows.ui.votes import draw_votes, side_names
from rlhf_core.records.turns import Turn
from rlhf_core.store.audit.stories import Story, find_story


def register(source: Source) -> None:
    @ui.page("/pairs/{pair_id}")
    async def pair(request: Request, pair_id: str) -> None:
        with frame(request, f"Pair {pair_id}", "/pairs"), box("div", "pair") as place:
            await soon(load(place, lambda: _draw(source, pair_id)))


async def _draw(source: Source, pair_id: str) -> None:
    pair = await source.ask(find_story, "pairs", pair_id)
    _outcome(pair)
    _taint(pair)
    _prompt(pair["prompt"])
    _answers(pair)
    words("h2", "Votes")
    draw_votes(pair)
    words("h2", "What people said")
    names = side_names(pair)
    table(
        "spot checks",
        ["person", "verdict", "note", "why asked", "checked at"],
        [
            (
                check["person"],
                _verdict(check["verdict"], {"left": names[pair["left_id"]],
                                            "right": names[pair["right_id"]]}),
                check["note"],
                check["strategy"].replace("_", " "),
                check["checked_at"],
            )
            for check in pair["spot_checks"]
        ],
        optional=["note"],
        empty="Nobody checked these two answers yet; Spot check, above, asks people about pairs.",
    )  # fmt: skip
    words("h2", "Models that learnt from it")
    table(
        "models that learnt from it",
        ["model", "kind", "how", "made at"],
        [
            (
                model["id"],
                model["kind"],
                f"from its {model['learnt_from']}" if model["is_direct"]
                else "by a model behind it",
                model["created_at"],
            )
            for model in pair["models"]
        ],
        links={0: model_path},
        empty="None yet: `solon run` trains on new pairs in its next cycle.",
    )  # fmt: skip
    words("h2", "Where it comes from")
    _origin(pair)


def _verdict(said: str, names: dict[str, str]) -> str:
    return f"prefers {names[said]}" if said in names else said


def _outcome(pair: Story) -> None:
    with box("p", "facts"):
        words("b", pair["outcome"], f"outcome {pair['outcome']}")
        for name in ("margin", "agreement"):
            if pair[name] is not None:
                words("span", f"{name} {pair[name]:.3g}")
        counted = len(pair["judgement_ids"])
        words("span", f"{counted} judgement{'' if counted == 1 else 's'} counted")
        copy_button(pair["id"])


def _taint(pair: Story) -> None:
    """Draw a warning for each retracted fact that the pair rests on."""
    for cause in pair["tainted_by"]:
        with box("p", "warning"):
            what = cause["subject_table"].removesuffix("s").replace("_", " ")
            words(
                "span",
                f"Not relied on any more: {what} {cause['subject_id']} was retracted by "
                f"{cause['retracted_by']} ({cause['reason']}).",
            )


def _prompt(prompt: Story | None) -> None:
    words("h2", "Prompt")
    if prompt is None:
        words("p", "The prompt is not in the store.", "error")
        return
    words("p", f"{prompt['mode'].replace('_', ' ')}, {prompt['split']}", "soft")
    turns = [Turn(**turn) for turn in prompt["turns"]]
    draw_prompt(prompt["text"], prompt["context"], turns)
    for reference in prompt["reference_answers"]:
        with box("div", "reference"):
            words("span", "reference answer", "soft")
            words("pre", reference, "text")


def _answers(pair: Story) -> None:
    words("h2", "Answers")
    by_id = {pair[f"{side}_id"]: answer for side, answer in pair["answers"].items()}
    shown = [(name, by_id[identity]) for identity, name in side_names(pair).items()]
    both = mark_differences(*(answer["text"] if answer else "" for _, answer in shown))
    if both is None:
        words("p", "The answers are too long for differing words to be marked.", "soft")
    with box("div", "answers"):
        for place, (name, answer) in enumerate(shown):
            with box("section", f"answer {name}"):
                words("h3", name)
                if answer is None:
                    words("p", "This answer is not in the store.", "error")
                    continue
                if both is None:
                    words("pre", answer["text"], "text")
                else:
                    # Escaped by `mark_differences`, and sanitized once more where it is shown.
                    ui.html(str(both[place]), tag="pre").classes("text")
                _sampling(answer)


def _sampling(answer: Story) -> None:
    with box("p", "soft sampled"):
        words(
            "span",
            f"{answer['completion_tokens']} tokens, ended by {answer['finish_reason']}; "
            f"temperature {answer['temperature']:.3g}",
        )
        if answer["mean_logprob"] is not None:
            words("span", f", {answer['mean_logprob']:.3g} nats a token")
        words("span", "; sampled from ")
        link(answer["model_id"], model_path(answer["model_id"]))


def _origin(pair: Story) -> None:
    with box("dl", "origin"):
        for name in ("id", "ranking_id", "prompt_id", "left_id", "right_id", "config_hash",
                     "run_id", "code_version", "created_at"):  # fmt: skip
            words("dt", name.removesuffix("_id").replace("_", " ") if name != "id" else "pair")
            words("dd", pair[name])
