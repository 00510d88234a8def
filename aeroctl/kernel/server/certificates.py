"""TLS contexts of the server, made from files, which can be exchanged while connections go on."""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self


class Exchangeable(ssl.SSLContext):
    """A context that is exchanged as a whole for everybody who uses it.

    Loading files into a context that is in use would mix old and new: a certificate and its key go
    together, and a context never forgets an authority that it has once trusted.
    """

    current: ssl.SSLContext

    def __new__(cls, current: ssl.SSLContext) -> Self:
        """`current`: the context that is used until it is exchanged."""
        made = super().__new__(cls, current.protocol)
        made.current = current
        return made

    def wrap_bio(self, *options: Any, **more: Any) -> ssl.SSLObject:
        """The one call with which asyncio and HTTP clients begin TLS."""
        return self.current.wrap_bio(*options, **more)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """HTTP clients set these before each connection."""
        self.current.set_alpn_protocols(alpn_protocols)


def for_client(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """How a server that the kernel calls is verified, and the certificate that the kernel shows.

    Raises OSError, of which ssl.SSLError is one.
    """
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        _load(context, certificate, key)
    return context


def for_server(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """The certificate that callers see, and whose certificates they must show. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    _load(context, certificate, key)
    return context


def problem(whose: str, error: OSError) -> str:
    """Why certificates can't be used, in words."""
    words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return f"{whose}'s certificates can't be used: {words or error}"


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """An encrypted key is refused: without the empty password OpenSSL would ask at the terminal."""
    context.load_cert_chain(certificate, key, password=lambda: "")
