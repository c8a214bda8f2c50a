"""The app registry: every module here defines `APP`; see `keras_prokt.app`."""
