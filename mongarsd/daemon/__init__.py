"""The one place that wires: settings, sockets, signals, and every part of the other rooms passed in by hand."""
