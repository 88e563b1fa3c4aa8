"""``python -m coordinator``: the command line."""

from coordinator.cli import main

if __name__ == "__main__":
    main()
