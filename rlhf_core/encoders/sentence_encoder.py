"""A bi-encoder: texts read one by one, compared by the cosine of their vectors."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.loading import locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Pair = tuple[str, str]


def load_sentence_encoder(name: str, **arguments: Any) -> "SentenceTransformer":
    """A sentence-transformers model; an encoder that is none gets the mean of its tokens' vectors.

    Args:
        name: Bundled name, local folder or hub id.
        arguments: More for SentenceTransformer.

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


def cosines(encoder: "SentenceTransformer", pairs: Sequence[Pair], batch_size: int) -> Tensor:
    """The cosine of each pair, -1 to 1, (N,); each distinct text is encoded once.

    Args:
        encoder: It sorts by length itself.
        pairs: At least one.
        batch_size: Texts encoded at once.
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
