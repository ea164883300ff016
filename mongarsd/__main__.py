"""`python -m mongarsd` is `mongarsd`."""

from mongarsd.daemon.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
