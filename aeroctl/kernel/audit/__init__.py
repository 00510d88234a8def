"""Our own keys in the store: audit trail, request keys, clock pins."""
