"""What Patroni wrote into the store, and its REST API."""
