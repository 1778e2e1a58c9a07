"""Tokenizers: the number of tokens of a text for a model, exact where a vocabulary is at hand.

OpenAI publishes its vocabularies, and `toktok-rs` (the extra `tokenizers`) ships them, so no network is needed.
`core.history.windows` estimates the count for other models, and without the extra.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final

from chatkeep.core.history.windows import TokenCounter, estimate

_ENCODINGS: Final = (
    ("o200k_base", re.compile(r"(?:chatgpt-4o|gpt-(?:4o|4\.1|4\.5|5|oss)|o[134])(?:[-.:].*)?")),
    ("cl100k_base", re.compile(r"gpt-(?:4|3\.5|35)(?:[-:].*)?")),
)


def counter(model: str) -> TokenCounter:
    """Return the token counter of a model; the estimate for an unknown model.

    A leading provider (`openai/gpt-4o`) and the mark of a fine-tuned model (`ft:`) are ignored.

    Source: tiktoken, model.py.
    """
    name = model.rpartition("/")[2].removeprefix("ft:").lower()
    encoding = next((encoding for encoding, names in _ENCODINGS if names.fullmatch(name)), None)
    if encoding is None or find_spec("toktok") is None:
        return estimate
    return _exact(encoding)


def _exact(encoding: str) -> TokenCounter:
    from toktok import batch_count  # noqa: PLC0415 - takes 8 MB, only when somebody counts

    def count(text: str) -> int:
        return int(batch_count([text], encoding, threads=1)[0])

    return count
