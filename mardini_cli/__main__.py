"""``python -m mardini_cli`` is ``mardini``."""

from mardini_cli.cli.app import main

if __name__ == "__main__":
    main()
