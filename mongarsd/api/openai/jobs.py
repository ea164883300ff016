"""A validated request becomes Jobs: one for each choice of each prompt. Pure, but for the random seed and ids."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mongarsd.api.body import check_plain
from mongarsd.api.openai.forms import chat_form, grammar_of
from mongarsd.api.openai.requests import (
    MAX_CHOICES,
    NO_LIMIT,
    SAMPLING,
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    ContentPart,
    Options,
    Stops,
    ToolCall,
)
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job, Message, Priority
from mongarsd.ground.preset import NOTHING, Preset
from mongarsd.ground.sampling import Sampling
from mongarsd.ground.status import ModelStatus

SEEDS = 2**32

#: What would change the answer and is not built yet is refused, never ignored.
_NOT_YET = ("audio", "web_search_options")


class Order(NamedTuple):
    """What every job of a request shares and the request does not say itself."""

    model: str  # digest
    account: str
    max_tokens: int  # inference.max_tokens
    adapter: str = ""  # digest
    preset: Preset | None = None


def order_of(model: ModelStatus, account: str, max_tokens: int) -> Order:
    """`model` may be an adapter: then its base is the model."""
    return Order(model.base or model.digest, account, max_tokens, model.digest if model.base else "", model.preset)


def chat_jobs(request: ChatRequest, order: Order) -> list[Job]:
    """`n` jobs with the same messages. Raises BadRequest."""
    _refuse_unsupported(request)
    args = dict(request.chat_template_kwargs or {})
    check_plain(args, "chat_template_kwargs")
    if request.reasoning_effort is not None:
        args.setdefault("reasoning_effort", request.reasoning_effort)
        if request.reasoning_effort == "none":
            args.setdefault("enable_thinking", False)
    if request.top_logprobs is not None and not request.logprobs:
        raise BadRequest("top_logprobs: needs logprobs to be true", param="top_logprobs")
    first = _job(request, order)
    first = msgspec.structs.replace(
        first,
        messages=_with_preset(tuple(map(_as_templates_know_it, sent(request))), order.preset),
        template_args=args,
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        **chat_form(request),
    )
    return _choices([first], request.n or 1)


def sent(request: ChatRequest) -> tuple[Message, ...]:
    """The messages in the client's own roles. Raises BadRequest."""
    return tuple(_message(message, f"messages[{i}]") for i, message in enumerate(request.messages))


def completion_jobs(request: CompletionRequest, order: Order) -> list[Job]:
    """`n` jobs for each prompt, in OpenAI's order: all choices of the first prompt, then those of the next."""
    if request.echo:
        raise BadRequest("echo: not supported", param="echo")
    n = request.n or 1
    if request.best_of not in (None, n):
        raise BadRequest("best_of: only the value of n is supported", param="best_of")
    prompts = list(_prompts(request.prompt))
    if request.suffix:
        if any("text" not in prompt for prompt in prompts):
            raise BadRequest("suffix: goes with a prompt of text, not of tokens", param="suffix")
        prompts = [prompt | {"suffix": request.suffix} for prompt in prompts]
    if len(prompts) * n > MAX_CHOICES:
        raise BadRequest(f"prompt: {len(prompts)} prompts times n = {n} is over {MAX_CHOICES}", param="prompt")
    base = _job(request, order)
    base = msgspec.structs.replace(base, logprobs=request.logprobs, grammar=grammar_of(request))
    return _choices((msgspec.structs.replace(base, **prompt) for prompt in prompts), n)


def _with_preset(messages: tuple[Message, ...], preset: Preset | None) -> tuple[Message, ...]:
    """As Ollama does: the preset's system message unless there is one, then its examples, then what was asked."""
    if preset is None:
        return messages
    system, asked = messages[:1], messages[1:]
    if messages and messages[0].role != "system":
        system, asked = (Message(role="system", content=preset.system),) if preset.system else (), messages
    return (*system, *preset.messages, *asked)


def stops(given: Stops | Sequence[str]) -> tuple[str, ...]:
    """Without empty ones, which would end every answer before it begins."""
    return tuple(filter(None, [given] if isinstance(given, str) else given))


def _job(request: ChatRequest | CompletionRequest, order: Order) -> Job:
    """Raises BadRequest."""
    preset = order.preset or NOTHING
    return Job(
        id="",
        model=order.model,
        adapter=order.adapter,
        sampling=_sampling(request, preset.sampling),
        seeded=_seed(request, preset.sampling) is not None,
        max_tokens=_max_tokens(request, preset, order.max_tokens),
        stop=stops(preset.stop if request.stop is None else request.stop),
        cache_prompt=request.cache_prompt is not False,
        priority=request.priority or Priority.INTERACTIVE,
        account=order.account,
    )


def _max_tokens(request: ChatRequest | CompletionRequest, preset: Preset, most: int) -> int:
    """The newer name counts, and the preset where the request says nothing. Raises BadRequest."""
    wanted = preset.max_tokens
    for name in ("max_tokens", "max_completion_tokens"):
        given = getattr(request, name, None)
        if given == 0:
            raise BadRequest(f"{name}: at least 1, or -1 for no limit", param=name)
        wanted = wanted if given is None else given
    return most if wanted in (None, NO_LIMIT) else min(wanted, most)


def _sampling(request: Options, preset: Mapping[str, Any]) -> Sampling:
    """`preset` counts where the request says nothing."""
    given: dict[str, Any] = {name: getattr(request, name) for name in SAMPLING}
    given |= {name: value for name, value in preset.items() if given.get(name) is None}
    seed = _seed(request, preset)
    given["seed"] = secrets.randbelow(SEEDS) if seed is None else seed % SEEDS
    given["logit_bias"] = tuple(request.logit_bias.items()) if request.logit_bias else None
    given["samplers"] = tuple(request.samplers) if request.samplers is not None else None
    return Sampling(**{name: value for name, value in given.items() if value is not None})


def _seed(request: Options, preset: Mapping[str, Any]) -> int | None:
    """The one that was chosen."""
    return preset.get("seed") if request.seed is None else request.seed


def _choices(prompts: Iterable[Job], n: int) -> list[Job]:
    """`n` copies of each, with ids of their own and seeds that follow each other."""
    jobs: list[Job] = []
    for prompt in prompts:
        for _ in range(n):
            seed = (prompt.sampling.seed + len(jobs)) % SEEDS
            sampling = msgspec.structs.replace(prompt.sampling, seed=seed)
            jobs.append(msgspec.structs.replace(prompt, id=secrets.token_hex(16), sampling=sampling))
    return jobs


def _prompts(prompt: str | list[str | int | list[int]]) -> Iterable[dict[str, Any]]:
    """{"text": …} or {"tokens": …} for each. Raises BadRequest."""
    if isinstance(prompt, str):
        yield {"text": prompt}
    elif all(isinstance(item, int) for item in prompt):
        yield {"tokens": tuple(prompt)}
    else:
        kind = type(prompt[0])
        for i, item in enumerate(prompt):
            if type(item) is not kind or isinstance(item, int):
                raise BadRequest(f"prompt[{i}]: texts, tokens and lists of tokens do not mix", param=f"prompt[{i}]")
            if not item and isinstance(item, list):
                raise BadRequest(f"prompt[{i}]: an empty list of tokens", param=f"prompt[{i}]")
            yield {"text": item} if isinstance(item, str) else {"tokens": tuple(item)}


def _refuse_unsupported(request: ChatRequest) -> None:
    """Raises BadRequest."""
    if request.modalities and request.modalities != ["text"]:
        raise BadRequest("modalities: only text is supported", param="modalities")
    for name in _NOT_YET:
        if getattr(request, name):
            raise BadRequest(f"{name}: not supported yet", param=name)


def _message(message: ChatMessage, path: str) -> Message:
    if message.content is None and message.role != "assistant":
        raise BadRequest(f"{path}.content: required, and missing", param=f"{path}.content")
    return Message(
        role=message.role,
        content=_text(message.content, f"{path}.content"),
        name=message.name,
        reasoning=message.reasoning_content,
        tool_calls=tuple(_tool_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(message.tool_calls or ())),
        tool_call_id=message.tool_call_id,
    )


def _as_templates_know_it(message: Message) -> Message:
    return msgspec.structs.replace(message, role="system") if message.role == "developer" else message


def _text(content: str | list[ContentPart] | None, path: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_part(part, f"{path}[{i}]") for i, part in enumerate(content))


def _part(part: ContentPart, path: str) -> str:
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type in ("text", "refusal"):
        raise BadRequest(f"{path}.{part.type}: required, and missing", param=f"{path}.{part.type}")
    senses = {"image_url": "no vision", "input_image": "no vision", "input_audio": "no hearing"}
    why = f"this model has {senses[part.type]}" if part.type in senses else "only text is supported"
    raise BadRequest(f"{path}: {why}; send text parts", param=path)


def _tool_call(call: ToolCall, path: str) -> dict[str, Any]:
    """As templates of the Hugging Face convention want it: the arguments an object, where they are one."""
    arguments: Any = call.function.arguments
    if isinstance(arguments, str):
        try:
            decoded = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            decoded = None  # a model may have written it: the text then stands for itself
        arguments = decoded if isinstance(decoded, dict) else arguments
    check_plain(arguments, f"{path}.function.arguments")
    return {"id": call.id, "type": call.type, "function": {"name": call.function.name, "arguments": arguments}}
