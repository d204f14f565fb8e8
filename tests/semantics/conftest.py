"""What the semantics tests share: a way to declare a tiny project and have its engine and oracle at hand."""

import pytest


@pytest.fixture
def build(tmp_path):
    """Makes worlds: `build({"n": tw.count(over="7d")})`. Each has an engine of its own, closed when the test ends."""
    # Here rather than above, so that the tests of the oracle run where the product is not built.
    from .world import World, project

    worlds = []

    def make(features, columns=None, *, expressions=None, clock="events", **declared):
        path = tmp_path / f"world-{len(worlds)}"
        worlds.append(World(path, project(features, columns, **declared), expressions, clock))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
