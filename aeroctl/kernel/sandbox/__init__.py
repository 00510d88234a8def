"""A real cluster on loopback that leaves nothing behind: etcd, Patroni, PostgreSQL, aerokernel.

`cluster.Sandbox` is it, `command.sandbox` its command line. Importing starts nothing.
"""
