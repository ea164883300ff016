"""`mongarsctl setup`: from a node of one machine to one for the house."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from mongarsd.client import Client, places
from mongarsd.ctl.app import examples
from mongarsd.ctl.asking import agree
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import clean

EXAMPLES = examples("mongarsctl setup", "mongarsctl setup --yes    # asks nothing")
FILE = "/etc/mongarsd/mongarsd.toml"
PORT = 8420

_HOW = """
To let other machines in, put this into {file} (in the section [server], if there
is one already) and restart mongarsd with {restart}:

    [server]
    listen = ["0.0.0.0:{port}"]

Clients then use http://{host}.local:{port}/v1 (Ollama's: without /v1) and send the
key as their API key.

This is plain HTTP: whoever can read the traffic of your network can read the
prompts and the key. For HTTPS leave `listen` as it is, and put a TLS proxy such as
Caddy before the port:

    {host}.local {{
        tls internal
        reverse_proxy 127.0.0.1:{port}
    }}

and say so in the section [server], so that mongarsd tells its clients apart:

    trusted_proxies = ["127.0.0.1"]
"""


@connected
def setup(
    client: Client,
    name: Annotated[str, typer.Option(help="Name of the key.")] = "first",
    account: Annotated[str, typer.Option(help="Whose conversations it sees; local: those kept so far.")] = "local",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Open this node to the network: make the first key, and say what to set."""
    keys = client.keys()
    if keys:
        print(
            f"There is a key already: {', '.join(clean(key.name) for key in keys)}. For another: mongarsctl keys create"
        )
    else:
        print("No key exists yet. From the first one on every request needs one, also on this machine.")
        if not yes:
            agree("Make one?", refused="nothing was changed")
        made = client.create_key(name, account=account)
        print(f"\nThe key, shown only this once:\n\n    {made.text}")
    host = socket.gethostname().removesuffix(".local")
    restart = "`sudo systemctl restart mongarsd`" if places.installed() else "`systemctl restart mongarsd`, or by hand"
    print(_HOW.format(file=FILE, port=_port(client), host=clean(host), restart=restart), end="")


def _port(client: Client) -> int:
    """Of what the node listens on now."""
    server = client.config().get("server", {})
    _, _, port = str(next(iter(server.get("listen", ())), "")).rpartition(":")
    return int(port) if port.isdigit() and int(port) else PORT
