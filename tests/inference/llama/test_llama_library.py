from __future__ import annotations

import re
import subprocess
import sys
import types

import pytest

from mongarsd.ground.errors import StartError
from mongarsd.inference.llama import library

PROBE = """
import sys
from mongarsd.inference.llama.library import load_library
def rss():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])
before = rss()
lib = load_library()
assert lib is load_library()
heavy = {"numpy", "diskcache", "jinja2", "llama_cpp", "llama_cpp.llama"} & set(sys.modules)
print(sorted(heavy), (rss() - before) // 1024)
import llama_cpp
print(hasattr(llama_cpp, "Llama"), llama_cpp.llama_cpp is lib)
"""


def test_only_the_binding_is_imported_and_the_package_stays_importable() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
    first, second = done.stdout.splitlines()
    heavy, _, megabytes = first.rpartition(" ")
    assert heavy == "[]"
    assert int(megabytes) < 20  # 9 for the binding, the rest is the native library; the whole package is 32 more
    assert second == "True True"


def test_the_build_is_identified_by_version_and_files() -> None:
    assert re.fullmatch(r"llama-cpp-python [\w.]+ [0-9a-f]{32}", library.build_id())
    assert library.build_id() == library.build_id()
    assert [path.name for path in library._library_files()][-1] == "libllama.so"
    assert all(path.name.endswith(".so") for path in library._library_files())


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    with pytest.raises(StartError, match=re.escape(library.REQUIREMENT)):
        library._import()


def test_a_broken_library_says_why_and_leaves_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        raise OSError("libllama.so: undefined symbol")

    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    monkeypatch.setattr(library.importlib, "import_module", broken)
    with pytest.raises(StartError, match=r"undefined symbol.*pip install"):
        library._import()
    assert "llama_cpp" not in sys.modules
