"""One WebSocket for many answers, that survives its connections.

`state.py` says what is sent and what it means (no I/O); `sync.py` and `aio.py` are the sockets around it.
"""
