"""Texts that try to become more than text, a store full of them, and whether they did."""

from pathlib import Path
from typing import Any

from rlhf_core.records import (
    HumanVerdict,
    Judgement,
    ModelKind,
    ModelVersion,
    Pair,
    Promotion,
    Retraction,
    SpotCheck,
    StageRun,
    Strategy,
)
from rlhf_core.store import Store
from tests.facts import prompt
from tests.flows.ui.filled import facts_of

PAYLOADS = (
    "<script>window.pwned=1;alert(1)</script>",
    "<img src=x onerror=\"window.pwned=1;alert(2)\"><b class='pwned'>bold</b>",
    "</textarea></style></title><svg onload=alert(3)>",
    "`${window.pwned=1}`{{constructor.constructor('window.pwned=1')()}}",
    "# heading [link](javascript:alert(4)) ![x](http://elsewhere.example/x.png)",
    'graph TD; A["<img src=x onerror=alert(5)>"] --> B; click A call alert(6)',
    "\x1b]0;title\x07\x1b[31mred\x1b[0m\x00",
    "safe \u202egnitrever\u2066 text\u200b",
    '":onclick": "alert(7)", {a|rich} {b} __proto__ %{x}',
)
HOSTILE = "\n".join(PAYLOADS)
# The library's own script holds a page's texts as data, quoted, and is not counted.
CREATED = """
document.querySelectorAll(
  "img[src='x'], .pwned, svg[onload], [onerror], a[href^='javascript']"
).length
+ [...document.scripts].filter(script => /pwned|alert\\(/.test(script.textContent)
    && !script.textContent.includes("parseElements(String.raw`")).length
+ (window.pwned ? 1000 : 0)
"""


def fill_hostile(path: Path) -> Store:
    """One pair, a model and a decision whose every text is hostile, added to the store there.

    A vote is retracted and a person checked the pair, in such words.
    """
    store = Store(path, run_id=HOSTILE)
    model = ModelVersion(kind=ModelKind.REWARD, base=HOSTILE, recipe=HOSTILE, config_hash=HOSTILE)
    asked = prompt(HOSTILE, context=HOSTILE, reference_answers=(HOSTILE, HOSTILE))
    facts = facts_of(asked, f"{HOSTILE} one", f"{HOSTILE} two", HOSTILE, (model,), judge=HOSTILE)
    decided = Promotion(
        line=HOSTILE,
        config_hash=HOSTILE,
        cycle=1,
        policy_id=HOSTILE,
        baseline_id=HOSTILE,
        evaluation_id=HOSTILE,
        promoted=False,
        reasons=(HOSTILE,),
    )
    ended = StageRun(
        line=HOSTILE, config_hash=HOSTILE, cycle=1, stage=HOSTILE, seconds=1, detail=HOSTILE
    )
    vote = next(fact for fact in facts if isinstance(fact, Judgement))
    pair = next(fact for fact in facts if isinstance(fact, Pair))
    retracted = Retraction(
        subject_table="judgements",
        subject_id=vote.id,
        number=1,
        withdrawn=False,
        reason=HOSTILE,
        retracted_by=HOSTILE,
    )
    checked = SpotCheck(
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left_id=pair.left_id,
        right_id=pair.right_id,
        person=HOSTILE,
        verdict=HumanVerdict.LEFT,
        note=HOSTILE,
        strategy=Strategy.RANDOM,
        shown_left=pair.left_id,
        seconds=1.0,
        round=1,
    )
    store.append([model, *facts, decided, ended, retracted, checked])
    return store


def settled(page: Any) -> str:
    """The text of a page that has all it asked for, after a look for what should not be there."""
    page.wait_for_function(
        "document.querySelector('h1') && !document.body.innerText.includes('querying the store')"
    )
    page.wait_for_timeout(150)
    assert page.evaluate(CREATED) == 0
    text: str = page.locator("body").inner_text()
    for steering in "\x1b\x07\u202e\u2066\u200b":
        assert steering not in text
    return text
