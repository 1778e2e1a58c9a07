"""`python -m chatkeep.processes.searcher WORKSPACE DESCRIPTOR...`: the process that searches for a server.

It is started by the server (see `beside`) and ends with it: the server's end closes the channels.
"""

import sys
from pathlib import Path

from chatkeep import wiring

if __name__ == "__main__":
    wiring.run_searcher(Path(sys.argv[1]), [int(number) for number in sys.argv[2:]])
