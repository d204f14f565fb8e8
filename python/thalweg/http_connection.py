"""One HTTP exchange after another over a kept-alive connection per thread, with retries that are safe.

A request is sent again after a lost connection or a refusal for overload, with the same idempotency key, a bounded
number of times. A time-out is retried only where the caller says so: a computation that takes long would only be
started twice.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import ssl
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from .errors import Overloaded, ServerError

MAX_WAIT_SECONDS = 30.0
"""The longest wait between two tries, whatever the server asks for."""
FIRST_WAIT_SECONDS = 0.1

_BUSY = (429, 503)
_LOST = (ConnectionError, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "*/*"
    idempotency_key: str | None = None
    retry_timeout: bool = False


class HttpConnection:
    """A server, by its URL."""

    def __init__(
        self, url: str, timeout: float, retries: int, headers: dict[str, str], ca_cert: str | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"`{url}` is not the address of a server; write one such as http://127.0.0.1:8765")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._timeout, self._retries, self._headers = timeout, retries, headers
        # Made once: reading the certificates of the system takes longer than a request.
        self._tls = _trust(ca_cert) if self._secure else None
        self._local = threading.local()
        self._open: weakref.WeakSet[http.client.HTTPConnection] = weakref.WeakSet()
        self._lock = threading.Lock()

    def json(self, exchange: Exchange) -> Any:
        """The answer, which is JSON; None where it is empty."""
        body = self.read(exchange)
        return json.loads(body) if body.strip() else None

    def read(self, exchange: Exchange) -> bytes:
        """The answer's body. Raises `ServerError` and `Overloaded`."""
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            fallback = FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.75, 1.25)
            try:
                status, retry_after, body = self._once(exchange)
            except TimeoutError as error:
                if last or not exchange.retry_timeout:
                    raise ServerError("TIMEOUT", f"no answer from {self.url} in {self._timeout:g} s") from error
            except ssl.SSLCertVerificationError as error:
                raise ServerError(
                    "UNREACHABLE",
                    f"the certificate of {self.url} is not trusted ({error.verify_message}); "
                    "pass ca_cert= with the authority that signed it",
                ) from error
            except _LOST as error:
                if last:
                    reason = str(error) or type(error).__name__
                    raise ServerError(
                        "UNREACHABLE", f"no connection to {self.url} ({reason}); is `thalweg serve` running there?"
                    ) from error
            else:
                if status < 300:
                    return body
                if status not in _BUSY or last:
                    raise _refusal(status, body, retry_after)
                fallback = fallback if retry_after is None else retry_after
            time.sleep(min(fallback, MAX_WAIT_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def connections(self) -> list[http.client.HTTPConnection]:
        """Those of all threads."""
        with self._lock:
            return list(self._open)

    def _once(self, exchange: Exchange) -> tuple[int, float | None, bytes]:
        path = f"{self._base}{exchange.path}"
        if exchange.query:
            path = f"{path}?{urlencode(exchange.query)}"
        headers = {"Accept": exchange.accept, **self._headers}
        if exchange.body is not None:
            headers["Content-Type"] = exchange.content_type
        if exchange.idempotency_key is not None:
            headers["Idempotency-Key"] = exchange.idempotency_key
        connection, kept = self._connection()
        try:
            try:
                response = self._sent(connection, exchange, path, headers)
            except TimeoutError:
                raise
            except _LOST:
                # A server closes a connection that has been idle: that costs no try.
                if not kept:
                    raise
                self.close()
                connection, _ = self._connection()
                response = self._sent(connection, exchange, path, headers)
            return response.status, _seconds(response.getheader("Retry-After")), response.read()
        except BaseException:
            # What is left of an interrupted answer must not be read as the next one.
            self.close()
            raise

    @staticmethod
    def _sent(
        connection: http.client.HTTPConnection, exchange: Exchange, path: str, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection.request(exchange.method, path, body=exchange.body, headers=headers)
        return connection.getresponse()

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """This thread's connection, and whether it has been used before."""
        kept = self._local.__dict__.get("connection")
        # A forked process must not share its parent's socket.
        if kept is not None and self._local.__dict__.get("process") == os.getpid():
            return kept, True
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        with self._lock:
            self._open.add(connection)
        self._local.connection = connection
        self._local.process = os.getpid()
        return connection, False


def _trust(ca_cert: str | None) -> ssl.SSLContext:
    """Whom the certificates of servers must be signed by: the authorities of the system, or the one in a file."""
    try:
        return ssl.create_default_context(cafile=ca_cert)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"`ca_cert` is {ca_cert!r}, and no certificate can be read there ({reason}); pass a file in PEM form"
        ) from error


def _refusal(status: int, body: bytes, retry_after: float | None) -> ServerError:
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code = "OVERLOADED" if status in _BUSY else f"HTTP_{status}"
        message = body[:200].decode("utf-8", "replace").strip() or f"the server answered with status {status}"
    if status == 429:
        return Overloaded(message, retry_after=retry_after or 0.0, status=status, code=code)
    return ServerError(code, message, status=status)


def _seconds(header: str | None) -> float | None:
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:
        return None
