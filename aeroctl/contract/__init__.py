"""The kernel API, version 1: models, routes, queries, error codes, closed vocabularies. No I/O.

Every key of every model is always present; null means that there is no value. Sizes are bytes,
LSNs and 64-bit transaction ids are strings, times are RFC 3339 in UTC. A field that is added is
the same version; one that is renamed or removed is a new version.
"""
