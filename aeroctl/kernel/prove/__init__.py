"""What became of a request, proved by the store's history. Pure."""
