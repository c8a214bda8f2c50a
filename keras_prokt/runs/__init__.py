"""Runs: a specification that is a value, and what carries it out, resumes it, reads it back."""
