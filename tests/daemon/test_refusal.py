"""What does not fit is refused with numbers and with what would fit, wherever one asks."""

from __future__ import annotations

import json

from fakes.daemon_process import MODEL, running

SAYS = "8 slots of 4096 tokens need 71 MB, but only 60 MB may be used: 4 slots of 2048 tokens would fit"


def test_http_and_mongarsctl_say_what_would_fit() -> None:
    env = {
        "MONGARSD_INFERENCE_MEMORY_BUDGET": "60MB",
        "MONGARSD_INFERENCE_SLOTS": "8",
        "MONGARSD_INFERENCE_CONTEXT": "4096",
    }
    with running(env=env) as daemon:
        response = daemon.chat(daemon.connect(), max_tokens=5)
        assert response.status == 507
        error = json.loads(response.read())["error"]
        assert (error["message"], error["code"]) == (SAYS, "does_not_fit")
        assert (error["have"], error["slots"], error["context"]) == (60_000_000, 4, 2048)
        done = daemon.ctl("models", "load", MODEL)
        assert done.returncode == 1
        assert SAYS in done.stderr
