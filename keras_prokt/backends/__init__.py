"""What computes: what is of one backend alone."""
