"""The control plane of a replicated database, as a stateless command line."""

__version__ = "0.1.0"
