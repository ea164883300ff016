"""HTTP: the public API on TCP ports, the administration on the control socket. Wired in `app.py`."""
