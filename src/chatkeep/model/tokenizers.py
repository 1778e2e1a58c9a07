"""Tokenizers: how many tokens a text has for a model, exactly where that can be known without a network.

OpenAI publishes its vocabularies; `toktok-rs`, the extra `tokenizers`, carries them inside. Other models,
and an installation without the extra, are counted by the estimate in `core.windows`.
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
    """Return the function that counts a text's tokens for a model; the estimate for one that is not known.

    A provider before the name (`openai/gpt-4o`) and the mark of a fine-tuned model (`ft:`) do not matter.

    Source: tiktoken, model.py.
    """
    name = model.rpartition("/")[2].removeprefix("ft:").lower()
    encoding = next((encoding for encoding, names in _ENCODINGS if names.fullmatch(name)), None)
    if encoding is None or find_spec("toktok") is None:
        return estimate
    return _exact(encoding)


def _exact(encoding: str) -> TokenCounter:
    from toktok import batch_count  # noqa: PLC0415 - loads 8 MB, for those who count

    def count(text: str) -> int:
        return int(batch_count([text], encoding, threads=1)[0])

    return count
