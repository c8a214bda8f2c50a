"""Pages of the documents that are made from the code, so that they are never out of date."""
