"""The clock of this kernel, as answers and audit records name it."""

import socket


def name() -> str:
    """Whose clock this server's times are read from."""
    return f"aerokernel on {socket.gethostname()}"
