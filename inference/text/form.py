"""A job's form: what binds its answer, and how its tool calls are read, for the model's own way of calling tools."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job, Message, ToolChoice
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.text.tools.base import Format, Parser
from mongarsd.inference.text.tools.generic import explain

THOUGHT = "</think>"


def check_tools(job: Job) -> None:
    """A job may come from elsewhere than our API. Raises BadRequest."""
    for index, tool in enumerate(job.tools):
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"tools[{index}]: a function with a name is missing", param=f"tools[{index}]")


def explained(job: Job, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages as a template that knows no tools can show them."""
    return explain(messages, job.tools if job.tool_choice is not ToolChoice.NONE else ())


def constraint(job: Job, form: Format, *, thinking: bool) -> Constraint | None:
    """What binds the answer; a prompt that ends in a thought leaves the thought free. Raises BadRequest."""
    after = (THOUGHT,) if thinking else ()
    if job.grammar is not None:
        return Constraint(job.grammar, after)
    if not job.tools or job.tool_choice is ToolChoice.NONE:
        return None
    many = job.parallel_tool_calls and job.tool_name is None
    if (bound := _bound(job, form)) is None:
        return None
    tools = [tool for tool in job.tools if job.tool_name in (None, tool["function"]["name"])]
    return Constraint(form.grammar(tools, many=many, opened=bool(bound)), (*after, bound) if bound else after)


def parser(job: Job, form: Format) -> partial[Parser] | None:
    """Makes the parser of the job's answer; None if there is nothing to read."""
    if not job.tools or job.tool_choice is ToolChoice.NONE:
        return None
    names = {tool["function"]["name"]: tool["function"].get("parameters") for tool in job.tools}
    return partial(form.parser, names, bound=_bound(job, form) if job.grammar is None else None)


def _bound(job: Job, form: Format) -> str | None:
    """The text after which the answer must be calls; "" = from its start, None = nowhere."""
    if job.tool_choice is ToolChoice.REQUIRED:
        return ""
    return form.opens[0] if form.opens else None
