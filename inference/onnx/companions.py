"""What the files beside an ONNX chat model say: ends, special tokens, template, context."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from mongarsd.ground.errors import InvalidModel

Token = Annotated[int, Meta(ge=0, le=1 << 24)]
Tokens = Token | Annotated[list[Token], Meta(max_length=64)] | None


class Config(Struct):
    """config.json"""

    model_type: Annotated[str, Meta(max_length=100)] = "onnx"
    max_position_embeddings: Annotated[int, Meta(ge=1, le=1 << 24)] | None = None
    eos_token_id: Tokens = None


class Generation(Struct):
    """generation_config.json"""

    eos_token_id: Tokens = None
    suppress_tokens: Annotated[list[Token], Meta(max_length=1024)] | None = None


class Named(Struct):
    content: str = ""


class NamedTemplate(Struct):
    name: str = ""
    template: str = ""


class Special(Struct):
    """tokenizer_config.json"""

    bos_token: str | Named | None = None
    eos_token: str | Named | None = None
    chat_template: str | list[NamedTemplate] | None = None


class Companions(Struct, frozen=True, kw_only=True):
    ends: frozenset[int]
    suppressed: frozenset[int]
    bos: str  # "" = none
    eos: str
    template: str | None
    context: int  # tokens the model was trained for; 0 = not said
    architecture: str

    @classmethod
    def read(cls, files: Mapping[str, str]) -> Companions:
        """From paths by role; whatever is not there says nothing. Raises InvalidModel."""
        config = _decode(files, "config", Config)
        generation = _decode(files, "generation", Generation)
        special = _decode(files, "tokens", Special)
        own = special.chat_template
        if isinstance(own, list):
            own = next((each.template for each in own if each.name == "default"), None)
        return cls(
            ends=frozenset((*_listed(config.eos_token_id), *_listed(generation.eos_token_id))),
            suppressed=frozenset(generation.suppress_tokens or ()),
            bos=_name(special.bos_token),
            eos=_name(special.eos_token),
            template=_text(files["template"]) if "template" in files else own,
            context=config.max_position_embeddings or 0,
            architecture=config.model_type,
        )


S = TypeVar("S", bound=Struct)


def _decode(files: Mapping[str, str], role: str, kind: type[S]) -> S:
    if role not in files:
        return kind()
    try:
        return msgspec.json.decode(Path(files[role]).read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InvalidModel(f"The {role} file of the model is damaged or of another kind: {error}.") from error


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"The chat template of the model cannot be read: {error}.") from error


def _listed(tokens: Any) -> list[int]:
    return tokens if isinstance(tokens, list) else [] if tokens is None else [tokens]


def _name(token: str | Named | None) -> str:
    return token.content if isinstance(token, Named) else token or ""
