"""`python -m vcap` is the `vcap` command."""

from vcap.cli.app import main

if __name__ == "__main__":
    main()
