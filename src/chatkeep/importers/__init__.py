"""Sessions from elsewhere: one module per program that wrote them, one way to take them in.

Every reader yields whole sessions, and a `Flaw` in place of each that it could not read.
"""

from chatkeep.importers import chatkeep
from chatkeep.importers.reports import Flaw, Report, take_in, would_take_in

__all__ = ["Flaw", "Report", "chatkeep", "take_in", "would_take_in"]
