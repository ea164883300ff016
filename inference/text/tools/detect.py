"""Which format a model calls tools in, by the marks in its chat template."""

from __future__ import annotations

from mongarsd.inference.text.tools.base import Format
from mongarsd.inference.text.tools.functiongemma import FunctionGemma
from mongarsd.inference.text.tools.gemma4 import Gemma4
from mongarsd.inference.text.tools.generic import Generic
from mongarsd.inference.text.tools.granite import Granite
from mongarsd.inference.text.tools.hermes import Hermes
from mongarsd.inference.text.tools.llama3 import Llama3
from mongarsd.inference.text.tools.mistral import Mistral
from mongarsd.inference.text.tools.mistralargs import MistralArgs
from mongarsd.inference.text.tools.qwencoder import QwenCoder
from mongarsd.inference.text.tools.smollm import SmolLM

#: The first that knows the template; a mark that others use too comes later.
FORMATS: tuple[Format, ...] = (
    FunctionGemma(),
    Gemma4(),
    MistralArgs(),
    Mistral(),
    Granite(),
    QwenCoder(),
    SmolLM(),
    Hermes(),
    Llama3(),
    Generic(),
)
GENERIC = FORMATS[-1]


def detect(template: str) -> Format:
    """Generic for a template that knows no tools."""
    if "tools" not in template and "functions" not in template:
        return GENERIC
    return next(one for one in FORMATS if one.knows(template))
