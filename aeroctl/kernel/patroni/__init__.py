"""Patroni's keys, the contract's sections that are made from them, and Patroni's REST API."""
