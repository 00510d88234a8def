"""The reads of the API, one module each, with typed arguments."""
