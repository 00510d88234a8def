"""The one error of the sandbox."""


class SandboxError(Exception):
    """The sandbox can't do what was asked; the message is for the operator."""
