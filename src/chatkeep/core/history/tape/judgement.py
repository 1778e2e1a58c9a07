"""The one judgement whether an answer is whole.

An answer is *whole* under three conditions. It has content. The server has ended it: a finish reason for each choice,
`[DONE]`, or JSON that closes. And no part of it was an error or unreadable. Any other answer has a reason, which
quotes the server's words.
"""

from __future__ import annotations

from typing import Final

from chatkeep.core.history.masking import Mask
from chatkeep.core.history.protocols.speaking import AnswerFold
from chatkeep.core.text.quoting import page_words, quoted
from chatkeep.errors import ModelCutOffError, ModelError, ModelReportedError, ModelSilentError, ModelUnreadableError

QUOTED_BYTES: Final = 1 << 13  # of an unreadable answer: more than `quoted` ever returns
UTF8_MARK: Final = b"\xef\xbb\xbf"


class Judgement:
    """What is wrong with an answer so far."""

    def __init__(self, answer: AnswerFold, missing_end: str, mask: Mask) -> None:
        """Begin without a fault; `missing_end` names the end that a cut answer lacks."""
        self.is_over = False
        """Whether the server sent an end or an error; later bytes are ignored."""
        self.flaw: ModelError | None = None
        """The first fault in the bytes so far, whatever may follow; None if there is none."""
        self._answer = answer
        self._missing_end = missing_end
        self._mask = mask

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole by now."""
        return self.flaw is None and self._answer.has_ended and self._answer.has_said

    @property
    def fault(self) -> ModelError | None:
        """The reason why the answer is not whole, if no more comes; None if it is whole."""
        if self.flaw is not None or self.is_complete:
            return self.flaw
        if self._answer.has_ended and not self._answer.has_said:
            return ModelSilentError(quoted(self._answer.finish_reason))
        if self._answer.has_begun:
            return ModelCutOffError(f"the model's server ended it without {self._missing_end}")
        return ModelSilentError("", is_ended=False)

    def cut_off(self, how: str) -> None:
        """Note that the answer ends early."""
        self._fail(ModelCutOffError(how))

    def unreadable(self, data: bytes) -> None:
        """Note that these bytes make no sense."""
        text = data[:QUOTED_BYTES].removeprefix(UTF8_MARK).decode(errors="replace")
        is_page = text.lstrip().startswith("<")
        words = page_words(text) if is_page else text
        self._fail(ModelUnreadableError(quoted(self._mask.text(words)), is_page=is_page))

    def reported(self, words: str, *, is_last: bool = True) -> None:
        """Note an error that the server reports, nearly always as the end of its answer."""
        self._fail(ModelReportedError(quoted(self._mask.text(words[:QUOTED_BYTES]))))
        self.is_over = self.is_over or is_last

    def _fail(self, fault: ModelError) -> None:
        self.flaw = self.flaw or fault
