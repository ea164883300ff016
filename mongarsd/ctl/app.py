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


class Group(TyperGroup):
    """Prints the error of any command below it and exits with its code; Ctrl-C is an exit like any other."""

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
