"""Who calls: the bearer token of a request, looked up in the server's token file (P7-A1)."""

import logging
from pathlib import Path

from starlette.requests import Request

from aeroctl.kernel import callers
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.failures import Failure

LOGGER = logging.getLogger("aerokernel")


def caller(request: Request, token_file: Path | None) -> Caller:
    """Who calls. The file is read each time, so that a revoked token is refused at once.

    Without a token file every caller is an anonymous observer. Raises Failure UNAUTHENTICATED,
    TOKEN_FILE_UNREADABLE.
    """
    if token_file is None:
        return callers.ANONYMOUS
    try:
        known = callers.load(token_file)
    except callers.TokenFileError as error:
        LOGGER.error("token file: %s", error)  # noqa: TRY400 - the words say all
        message = "the kernel can't read its token file, and therefore accepts no token"
        raise Failure("TOKEN_FILE_UNREADABLE", message) from error
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise Failure("UNAUTHENTICATED", "the request has more than one Authorization header")
    scheme, _, token = (headers[0] if headers else "").partition(" ")
    if not scheme:
        raise Failure("UNAUTHENTICATED", "the request has no token")
    found = callers.find(known, token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise Failure("UNAUTHENTICATED", "the token is not in the kernel's token file")
    return found
