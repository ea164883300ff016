"""`mongarsctl cache`: what is kept of prompts and answers, and forgetting it."""

from __future__ import annotations

import msgspec

from mongarsd.client import Client
from mongarsd.ctl.app import Json, examples, make_app
from mongarsd.ctl.connect import connected
from mongarsd.ctl.terminal import clean, pairs, table
from mongarsd.ctl.units import size
from mongarsd.ground.status import CacheStatus

app = make_app("Show and clear what is kept of prompts and answers.", examples("mongarsctl cache status"))
_WHERE = {"kv": "model's own memory", "ram": "RAM", "disk": "disk"}


@app.command(epilog=examples("mongarsctl cache status", "mongarsctl cache status --json"))
@connected
def status(client: Client, json: Json = False) -> None:
    """Show what is stored, and how much it saved since the start."""
    cache = client.cache()
    print(_json(cache) if json else "\n".join(render(cache)))


@app.command(epilog=examples("mongarsctl cache clear"))
@connected
def clear(client: Client, json: Json = False) -> None:
    """Forget everything that is stored of prompts and answers, on disk too. Running answers go on."""
    cache = client.clear_cache()
    print(_json(cache) if json else "The caches of prompts and answers are empty.")


def render(cache: CacheStatus) -> list[str]:
    """Lines for people."""
    rows = [
        (
            _WHERE[tier.name],
            size(tier.bytes),
            "-" if tier.name == "kv" else size(tier.budget) if tier.budget else "off",
            str(tier.hits),
            str(tier.tokens),
            str(tier.evictions),
        )
        for tier in cache.tiers
    ]
    answers = cache.answers
    whole = f"{answers.answers}, {size(answers.bytes)} of {size(answers.budget)}" if answers.budget else "off"
    return [
        *table(("WHERE", "HELD", "BUDGET", "HITS", "TOKENS SAVED", "EVICTED"), rows, numbers=(1, 2, 3, 4, 5)),
        "",
        *pairs(
            [
                ("misses", str(cache.misses)),
                ("written today", f"{size(cache.written_today)} of {size(cache.writes_per_day)}"),
                ("directory", clean(cache.directory)),
                ("whole answers", whole),
                ("told again", f"{answers.hits}; computed {answers.misses}, forgotten {answers.evictions}"),
            ],
            indent="",
        ),
    ]


def _json(cache: CacheStatus) -> str:
    return msgspec.json.format(msgspec.json.encode(cache), indent=2).decode()
