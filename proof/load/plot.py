"""A picture of a process over its work: memory, handles and threads, and disk by part."""

from __future__ import annotations

from pathlib import Path

from .process import MEBIBYTE, Sample


def over_events(samples: list[Sample], place: Path, title: str) -> Path | None:
    """Draws it, where matplotlib is there."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    millions = [sample.mark / 1e6 for sample in samples]
    figure, (memory, handles, disk) = pyplot.subplots(3, 1, figsize=(9, 9), sharex=True, constrained_layout=True)
    figure.suptitle(title)
    memory.plot(millions, [sample.memory / MEBIBYTE for sample in samples], label="resident")
    memory.plot(millions, [sample.peak / MEBIBYTE for sample in samples], label="most so far", linewidth=0.8)
    memory.set_ylabel("memory, MiB")
    handles.plot(millions, [sample.handles for sample in samples], label="open handles")
    handles.plot(millions, [sample.threads for sample in samples], label="threads")
    handles.set_ylabel("number")
    parts = sorted({part for sample in samples for part in sample.disk})
    disk.stackplot(
        millions, [[sample.disk.get(part, 0) / MEBIBYTE for sample in samples] for part in parts], labels=parts
    )
    disk.set_ylabel("disk, MiB")
    disk.set_xlabel("million events")
    for axes in (memory, handles, disk):
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(place, dpi=110)
    pyplot.close(figure)
    return place
