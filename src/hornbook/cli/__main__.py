"""`python -m hornbook.cli` is `hornbook`."""

from hornbook.cli import main

if __name__ == "__main__":
    main()
