"""The kernel boundary adapter: the only caller of the kernel."""
