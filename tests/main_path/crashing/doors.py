"""The server's doors as bytes, with one try for each request: nothing here hides that an answer was lost."""

import http.client
import json
import socket
from urllib.parse import urlencode

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
LINES = "application/x-ndjson"


class Lost(Exception):
    """The server went away before it had answered whole: nobody knows what became of the request."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


class Http:
    """One connection to a server; a thread has its own."""

    def __init__(self, port: int, api_key: str | None = None, timeout: float = 30) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def bytes(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content: str = JSON,
        key: str | None = None,
        query: dict[str, str] | None = None,
    ) -> bytes:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = content
        if key is not None:
            headers["Idempotency-Key"] = key
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            self._connection.request(method, target, body=body, headers=headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost(repr(error)) from error
        if response.status >= 300:
            raise _refusal(response.status, answer)
        return answer

    def get(self, path: str, query: dict[str, str] | None = None) -> dict:
        return json.loads(self.bytes("GET", path, query=query))

    def post(self, path: str, body: object, *, key: str | None = None, query: dict[str, str] | None = None) -> dict:
        return json.loads(self.bytes("POST", path, json.dumps(body).encode(), key=key, query=query))

    def push(self, source: str, body: bytes, content: str, key: str | None) -> dict:
        return json.loads(self.bytes("POST", f"/v1/sources/{source}/events", body, content=content, key=key))

    def close(self) -> None:
        self._connection.close()


def _refusal(status: int, answer: bytes) -> Refused:
    try:
        error = json.loads(answer)["error"]
        return Refused(status, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        return Refused(status, "?", answer[:200].decode("utf-8", "replace"))


class Redis:
    """One connection to the Redis port."""

    def __init__(self, port: int, api_key: str | None = None, timeout: float = 30) -> None:
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        except OSError as error:
            raise Lost(repr(error)) from error
        self._answers = self._socket.makefile("rb")
        if api_key:
            self.call("AUTH", api_key)

    def call(self, *words: str) -> object:
        encoded = [word.encode() for word in words]
        command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        try:
            self._socket.sendall(command)
            return self._read()
        except OSError as error:
            raise Lost(repr(error)) from error

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _read(self) -> object:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise Lost("the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            code, _, message = rest.decode().partition(" ")
            raise Refused(0, code, message)
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._read() for _ in range(int(rest))]
        assert kind == b"$", line
        if rest == b"-1":
            return None
        body = self._answers.read(int(rest) + 2)
        if len(body) < int(rest) + 2:
            raise Lost("the connection ended")
        return body[:-2].decode()
