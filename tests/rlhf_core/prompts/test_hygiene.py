import itertools
import json

from rlhf_core.config.prompts import HygieneSettings
from rlhf_core.files.dialogues import text_of
from rlhf_core.prompts.hygiene import LeftOut, find_removals
from rlhf_core.records import Prompt, Removal
from rlhf_core.records.conversation import USER
from tests.facts import prompt

LEAVES = "How do the leaves of an oak tree change their colour in autumn"
QUESTIONS = [
    prompt(f"{LEAVES}?"),
    prompt(f"{LEAVES} ?"),
    prompt(f"{LEAVES.upper()}?!"),
    prompt("How do the leaves of a birch stay white?"),
    prompt("Write a haiku."),
]


def out(prompts: list[Prompt], users: dict[str, set[str]] | None = None, **rules: object):
    return find_removals(prompts, users or {}, HygieneSettings.model_validate(rules))


def test_no_rule_leaves_nothing_out():
    assert out(QUESTIONS) == {}


def test_of_prompts_with_the_same_long_beginning_one_stays():
    """Three share 22 characters; one is shorter than that, and upper case is another beginning."""
    same = [QUESTIONS[0], QUESTIONS[1], QUESTIONS[3]]
    first, *others = sorted(same, key=lambda one: one.id)
    expected = {one.id: LeftOut(Removal.SHARED_PREFIX, first.id) for one in others}
    assert out(QUESTIONS, shared_prefix_chars=len("How do the leaves of a")) == expected
    assert out(QUESTIONS, shared_prefix_chars=500) == {}


def test_of_near_duplicates_one_stays_in_whatever_order_they_are_read():
    """Case, spaces and a mark at the end aside, three are one; the birch has other words."""
    first, *others = sorted(QUESTIONS[:3], key=lambda one: one.id)
    expected = {one.id: LeftOut(Removal.NEAR_DUPLICATE, first.id) for one in others}
    for order in itertools.permutations(QUESTIONS[:4]):
        assert out(list(order), near_duplicate=0.9) == expected


def test_similarity_is_the_exact_share_of_pieces():
    """Ten letters are six pieces of five; with another last one, five in common of seven."""
    alike = [prompt("abcdefghij"), prompt("abcdefghiX")]
    assert len(out(alike, near_duplicate=5 / 7)) == 1
    assert out(alike, near_duplicate=5 / 7 + 1e-9) == {}


def test_near_duplicates_hang_together_by_a_chain():
    chain = [prompt("abcdefghij" + tail) for tail in ("", "k", "kl", "klm")]
    found = out(chain, near_duplicate=0.8)
    assert {left.kept_id for left in found.values()} == {min(one.id for one in chain)}
    assert len(found) == 3


def test_the_same_question_about_other_texts_is_no_repetition():
    about = [prompt("Summarise the text.", context=text) for text in ("Rain fell.", "Snow fell.")]
    assert out(about, near_duplicate=0.5, shared_prefix_chars=5) == {}


def test_of_two_questions_about_one_text_both_stay():
    """As one string they would be alike; so contexts take no part in the comparison."""
    text = "Rain fell on the hills all night, and in the morning the river had left its bed. " * 9
    about = [prompt(text=words, context=text) for words in ("Where did it rain?", "What rose?")]
    assert out(about, near_duplicate=0.5, shared_prefix_chars=10) == {}


def test_a_user_has_at_most_so_many_prompts():
    """Ann sent all five, Bob one of them: what Ann has too many of, Bob's stays out with it."""
    users = {one.id: {"ann"} for one in QUESTIONS}
    last = max(QUESTIONS, key=lambda one: one.id)
    users[last.id] = {"ann", "bob"}
    ids = sorted(users)
    assert out(QUESTIONS, users, max_per_user=2) == dict.fromkeys(
        ids[2:], LeftOut(Removal.PER_USER)
    )
    assert out(QUESTIONS, {last.id: {"bob"}}, max_per_user=1) == {}


def test_repetitions_do_not_use_up_a_users_share():
    users = {one.id: {"ann"} for one in QUESTIONS[:4]}
    found = out(QUESTIONS, users, near_duplicate=0.9, max_per_user=2)
    assert {left.reason for left in found.values()} == {Removal.NEAR_DUPLICATE}


SYSTEM = {"role": "system", "content": "You are a botanist who answers in one short sentence."}
CHAT = [
    {"role": "user", "content": LEAVES},
    {"role": "assistant", "content": "They turn red."},
    {"role": "user", "content": "And those of a birch?"},
]


def chat(*messages: dict[str, str], **fields: object) -> Prompt:
    return prompt(text_of(messages, USER), messages=json.dumps(messages), **fields)


def test_a_shared_system_message_makes_no_repetition():
    asked = [chat(SYSTEM, {"role": "user", "content": text}) for text in ("Why is it red?", "Hi!")]
    assert out(asked, near_duplicate=0.5, shared_prefix_chars=20) == {}


def test_conversations_that_ask_the_same_under_one_system_message_repeat_each_other():
    again = {"role": "user", "content": "And those of a birch tree?"}
    asked = [chat(SYSTEM, *CHAT), chat(SYSTEM, *CHAT[:2], again)]
    first, second = sorted(one.id for one in asked)
    assert out(asked, near_duplicate=0.8) == {second: LeftOut(Removal.NEAR_DUPLICATE, first)}
    assert out(asked, shared_prefix_chars=60) == {second: LeftOut(Removal.SHARED_PREFIX, first)}


def test_the_same_conversation_under_other_instructions_or_with_other_tools_is_no_repetition():
    other = {**SYSTEM, "content": "You are a poet."}
    tools = json.dumps([{"type": "function", "function": {"name": "search"}}])
    asked = [chat(*CHAT), chat(SYSTEM, *CHAT), chat(other, *CHAT), chat(*CHAT, tools=tools)]
    assert out(asked, near_duplicate=0.5, shared_prefix_chars=5) == {}


def test_worked_examples_are_not_compared():
    examples = json.dumps([{"role": "user", "content": LEAVES}, CHAT[1]])
    asked = [prompt(text, few_shot=examples) for text in ("Why is it red?", "Write a haiku.")]
    assert out(asked, near_duplicate=0.5, shared_prefix_chars=15) == {}
    (repeated,) = out([asked[0], prompt("Why is it red?")], near_duplicate=0.9).values()
    assert repeated.reason is Removal.NEAR_DUPLICATE
