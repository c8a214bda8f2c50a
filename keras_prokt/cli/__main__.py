"""`python -m keras_prokt.cli`, for where the command is not on the path."""

from keras_prokt.cli import main

if __name__ == "__main__":
    main()
