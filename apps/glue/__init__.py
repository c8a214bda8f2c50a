"""The GLUE tasks: an app a module, their data and the files of a submission."""
