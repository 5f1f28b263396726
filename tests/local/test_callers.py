"""A connection is known for a handler's own by the process that holds it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lambdaform.local.callers import is_below

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="told from Linux's /proc")

# A process and one below it; the connection is the lower one's.
CONNECTS = """
import subprocess, sys
subprocess.run([sys.executable, "-c", '''
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.recv(1)
''', sys.argv[1]])
"""


def test_a_connection_of_a_process_below_is_told_from_everybody_elses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = subprocess.Popen([sys.executable, "-c", CONNECTS, str(server.getsockname()[1])])
        theirs, (_, port) = server.accept()
        with theirs:
            assert is_below(os.getpid(), port) is True
            assert is_below(ours.pid, port) is True
        ours.wait()

        with socket.create_connection(server.getsockname()) as own:
            assert is_below(os.getpid(), own.getsockname()[1]) is False


def test_nothing_is_said_of_a_connection_that_there_is_not() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))

        assert is_below(os.getpid(), free.getsockname()[1]) is None
