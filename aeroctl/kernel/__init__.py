"""aerokernel: serves the kernel API over etcd, Patroni and PostgreSQL. It holds no state."""
