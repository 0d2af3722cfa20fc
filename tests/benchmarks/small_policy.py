"""Make a small policy that answers in English, for figures that need many whole trainings.

    python -m tests.benchmarks.small_policy FILE FOLDER

FILE is AlpacaEval's table of answers (see reward_model_accuracy.py). The model has 2.6 million
parameters: its own vocabulary of 4,096 tokens and four layers of width 192, trained for one
thousand steps on the beginnings of the answers. It writes fluent nonsense, in lists, refusals and
praise as its data does, which is enough for what a guard reads in a text.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.optim.lr_scheduler import CosineAnnealingLR
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY, PROMPT, LENGTH = 4096, 32, 96
STEPS, ROWS, RATE = 1000, 32, 2e-3
START, END, PAD = "<|user|>", "<|end|>", "<|pad|>"
ANSWER = "<|assistant|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ 'assistant' if message.role == 'assistant' else 'user' }}|>"
    "{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
IGNORED, CHARACTERS = -100, 500


def answered(path: Path) -> Iterator[tuple[str, str]]:
    """Yield an instruction and an answer, each answer once."""
    columns = ["instruction", "output_1", "output_2"]
    seen: set[tuple[str, str]] = set()
    for row in pq.read_table(path, columns=columns).to_pylist():
        for answer in (row["output_1"], row["output_2"]):
            pair = (row["instruction"], answer)
            if answer and pair not in seen:
                seen.add(pair)
                yield pair


def new_tokenizer(texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes that knows the texts' most frequent pieces, and chats."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learnt.decoder = decoders.ByteLevel()
    special = [PAD, END, START, ANSWER]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet
    )
    learnt.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learnt, pad_token=PAD, eos_token=END)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def rows_of(
    tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]]
) -> list[tuple[list[int], int]]:
    """Return the token ids of each pair, cut off, and where the answer begins."""
    rows = []
    for question, answer in pairs:
        begin = tokenizer.encode(START + question)[:PROMPT]
        begin += tokenizer.encode(END + ANSWER)
        rows.append(((begin + tokenizer.encode(answer + END))[:LENGTH], len(begin)))
    return rows


def train(model: LlamaForCausalLM, rows: Sequence[tuple[list[int], int]], pad: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = CosineAnnealingLR(optimizer, STEPS)
    drawn = torch.Generator().manual_seed(0)
    for step in range(1, STEPS + 1):
        chosen = [rows[i] for i in torch.randint(len(rows), (ROWS,), generator=drawn).tolist()]
        width = max(len(ids) for ids, _ in chosen)
        ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in chosen])
        places = torch.arange(width)
        lengths = torch.tensor([[len(ids)] for ids, _ in chosen])
        begins = torch.tensor([[begin] for _, begin in chosen])
        labels = ids.masked_fill((places >= lengths) | (places < begins), IGNORED)
        loss = model(input_ids=ids, attention_mask=(places < lengths).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step} of {STEPS}: loss {loss.item():.3f}", file=sys.stderr, flush=True)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {(__doc__ or '').splitlines()[2].strip()}")
    pairs = list(answered(Path(sys.argv[1])))
    tokenizer = new_tokenizer(text[:CHARACTERS] for pair in pairs for text in pair)
    model = new_model(tokenizer)
    train(model, rows_of(tokenizer, pairs), tokenizer.pad_token_id)
    model.save_pretrained(sys.argv[2])
    tokenizer.save_pretrained(sys.argv[2])


if __name__ == "__main__":
    main()
