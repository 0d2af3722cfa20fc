"""Page: one pair, with both answers, every vote and the models that learnt from it."""

from typing import Any

from fastapi import Request
from nicegui import ui

from flows.ui.differences import marked
from flows.ui.overview import model_path
from flows.ui.parts import box, frame, link, load, table, words
from flows.ui.source import Source
from flows.ui.votes import draw_votes
from rlhf_core.store.page_details import PairDetail, pair_detail


def register(source: Source) -> None:
    @ui.page("/pairs/{pair_id}")
    def pair(request: Request, pair_id: str) -> None:
        with frame(request, f"Pair {pair_id}", "/pairs"), box("div", "pair") as place:
            load(place, lambda: _draw(source, pair_id))


async def _draw(source: Source, pair_id: str) -> None:
    found = await source.ask(pair_detail, pair_id)
    if found is None:
        words("p", "The store holds no such pair, or the snapshot is older than it.", "error")
        return
    _outcome(found.pair)
    _prompt(found.prompt)
    _answers(found)
    words("h2", "Votes")
    draw_votes(found)
    words("h2", "Models that learnt from it")
    table(
        "models that learnt from it",
        ["model", "kind", "by", "made at"],
        [(m["id"], m["kind"], m["learnt_from"], m["created_at"]) for m in found.models],
        links={0: model_path},
    )
    words("h2", "Where it comes from")
    _origin(found)


def _outcome(pair: dict[str, Any]) -> None:
    with box("p", "facts"):
        words("b", pair["outcome"], f"outcome {pair['outcome']}")
        for name in ("margin", "agreement"):
            if pair[name] is not None:
                words("span", f"{name} {pair[name]:.3g}")
        words("span", f"{len(pair['judgement_ids'])} judgements counted")


def _prompt(prompt: dict[str, Any] | None) -> None:
    words("h2", "Prompt")
    if prompt is None:
        words("p", "The prompt is not in the store.", "error")
        return
    words("p", f"{prompt['mode'].replace('_', ' ')}, {prompt['split']}", "soft")
    if prompt["context"]:
        words("pre", prompt["context"], "text context")
    words("pre", prompt["text"], "text prompt")
    for reference in prompt["reference_answers"]:
        with box("div", "reference"):
            words("span", "reference answer", "soft")
            words("pre", reference, "text")


def _answers(found: PairDetail) -> None:
    words("h2", "Answers")
    texts = [answer["text"] if answer else "" for answer in (found.first, found.second)]
    both = marked(*texts)
    is_preferred = found.pair["outcome"] == "preferred"
    names = ("chosen", "rejected") if is_preferred else ("left", "right")
    if both is None:
        words("p", "The answers are too long for differing words to be marked.", "soft")
    with box("div", "answers"):
        for place, (name, answer) in enumerate(
            zip(names, (found.first, found.second), strict=True)
        ):
            with box("section", f"answer {name}"):
                words("h3", name)
                if answer is None:
                    words("p", "This answer is not in the store.", "error")
                    continue
                if both is None:
                    words("pre", answer["text"], "text")
                else:
                    # Escaped by `marked`, and sanitized once more where it is shown.
                    ui.html(str(both[place]), tag="pre").classes("text")
                words(
                    "p",
                    f"{answer['completion_tokens']} tokens, ended by {answer['finish_reason']}; "
                    f"sample {answer['sample_index']} of {answer['model_id']}, seed "
                    f"{answer['seed']}, temperature {answer['temperature']:.3g}",
                    "soft",
                )


def _origin(found: PairDetail) -> None:
    pair, answer = found.pair, found.first or found.second
    with box("dl", "origin"):
        for name in ("id", "ranking_id", "prompt_id", "left_id", "right_id", "config_hash",
                     "run_id", "code_version", "created_at"):  # fmt: skip
            words("dt", name.removesuffix("_id").replace("_", " ") if name != "id" else "pair")
            words("dd", pair[name])
        if answer is not None:
            words("dt", "sampled from")
            with box("dd"):
                link(answer["model_id"], model_path(answer["model_id"]))
