"""A bi-encoder: it encodes each text separately and compares two by the cosine of their vectors."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.loading import locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TwoTexts = tuple[str, str]
"""Two texts to compare, the premise first where their order has a meaning."""


def load_sentence_encoder(name: str, **arguments: Any) -> "SentenceTransformer":
    """Load a sentence-transformers model; a plain encoder gets mean pooling over its tokens.

    Args:
        name: A bundled name, a folder or a hub id.
        arguments: Further arguments of SentenceTransformer.

    Raises:
        ModelNotFoundError: If it cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    location = locate(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return SentenceTransformer(
                location,
                model_kwargs={"use_safetensors": True},
                trust_remote_code=False,
                **arguments,
            )
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"judge model {name!r} cannot be loaded: {error}") from None


def cosines(encoder: "SentenceTransformer", pairs: Sequence[TwoTexts], batch_size: int) -> Tensor:
    """Return the cosine of each pair; each distinct text is encoded once.

    Args:
        encoder: The encoder, which sorts texts by length itself.
        pairs: N pairs, at least one.
        batch_size: Number of texts encoded at once.

    Returns:
        Cosines, −1 to 1, fp32, (N,), on the CPU.
    """
    row = {text: n for n, text in enumerate(sorted({text for pair in pairs for text in pair}))}
    vectors = encoder.encode(
        list(row),
        batch_size=batch_size,
        convert_to_tensor=True,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    vectors = vectors.float().cpu()
    first, second = (vectors[[row[pair[side]] for pair in pairs]] for side in (0, 1))
    return (first * second).sum(dim=-1)
