"""One loaded model in a process of its own: a crash in native code costs a restart, not the service."""
