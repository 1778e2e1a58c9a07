"""`python -m chatkeep.processes.writer STORE RULES DESCRIPTOR...`: store long texts for a server.

The server starts this process (see `workers.beside`). It ends with the server, as the server's end closes the
channels.
"""

import sys

from chatkeep import wiring

if __name__ == "__main__":
    wiring.append_for(sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3:]])
