"""`python -m lumilab` is `lumi`."""

from lumilab.cli.app import main

if __name__ == "__main__":
    main()
