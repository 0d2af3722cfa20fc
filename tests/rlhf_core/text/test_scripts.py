import pytest

from rlhf_core.text.scripts import script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Why is the sky blue?", "Latin"),
        ("Почему небо голубое?", "Cyrillic"),
        ("天空为什么是蓝色的？", "Han"),
        ("空はなぜ青いのですか", "Japanese"),
        ("하늘은 왜 파란가요", "Hangul"),
        ("لماذا السماء زرقاء؟", "Arabic"),
        ("आकाश नीला क्यों है", "Devanagari"),
        ("ᏣᎳᎩ", "other"),
        ("2 + 2 = 4", "none"),
        ("", "none"),
        ("Translate: Почему небо голубое и трава зелёная?", "Cyrillic"),
    ],
)
def test_the_script_with_the_most_letters(text: str, script: str):
    assert script_of(text) == script
