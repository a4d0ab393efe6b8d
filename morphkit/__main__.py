"""``python -m morphkit`` is the command line."""

from morphkit.cli import main

if __name__ == "__main__":
    main(prog_name="morphkit")
