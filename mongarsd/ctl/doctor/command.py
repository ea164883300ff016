"""`mongarsctl doctor`."""

from __future__ import annotations

import msgspec
import typer

from mongarsd.client import Client
from mongarsd.ctl.app import Json, examples
from mongarsd.ctl.connect import connected
from mongarsd.ctl.exits import Exit
from mongarsd.ctl.terminal import GREEN, RED, YELLOW, clean, paint, width, wrap

EXAMPLES = examples(
    "mongarsctl doctor           # works when the daemon does not",
    "sudo mongarsctl doctor      # may look at everything",
    "mongarsctl doctor --json    # for a bug report",
)


@connected
def doctor(client: Client, json: Json = False) -> None:
    """Check daemon, settings, port, models and board; say what to do.

    Exits with 1 if something does not work.
    """
    from mongarsd.ctl.doctor.checks import diagnose
    from mongarsd.ctl.doctor.facts import gather
    from mongarsd.ctl.doctor.finding import Level

    findings = diagnose(gather(client))
    if json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        marks = {Level.OK: ("ok", GREEN), Level.NOTE: ("note", "0"), Level.WARNING: ("warn", YELLOW)}
        for finding in findings:
            word, colour = marks.get(finding.level, ("FAULT", RED))
            first, *rest = wrap(clean(f"{finding.subject}: {finding.text}"), " " * 7, width())
            print("\n".join((paint(word.ljust(5), colour) + first[5:], *rest)))
            if finding.remedy:
                print("\n".join(wrap("→ " + clean(finding.remedy), " " * 7, width())))
    faults = [finding for finding in findings if finding.level is Level.FAULT]
    if faults:
        raise typer.Exit(Exit.FAILURE)
