"""`python -m chatkeep.processes.writer WORKSPACE DURABILITY DESCRIPTOR...`: stores long texts for a server.

It is started by the server (see `beside`) and ends with it: the server's end closes the channels.
"""

import sys
from pathlib import Path

from chatkeep import wiring

if __name__ == "__main__":
    wiring.append_for(Path(sys.argv[1]), sys.argv[2], [int(number) for number in sys.argv[3:]])
