"""Commands: decide, record, ask Patroni once, prove the outcome."""
