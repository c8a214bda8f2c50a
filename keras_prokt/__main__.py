"""`python -m keras_prokt`: the command line, for where `keras-prokt` is not on the path."""

from keras_prokt.cli import main

if __name__ == "__main__":
    main(prog_name="keras-prokt")
