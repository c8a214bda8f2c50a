"""The app registry: a module that defines `APP` is an app; see `keras_prokt.app`."""
