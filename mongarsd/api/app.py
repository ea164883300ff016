"""The routes, wired by hand. `PUBLIC` and `ADMIN` are what the server answers and what /openapi.json says."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute

from mongarsd.api import access, admin, audit, credentials, errors, expect, guard, memory, reuse
from mongarsd.api.admin import PullRequest
from mongarsd.api.anthropic.answers import ModelInfo, ModelPage
from mongarsd.api.anthropic.routes import ROUTES as ANTHROPIC
from mongarsd.api.credentials import GUARDED
from mongarsd.api.feedback import ROUTES as FEEDBACK
from mongarsd.api.greeting import greeting
from mongarsd.api.health import Alive, Readiness, healthz, readyz
from mongarsd.api.keys import KEYS
from mongarsd.api.limits import BODIES, Bodies
from mongarsd.api.memory import AccountChange, Checked, RestoreRequest
from mongarsd.api.metrics import REGISTRY, metrics
from mongarsd.api.models import model, models
from mongarsd.api.ollama.routes import ROUTES as OLLAMA
from mongarsd.api.openai.answers import ChatChunk, ChatCompletion, Completion, Model, ModelList
from mongarsd.api.openai.chat import chat_completions
from mongarsd.api.openai.completions import completions
from mongarsd.api.openai.documents import DOCUMENTS
from mongarsd.api.openai.embeddings import EmbeddingList, EmbeddingRequest, embeddings
from mongarsd.api.openai.requests import ChatRequest, CompletionRequest
from mongarsd.api.openai.rerank import RerankAnswer, RerankRequest, rerank, reranking
from mongarsd.api.openai.responses.routes import ROUTES as RESPONSES
from mongarsd.api.openai.stored_chats import ROUTES as STORED_CHATS
from mongarsd.api.openapi import ROUTES, Route, openapi
from mongarsd.api.parts import PARTS, Parts
from mongarsd.api.recall import ROUTES as RECALL
from mongarsd.api.signin import Token, TokenRequest, create_token
from mongarsd.api.ws.hub import HUB, Hub
from mongarsd.api.ws.routes import ROUTES as WS
from mongarsd.ground.status import (
    AvailableModel,
    BackupFile,
    CacheStatus,
    MemoryStatus,
    ModelStatus,
    NodeStatus,
    PullProgress,
)
from mongarsd.memory.access.types import Scope
from mongarsd.memory.accounts import Account
from mongarsd.memory.conversations.export import Exported

_SSE, _NDJSON = "text/event-stream", "application/x-ndjson"

PUBLIC = (
    Route(
        "POST", "/v1/chat/completions", chat_completions, "Answer a conversation",
        ChatRequest, ChatCompletion, {_SSE: ChatChunk},
    ),
    *STORED_CHATS,
    Route("POST", "/v1/completions", completions, "Continue a text", CompletionRequest, Completion, {_SSE: Completion}),
    Route("POST", "/v1/embeddings", embeddings, "Turn texts into vectors", EmbeddingRequest, EmbeddingList),
    Route("POST", "/v1/rerank", rerank, "Order documents by how well they fit a query", RerankRequest, RerankAnswer),
    Route("POST", "/v1/reranking", reranking, "The same as /v1/rerank", RerankRequest, RerankAnswer),
    *RECALL,
    *DOCUMENTS,
    *RESPONSES,
    *ANTHROPIC,
    *FEEDBACK,
    *WS,
    Route("GET", "/v1/models", models, "The models on this node", answer=(ModelList, ModelPage)),
    Route("GET", "/v1/models/{id:.+}", model, "One model", answer=(Model, ModelInfo)),
    Route("POST", "/v1/token", create_token, "A token for a user", TokenRequest, Token, open=True),
    *OLLAMA,
    Route("GET", "/healthz", healthz, "Alive?", answer=Alive, open=True),
    Route("GET", "/readyz", readyz, "Ready, or why not?", answer=Readiness, open=True),
    Route("GET", "/metrics", metrics, "Numbers for Prometheus", streams={"text/plain": None}, scope=Scope.METRICS),
    Route("GET", "/openapi.json", openapi, "This document", answer=dict[str, Any]),
    Route("GET", "/", greeting, "A page for people", streams={"text/html": None, "text/plain": None}, open=True),
)  # fmt: skip

_ADMIN = (
    *KEYS,
    Route("GET", "/admin/status", admin.status, "The node, its board and its models", answer=NodeStatus),
    Route("GET", "/admin/config", admin.config, "The effective settings, without secrets", answer=dict[str, Any]),
    Route("GET", "/admin/cache", admin.cache, "What is stored of prompts and answers", answer=CacheStatus),
    Route("DELETE", "/admin/cache", admin.clear_cache, "Forget every stored prompt and answer", answer=CacheStatus),
    Route("GET", "/admin/memory", memory.memory_status, "The database of conversations", answer=MemoryStatus),
    Route("POST", "/admin/memory/backup", memory.memory_backup, "Copy the database now", answer=BackupFile),
    Route(
        "POST", "/admin/memory/restore", memory.memory_restore, "Put a copy in its place",
        RestoreRequest, answer=BackupFile,
    ),
    Route("POST", "/admin/memory/check", memory.memory_check, "Read all of the database", answer=Checked),
    Route("GET", "/admin/memory/accounts", memory.memory_accounts, "Who has stored something", answer=list[Account]),
    Route(
        "POST", "/admin/memory/accounts/{id}", memory.memory_account, "Settings of an account", AccountChange, Account
    ),
    Route(
        "GET", "/admin/memory/export", memory.memory_export, "Conversations of an account",
        streams={_NDJSON: Exported, "text/markdown": None},
    ),
    Route("GET", "/admin/models", admin.models, "All models with their state", answer=list[ModelStatus]),
    Route(
        "GET", "/admin/catalogue", admin.catalogue, "Models that can be fetched by name", answer=list[AvailableModel]
    ),
    Route("POST", "/admin/models/pull", admin.pull, "Fetch a model", PullRequest, streams={_NDJSON: PullProgress}),
    Route("GET", "/admin/models/{name}", admin.model, "One model with its state", answer=ModelStatus),
    Route("DELETE", "/admin/models/{name}", admin.remove, "Delete a model"),
    Route("POST", "/admin/models/{name}/load", admin.load, "Load a model, wait until it is ready", answer=ModelStatus),
    Route("POST", "/admin/models/{name}/unload", admin.unload, "Free a model's memory", answer=ModelStatus),
)  # fmt: skip

ADMIN = tuple(route._replace(scope=Scope.ADMIN) for route in _ADMIN)


def make_app(parts: Parts) -> web.Application:
    """For TCP ports. What administrators do needs a key that says so, also on loopback."""
    return _make(parts, guard.middleware, credentials.middleware)


def make_admin_app(parts: Parts) -> web.Application:
    """For the control socket: no keys, because the socket's mode is the permission."""
    return _make(parts, guard.control_middleware, credentials.control_middleware)


def _make(parts: Parts, *checks: Any) -> web.Application:
    app = web.Application(
        middlewares=[
            access.middleware,
            errors.middleware,
            *checks,
            expect.middleware,
            audit.middleware,
            reuse.middleware,
        ]
    )
    routes = (*PUBLIC, *ADMIN)
    guarded: dict[AbstractRoute, Route] = {}
    app[PARTS] = parts
    app[BODIES] = Bodies()
    app[REGISTRY] = []
    app[ROUTES] = routes
    app[HUB] = hub = Hub(parts)
    app.on_response_prepare.append(guard.add_headers)
    app.on_shutdown.append(hub.drain)
    app.on_cleanup.append(hub.close)
    for route in routes:
        guarded[app.router.add_route(route.method, route.path, route.handler, expect_handler=expect.not_yet)] = route
        if route.method == "GET":
            guarded[app.router.add_route("HEAD", route.path, route.handler, expect_handler=expect.not_yet)] = route
    app[GUARDED] = guarded
    return app
