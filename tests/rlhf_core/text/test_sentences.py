from rlhf_core.text.sentences import chunks, split_sentences


def test_sentences_end_before_a_capital_or_a_number():
    text = 'It rained. "Why?" he asked! 12 came… and left.\nSo what (no idea.) Good.'
    assert split_sentences(text) == [
        "It rained.",
        '"Why?" he asked!',
        "12 came… and left.",
        "So what (no idea.)",
        "Good.",
    ]


def test_abbreviations_initials_and_decimals_end_nothing():
    text = "Dr. Smith paid 3.5 million to J. K. Rowling of the U.S. Navy. Then he left."
    assert split_sentences(text) == [text.removesuffix(" Then he left."), "Then he left."]


def test_empty_lines_and_full_width_stops_end_sentences():
    assert split_sentences("A heading\n\nsome text") == ["A heading", "some text"]
    assert split_sentences("今日は。明日。") == ["今日は。", "明日。"]


def test_nothing_has_no_sentence():
    assert split_sentences("  \n ") == []


def test_chunks_fill_up_and_share_a_sentence():
    """Lengths 2, 2, 2, 4, 1 under a limit of 6: 2+2+2; the last again and 4; the 4 again and 1."""
    found = chunks(["aa", "bb", "cc", "dddd", "e"], 6, len)
    assert found == ["aa bb cc", "cc dddd", "dddd e"]


def test_a_sentence_longer_than_the_limit_stands_alone_and_is_not_lost():
    assert chunks(["a", "too long", "b"], 5, len) == ["a", "too long", "b"]


def test_every_sentence_is_in_some_chunk():
    sentences = [f"{number:03d}" for number in range(50)]
    joined = " ".join(chunks(sentences, 10, len))
    assert all(sentence in joined for sentence in sentences)
