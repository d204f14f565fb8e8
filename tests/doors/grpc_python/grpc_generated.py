"""The Python client of the gRPC API, made from the protobuf files at test time as any user makes one.

    generated = generate(directory)          # runs grpcio-tools; directory/thalweg/v1/*_pb2.py and *_pb2_grpc.py
    client = generated.client(channel, key="..")

The package `thalweg` is found beside the generated modules: their folder is added to its path.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

PROTO = Path(__file__).resolve().parents[3] / "proto"
NAMES = ("features", "events", "admin", "direct")


def generate(directory: Path) -> Generated:
    """Makes the client's code in a directory, and loads it. One directory serves a whole process."""
    directory.mkdir(parents=True, exist_ok=True)
    files = [f"thalweg/v1/{name}.proto" for name in NAMES]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO)]
    outputs = [f"--python_out={directory}", f"--grpc_python_out={directory}"]
    subprocess.run([*command, *outputs, *files], check=True)
    if importlib.util.find_spec("google.rpc") is None:
        # What googleapis-common-protos would bring.
        subprocess.run([*command, f"--python_out={directory}", "google/rpc/status.proto"], check=True)
    return Generated(directory)


class Generated:
    """The modules by name: `features_pb2`, `features_pb2_grpc`, .. and `status_pb2`."""

    def __init__(self, directory: Path) -> None:
        if importlib.util.find_spec("thalweg") is not None:
            package = importlib.import_module("thalweg")
            package.__path__.append(str(directory / "thalweg"))
        sys.path.append(str(directory))
        importlib.invalidate_caches()
        self.status_pb2 = importlib.import_module("google.rpc.status_pb2")
        self.modules: dict[str, ModuleType] = {}
        for name in NAMES:
            for kind in ("pb2", "pb2_grpc"):
                self.modules[f"{name}_{kind}"] = importlib.import_module(f"thalweg.v1.{name}_{kind}")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.modules[name]
        except KeyError:
            raise AttributeError(name) from None

    def client(self, channel: grpc.Channel, key: str | None = None) -> Any:
        """A client over a channel; the key goes with every call."""
        from grpc_client import Client

        return Client(self, channel, key)
