"""The routes of the Ollama API."""

from __future__ import annotations

from typing import Any

from mongarsd.api.ollama import answers, manage, models, requests
from mongarsd.api.ollama.chat import ollama_chat
from mongarsd.api.ollama.embed import ollama_embed, ollama_embeddings
from mongarsd.api.ollama.generate import ollama_generate
from mongarsd.api.ollama.lines import NDJSON
from mongarsd.api.openapi import Route
from mongarsd.memory.access.types import Scope

_BLOB = "/api/blobs/{digest}"
_STEPS = {NDJSON: answers.OllamaProgress}
#: Who administrates may, and this machine while there is no key, where Ollama's command line has none to send.
_OWNER: Any = {"scope": Scope.ADMIN, "owner": True}

ROUTES = (
    Route(
        "POST", "/api/chat", ollama_chat, "Answer a conversation, as Ollama does",
        requests.OllamaChat, answers.OllamaChatLine, {NDJSON: answers.OllamaChatLine},
    ),
    Route(
        "POST", "/api/generate", ollama_generate, "Answer a prompt, as Ollama does",
        requests.OllamaGenerate, answers.OllamaGenerateLine, {NDJSON: answers.OllamaGenerateLine},
    ),
    Route("POST", "/api/embed", ollama_embed, "Vectors, as Ollama gives them",
          requests.OllamaEmbed, answers.OllamaVectors),
    Route("POST", "/api/embeddings", ollama_embeddings, "One vector, as Ollama gave it at first",
          requests.OllamaEmbeddings, answers.OllamaVector),
    Route("GET", "/api/version", models.ollama_version, "The version of Ollama whose API this is",
          answer=answers.OllamaVersion),
    Route("GET", "/api/tags", models.ollama_tags, "The models on this node, as Ollama lists them",
          answer=answers.OllamaTags),
    Route("GET", "/api/ps", models.ollama_ps, "The models in memory, as Ollama lists them", answer=answers.OllamaPs),
    Route("POST", "/api/show", models.ollama_show, "One model, as Ollama shows it",
          requests.OllamaNamed, answers.OllamaShown),
    Route("POST", "/api/pull", manage.ollama_pull, "Fetch a model, as Ollama does",
          requests.OllamaPull, answers.OllamaProgress, _STEPS, **_OWNER),
    Route("POST", "/api/create", manage.ollama_create, "A name for a way to use a model",
          requests.OllamaCreate, answers.OllamaProgress, _STEPS, **_OWNER),
    Route("POST", "/api/copy", manage.ollama_copy, "A second name for a model", requests.OllamaCopy, **_OWNER),
    Route("DELETE", "/api/delete", manage.ollama_delete, "Delete a model, as Ollama does",
          requests.OllamaNamed, **_OWNER),
    Route("POST", "/api/push", manage.ollama_push, "Refused: models stay here"),
    Route("GET", _BLOB, manage.ollama_blob, "Refused: there are no blobs to fetch"),
    Route("POST", _BLOB, manage.ollama_upload, "Refused: files are installed on the machine itself"),
)  # fmt: skip
