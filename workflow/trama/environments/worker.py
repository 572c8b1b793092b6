"""The process of one game: `python -m trama.environments.worker FD FOLDER`, started by
`processes`.

It dies with the process that started it, however that one ends, and takes its game along.
"""

import os
import pickle
import select
import shutil
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from trama.environments.processes import Game
from trama.errors import TramaError


def main() -> None:
    """Make the game, and answer until the other side hangs up."""
    connection = Connection(int(sys.argv[1]))
    # Whoever stops a job signals all of its processes. The one that plays decides: it may have a
    # checkpoint to write. The game inherits this.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    folder = sys.argv[2]
    threading.Thread(target=_die_with, args=(connection.fileno(), folder), daemon=True).start()
    game: Game | None = None
    while True:
        try:
            request, *arguments = connection.recv()
        except (EOFError, OSError):
            _end(folder)
        try:
            if game is None:
                game = pickle.loads(request)()
                continue  # nobody waits for an answer
            answer = "done", getattr(game, request)(*arguments)
        except TramaError as error:
            answer = "final", str(error)
        except Exception as error:
            traceback.print_exc()
            sys.stderr.flush()
            answer = "failed", f"{type(error).__name__}: {error}"
        connection.send(answer)


def _die_with(descriptor: int, folder: str) -> None:
    """Wait until the other side hangs up, and end everything then."""
    hangup = select.poll()
    hangup.register(descriptor, select.POLLRDHUP)
    hangup.poll()
    _end(folder)


def _end(folder: str) -> None:
    """Leave no files and no processes behind."""
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
