"""etcd, below one prefix: reads, transactions, history. Knows no Patroni."""
