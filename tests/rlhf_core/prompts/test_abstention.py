import pytest

from rlhf_core.config.sft import AbstentionSettings
from rlhf_core.prompts.unknown import choose_abstentions, draw_wording, is_unknown
from rlhf_core.text.declining import declines

WORDINGS = AbstentionSettings.model_fields["wordings"].default


@pytest.mark.parametrize(
    ("scores", "unknown"),
    [
        ([0.0, 0.49], True),
        ([0.0, 0.5], False),  # at the threshold an answer is right
        ([0.0, None], False),  # unscored is not wrong
        ([None, None], False),
        ([], False),
    ],
)
def test_a_prompt_is_unknown_where_every_answer_is_wrong(scores: list[float | None], unknown: bool):
    assert is_unknown(scores, 0.5) is unknown


@pytest.mark.parametrize(
    ("others", "max_share", "count"),
    [
        (6, 0.2, 2),  # 2 of 10
        (5, 0.2, 1),  # 2 of 9 would be more than a fifth
        (0, 0.5, 2),  # 2 of 4
        (6, 0.99, 4),  # there are no more
        (0, 0.2, 0),  # 1 of 4 would be more than a fifth
    ],
)
def test_no_more_than_a_share_of_the_demonstrations_become_abstentions(
    others: int, max_share: float, count: int
):
    """Four are unknown, and each prompt has one demonstration."""
    unknown = ["a", "b", "c", "d"]
    shown = dict.fromkeys([*unknown, *(f"other {n}" for n in range(others))], 1)
    assert len(choose_abstentions(unknown, shown, max_share)) == count


def test_an_abstention_replaces_all_demonstrations_of_its_prompt():
    """Four prompts have two each: two abstentions leave six, and are a third of them."""
    shown = dict.fromkeys(["a", "b", "c", "d"], 2)
    assert len(choose_abstentions(["a", "b", "c", "d"], shown, 1 / 3)) == 2
    assert len(choose_abstentions(["a", "b", "c", "d"], shown, 0.32)) == 1


def test_who_is_drawn_does_not_depend_on_the_order():
    names = [f"prompt {n}" for n in range(20)]
    shown = dict.fromkeys(names, 1)
    chosen = choose_abstentions(names, shown, 0.25)
    assert len(chosen) == 5
    assert choose_abstentions(names[::-1], shown, 0.25) == chosen
    assert chosen != names[:5]


def test_every_wording_of_ours_declines_and_all_are_drawn():
    """Among those, too, that a hash chose to be taught: the two draws are apart."""
    assert all(declines(wording) for wording in WORDINGS)
    assert len(set(WORDINGS)) == len(WORDINGS)
    names = [f"prompt {n}" for n in range(500)]
    chosen = choose_abstentions(names, dict.fromkeys(names, 1), 0.2)
    assert {draw_wording(name, WORDINGS) for name in chosen} == set(WORDINGS)
    assert draw_wording("one", WORDINGS) == draw_wording("one", WORDINGS)
