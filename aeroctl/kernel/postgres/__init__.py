"""What every node answers by SQL, within bounds of time and memory."""
