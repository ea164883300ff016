"""jetson-stats, where it is installed: for what Jetson Linux does not let an ordinary user read from files."""

from __future__ import annotations

from pathlib import Path

from mongarsd.tuning.board import label

SOCKET = Path("/run/jtop.sock")


def jtop_power_mode() -> str:
    """The power mode's name as the jtop service tells it, or "". May take a second: not for the hot path."""
    if not SOCKET.exists():
        return ""
    try:
        from jtop import jtop  # optional; about 10 MB and a thread, so only when asked

        with jtop() as board:
            return label(str(board.nvpmodel)) if board.ok() else ""
    except Exception:  # jtop raises its own errors, and others when client and service differ in version
        return ""
