"""What became of a request: proved by the history of Patroni's keys. Pure: no driver, no I/O."""
