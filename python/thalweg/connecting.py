"""One way in, whether the platform is a server or a directory."""

from __future__ import annotations

import os
from pathlib import Path

from . import arguments
from .client import Client
from .engine import Engine


def connect(
    url: str | Path | None = None,
    *,
    api_key: str | None = None,
    ca_cert: str | os.PathLike[str] | None = None,
) -> Client | Engine:
    """Opens a platform: a server by its URL, or an engine in the process by its directory.

    Args:
        url: `http://...` or `https://...` for a server, which must be up; a path or `file://...` for a directory. Left
            out, the server of the environment variable `THALWEG_URL`, or `http://127.0.0.1:8765`.
        api_key: of a server; left out, that of the environment variable `THALWEG_API_KEY`.
        ca_cert: of a server: the file of the authority that signed its certificate; left out, that of the environment
            variable `THALWEG_CA_CERT`, or those that the system knows.

    Raises:
        ServerError: the server cannot be reached.
    """
    if url is not None and not isinstance(url, str | Path):
        raise TypeError(f"`url` takes an address or a directory, not {arguments.kind(url)}")
    if url is None or str(url).startswith(("http://", "https://")):
        client = Client(None if url is None else str(url), api_key=api_key, ca_cert=ca_cert)
        client.health()
        return client
    path = str(url).removeprefix("file://")
    if "://" in path:
        raise ValueError(f"`{url}` is neither a server (http://...) nor a directory")
    if api_key is not None or ca_cert is not None:
        raise ValueError(f"`api_key` and `ca_cert` are for servers, and `{url}` is a directory; leave them out")
    return Engine(path)
