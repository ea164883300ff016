"""How every command group is made: plain help with examples, no rich, and MongarsError as the one way to fail."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mongarsd.client.errors import MongarsError
from mongarsd.ctl.exits import Exit, Failure, exit_code
from mongarsd.ctl.terminal import RED, clean, paint

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


#: Options of commands that may also stand before the command, and whether a value follows.
ANYWHERE = {"--socket": True, "--url": True, "--key": True, "--json": False}
#: Groups have either of the two; "delete" is what the API calls it.
REMOVE = ("rm", "remove", "delete")


class Group(TyperGroup):
    """Prints the error of any command below it and exits with its code; Ctrl-C is an exit like any other."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._behind_the_command(ctx, args))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        names = REMOVE if cmd_name in REMOVE else (cmd_name,)
        return next((found for name in names if (found := super(Group, self).get_command(ctx, name))), None)

    def _behind_the_command(self, ctx: Any, args: list[str]) -> list[str]:
        """`--socket X models list` as `models list --socket X`: a command knows the option or says that it does not."""
        front, rest = begins_with(args)
        if front and not rest and not ctx.resilient_parsing:
            ctx.fail(f"Option '{front[-1]}' requires an argument." if ANYWHERE.get(front[-1]) else "Missing command.")
        command: Any = self
        depth = 0
        while isinstance(command, TyperGroup) and depth < len(rest):
            if (command := command.get_command(ctx, rest[depth])) is not None:
                depth += 1
        return [*rest[:depth], *front, *rest[depth:]] if depth else rest  # without a command there is help

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MongarsError as error:
            message = error.message if isinstance(error, Failure) else clean(error.message)
            print(f"{paint('mongarsctl:', RED, sys.stderr)} {message}", file=sys.stderr)
            raise typer.Exit(exit_code(error)) from None
        except (KeyboardInterrupt, typer.Abort):  # Abort: in the middle of a question
            print(file=sys.stderr)
            raise typer.Exit(Exit.INTERRUPTED) from None


def begins_with(args: list[str]) -> tuple[list[str], list[str]]:
    """The options of ANYWHERE before the first other word, and the rest."""
    end = 0
    while end < len(args) and (name := args[end].partition("=")[0]) in ANYWHERE:
        end += 2 if ANYWHERE[name] and args[end] == name else 1
    return args[:end], args[end:]


def make_app(help_text: str, epilog: str | None = None) -> typer.Typer:
    """A group without rich: its markup and tracebacks cost 100 ms, and its boxes are read out by screen readers."""
    return typer.Typer(
        help=help_text,
        epilog=epilog,
        cls=Group,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    )


def examples(*lines: str) -> str:
    """An epilog that keeps its lines. Each is "command  # what it does"."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
