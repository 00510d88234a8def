"""Many small requests to one HTTP server at once: all are sent, then all answers are read.

On a connection of their own, which ends with them, so that nothing is left behind by whoever goes
away meanwhile.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence

import httpx


class Broken(Exception):
    """The other side did not answer all of them, or not in HTTP."""


async def post(
    url: httpx.URL,
    tls: ssl.SSLContext | None,
    headers: Mapping[str, str],
    bodies: Sequence[bytes],
    seconds: float,
) -> list[tuple[int, bytes]]:
    """The status and the body of every answer. Raises OSError, Broken."""
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    lines = [
        f"POST {url.raw_path.decode()} HTTP/1.1",
        f"Host: {url.netloc.decode()}",
        "Content-Type: application/json",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join(lines).encode()
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                url.host, port, ssl=(tls or True) if secure else None
            )
            try:
                writer.writelines(
                    b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
                    for body in bodies
                )
                return [await _answer(reader) for _ in bodies]
            finally:
                writer.close()
    except TimeoutError as error:
        raise Broken(f"no answer within {seconds:g} seconds") from error
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise Broken(f"the answer broke off, or is not HTTP: {error}") from error


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One answer; its body has a length, or comes in chunks."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if fields.get("transfer-encoding", "").lower() != "chunked":
        length = int(fields.get("content-length", ""))
        return _status(status), await reader.readexactly(length)
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return _status(status), body


def _status(line: str) -> int:
    return int(line.partition(" ")[2][:3])
