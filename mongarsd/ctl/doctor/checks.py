"""What the facts mean. Pure: facts in, findings out, one function a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mongarsd.ctl.doctor.facts import Facts
from mongarsd.ctl.doctor.finding import Finding, Level
from mongarsd.ctl.units import size, span
from mongarsd.ground.status import ModelStatus

#: A requantisation holds source and result at the same time: 0.2 GB for the default model, 2 GB for one of 1B.
LOW_DISK = 2_000_000_000  # bytes
NO_DISK = 300_000_000
#: The default model with its repacked copy and 8 slots takes about 0.4 GB.
LOW_MEMORY = 400_000_000  # bytes
HOT = 80.0  # °C: a Raspberry Pi slows down from here on
#: Before this release existed the clock is certainly wrong; certificates are then refused.
EARLIEST = 1_735_689_600.0  # 2025-01-01

Findings = Iterator[Finding]


def diagnose(facts: Facts) -> list[Finding]:
    """All findings, in the order in which a person would look."""
    checks: tuple[Callable[[Facts], Findings], ...] = (
        _daemon,
        _service,
        _settings,
        _ports,
        _models,
        _board,
        _temperature,
        _memory,
        _disk,
        _clock,
    )
    return [finding for check in checks for finding in check(facts)]


def _daemon(facts: Facts) -> Findings:
    node = facts.node
    if facts.readiness:
        yield Finding("daemon", Level.OK, "answers")
        yield Finding("daemon", Level.NOTE, facts.refusal)
        for name, result in facts.readiness.checks.items():
            yield Finding(name, Level.OK if result == "ok" else Level.WARNING, result)
        return
    if not node:
        yield Finding("daemon", Level.FAULT, facts.refusal)
        return
    yield Finding("daemon", Level.OK, f"version {node.version} runs for {span(node.uptime)} as process {node.pid}")
    for warning in node.warnings:
        yield Finding("daemon", Level.WARNING, warning)


def _service(facts: Facts) -> Findings:
    service = facts.service
    if not service:
        return
    if service.active == "failed":
        yield Finding(
            "service",
            Level.FAULT,
            f"systemd gave up: {service.result or 'failed'}",
            "`journalctl -u mongarsd -n 30` says why; then `sudo systemctl restart mongarsd`",
        )
    elif service.enabled != "enabled":
        yield Finding(
            "service",
            Level.WARNING,
            f"{service.active}, and not started at boot",
            "`sudo systemctl enable --now mongarsd`",
        )
    elif service.restarts:
        yield Finding(
            "service",
            Level.WARNING,
            f"{service.active}, restarted {service.restarts} times since it was started",
            "`journalctl -u mongarsd` says why",
        )
    else:
        yield Finding("service", Level.OK, f"{service.active}, started at boot")


def _settings(facts: Facts) -> Findings:
    if facts.settings_code == 0:
        yield Finding("settings", Level.OK, "valid")
    elif facts.settings_code is None:
        if facts.settings_errors:
            yield Finding("settings", Level.NOTE, f"not checked: {facts.settings_errors}")
    elif not facts.settings_readable:
        yield Finding("settings", Level.NOTE, "not checked: the file is not readable for you", "use sudo")
    else:
        for line in facts.settings_errors.splitlines():
            yield Finding("settings", Level.FAULT, line.strip())


def _ports(facts: Facts) -> Findings:
    for port in facts.ports:
        subject = f"port {port.address}"
        number = port.address.rpartition(":")[2]
        if facts.node and port.answers:
            yield Finding(subject, Level.OK, f"answers at http://{port.address}")
        elif facts.node:
            yield Finding(
                subject,
                Level.FAULT,
                "does not answer, though the daemon says it listens there",
                "look for a firewall, and at the daemon's log",
            )
        elif port.taken and not facts.denied:
            yield Finding(
                subject,
                Level.FAULT,
                "is used by another program, or by a mongarsd with another state directory",
                f"`sudo ss -ltnp 'sport = :{number}'` names it; end it, or set server.listen to another port; "
                "a mongarsd is found with --socket and its state directory",
            )
        elif not facts.denied:
            yield Finding(subject, Level.NOTE, "is free")


def _models(facts: Facts) -> Findings:
    if not facts.node:
        return
    if facts.node.fetching:
        yield Finding("models", Level.NOTE, f"{facts.node.fetching} is being fetched")
    elif not facts.node.models:
        yield Finding("models", Level.FAULT, "there is none", "`mongarsctl models pull smollm2-135m-instruct`")
    for model in facts.node.models:
        yield _model(model)


def _model(model: ModelStatus) -> Finding:
    subject = f"model {model.name}"
    if model.state == "failed":
        remedy = f"`mongarsctl models load {model.name}` tries again; a smaller model or inference.context may fit"
        return Finding(subject, Level.FAULT, model.error or "could not be loaded", remedy)
    if model.restarts:
        text = f"{model.state}, its worker was restarted {model.restarts} times"
        return Finding(subject, Level.WARNING, text, "the daemon's log says why; often it is too little memory")
    if model.state == "on_disk":
        return Finding(subject, Level.NOTE, "on disk, is loaded at the first request")
    return Finding(subject, Level.OK, model.state)


def _board(facts: Facts) -> Findings:
    board = facts.node.board.name if facts.node else facts.board
    if facts.bits < 64:
        yield Finding(
            "board",
            Level.FAULT,
            f"{board or facts.machine} runs a {facts.bits}-bit system",
            "install the 64-bit one: the 32-bit kernels are several times slower, and models over 2 GB do not fit",
        )
    elif board or facts.machine:
        yield Finding("board", Level.OK, ", ".join(part for part in (board, facts.machine) if part))
    if facts.node and facts.node.board.throttled:
        yield Finding(
            "power",
            Level.WARNING,
            f"the board slows itself down: {facts.node.board.throttled}",
            "use the power supply made for the board, and a fan or heat sink",
        )


def _temperature(facts: Facts) -> Findings:
    degrees = facts.node.board.temperature if facts.node else facts.temperature
    if degrees is None:
        return
    if degrees >= HOT:
        yield Finding("temperature", Level.WARNING, f"{degrees:.0f} °C", "give the board a fan or a heat sink")
    else:
        yield Finding("temperature", Level.OK, f"{degrees:.0f} °C")


def _memory(facts: Facts) -> Findings:
    if facts.node:
        total, available = facts.node.board.memory_total, facts.node.board.memory_available
    else:
        total, available = facts.memory_total, facts.memory_available
    if not total:
        return
    text = f"{size(available)} of {size(total)} free"
    loaded = facts.node and any(model.pid is not None for model in facts.node.models)
    if available < LOW_MEMORY and not loaded:
        yield Finding("memory", Level.WARNING, text, "end other programs: the default model takes about 0.4 GB")
    else:
        yield Finding("memory", Level.OK, text)


def _disk(facts: Facts) -> Findings:
    disk = facts.disk
    if not disk:
        return
    text = f"{size(disk.free)} free for {disk.path}"
    if disk.writable is False:
        yield Finding("disk", Level.FAULT, f"{disk.path} is not writable for you", "name another with --state-dir")
    elif disk.free < NO_DISK:
        yield Finding("disk", Level.FAULT, text, "free some: `mongarsctl models rm NAME`, `sudo apt clean`")
    elif disk.free < LOW_DISK:
        yield Finding("disk", Level.WARNING, text, "another model may not fit: `mongarsctl models rm NAME`")
    else:
        yield Finding("disk", Level.OK, text)


def _clock(facts: Facts) -> Findings:
    if facts.now < EARLIEST:
        yield Finding(
            "clock",
            Level.FAULT,
            "is years behind, so downloads fail with certificate errors",
            "connect to a network and wait for NTP, or `sudo date -s 'YYYY-MM-DD HH:MM'`",
        )
    elif facts.synchronised is False:
        yield Finding("clock", Level.NOTE, "is not synchronised yet (no network?)")
    else:
        yield Finding("clock", Level.OK, "is plausible")
