"""`python -m controller` is `kopfbus`."""

from controller.cli.main import main

if __name__ == "__main__":
    main()
