"""Chat templates shaped like those of today's models, with tiny tokenizers to read them."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parent / "chat_templates"


@dataclass(frozen=True)
class Kind:
    """A template and a tokenizer for it.

    `refuses` names what the template refuses or leaves out: system, system_in_chat (a system
    message before several turns), tools.
    """

    template: str
    """Name of the file with the template."""
    special: tuple[str, ...]
    eos: str
    added: tuple[str, ...] = ()
    bos: str | None = None
    refuses: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    """The tokens after an answer, up to the one that ends it; the eos by default."""
    begins: str = ""
    """The text between the prompt and an answer without thoughts."""
    is_sentencepiece: bool = False

    def tokenizer(self) -> PreTrainedTokenizerFast:
        make = _sentencepiece if self.is_sentencepiece else _byte_level
        names = {"bos_token": self.bos} if self.bos else {}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=make(self.special),
            eos_token=self.eos,
            pad_token=self.special[0],
            additional_special_tokens=[
                name for name in self.special[1:] if name not in (self.eos, self.bos)
            ],
            **names,
        )
        tokenizer.add_tokens([AddedToken(name, special=False) for name in self.added])
        tokenizer.chat_template = (FOLDER / f"{self.template}.jinja").read_text()
        return tokenizer

    @property
    def ends(self) -> tuple[str, ...]:
        return self.end or (self.eos,)


def _byte_level(special: tuple[str, ...]) -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    for pair in ("Ċ" * 2, "Ġt", "es", "er"):
        vocabulary[pair] = len(vocabulary)
    core = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ"), ("Ġ", "t"), ("e", "s"), ("e", "r")])
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def _sentencepiece(special: tuple[str, ...]) -> Tokenizer:
    """A tokenizer that writes a space before each text, as those of Llama 2 and Phi-3."""
    letters = ["▁", *map(chr, range(33, 127)), "\n", "｜", "é"]
    vocabulary = {token: number for number, token in enumerate(["<unk>", *special, *letters])}
    vocabulary |= {"▁t": len(vocabulary), "▁H": len(vocabulary) + 1}
    core = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("▁", "t"), ("▁", "H")], unk_token="<unk>")
    )
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return core


IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOOL_TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
LLAMA = ("<pad>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
GEMMA = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
PHI = ("<pad>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>")
SENTENCES = ("<pad>", "<s>", "</s>")
NO_TOOLS = ("tools",)
EMPTY_THOUGHTS = "<think>\n\n</think>\n\n"

KINDS = {
    "qwen2": Kind("qwen2", IM, "<|im_end|>", TOOL_TAGS),
    "qwen3": Kind(
        "qwen3", IM, "<|im_end|>", (*TOOL_TAGS, "<think>", "</think>"), begins=EMPTY_THOUGHTS
    ),
    "llama3": Kind("llama3", LLAMA, "<|eot_id|>", bos="<|begin_of_text|>"),
    "gemma2": Kind(
        "gemma2",
        GEMMA,
        "<eos>",
        ("\n\n", "<table>"),
        bos="<bos>",
        refuses=("system", "system_in_chat", "tools"),
        end=("<end_of_turn>",),
    ),
    "gemma3": Kind("gemma3", GEMMA, "<eos>", bos="<bos>", refuses=NO_TOOLS, end=("<end_of_turn>",)),
    "phi3": Kind("phi3", PHI, "<|endoftext|>", refuses=NO_TOOLS, end=("<|end|>",)),
    "phi3 of sentencepiece": Kind(
        "phi3", PHI, "<|endoftext|>", refuses=NO_TOOLS, end=("<|end|>",), is_sentencepiece=True
    ),
    "phi4 mini": Kind(
        "phi4_mini",
        (*PHI, "<|tool|>", "<|/tool|>"),
        "<|endoftext|>",
        refuses=NO_TOOLS,
        end=("<|end|>",),
    ),
    "llama2": Kind(
        "llama2",
        SENTENCES,
        "</s>",
        bos="<s>",
        refuses=NO_TOOLS,
        end=("▁", "</s>"),
        begins=" ",
        is_sentencepiece=True,
    ),
    "mistral": Kind(
        "mistral",
        (*SENTENCES, "[TOOL_CALLS]", "[TOOL_RESULTS]"),
        "</s>",
        bos="<s>",
        begins=" ",
        is_sentencepiece=True,
    ),
    "zephyr": Kind("zephyr", SENTENCES, "</s>", refuses=NO_TOOLS, is_sentencepiece=True),
    "vicuna": Kind("vicuna", SENTENCES, "</s>", refuses=NO_TOOLS, begins=" "),
    "human": Kind("human", SENTENCES, "</s>", refuses=NO_TOOLS),
    "harmony": Kind(
        "harmony",
        (
            "<|endoftext|>",
            "<|start|>",
            "<|end|>",
            "<|message|>",
            "<|channel|>",
            "<|return|>",
            "<|call|>",
        ),
        "<|return|>",
        begins="<|channel|>final<|message|>",
    ),
    "deepseek": Kind(
        "deepseek",
        ("<pad>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        "<｜end▁of▁sentence｜>",
        (
            "<｜User｜>",
            "<｜Assistant｜>",
            "<think>",
            "</think>",
            "<｜tool▁sep｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁call▁end｜>",
        ),
        bos="<｜begin▁of▁sentence｜>",
        refuses=NO_TOOLS,
        begins="\n</think>\n\n",
    ),
    "cohere": Kind(
        "cohere",
        (
            "<PAD>",
            "<BOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
        ),
        "<|END_OF_TURN_TOKEN|>",
        bos="<BOS_TOKEN>",
        refuses=NO_TOOLS,
        end=("<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"),
        begins="<|START_RESPONSE|>",
    ),
    "glm4": Kind(
        "glm4",
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>"),
        "<|endoftext|>",
        refuses=NO_TOOLS,
    ),
    "lower": Kind("lower", IM, "<|im_end|>", refuses=NO_TOOLS),
}
