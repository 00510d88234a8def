"""Where state is read from: a kernel, or an evidence file; and points of history."""
