"""Views: pure functions, one snapshot in, one view out, and its layout as text.

A view introduces no semantics of its own, reads no clock and asks nobody: the same snapshot gives
the same view (P7-D1), and if a view and the kernel disagree, the kernel is right.
"""
