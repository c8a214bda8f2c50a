"""Data sets, and batches in an order that a resumed run can repeat."""
