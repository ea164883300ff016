from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import conftest
from hypothesis import given
from hypothesis import strategies as st

found = []

@given(st.text(), st.integers())
def note(text, number):
    found.append((text, number))

note()
before = found[:]
found.clear()
import mongarsd.ground.errors
note()
print(len(before), found == before)
"""


def test_in_ci_examples_do_not_depend_on_what_else_is_loaded() -> None:
    """Else a property that is almost right fails there by chance."""
    env = {**os.environ, "CI": "true", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["100", "True"]
