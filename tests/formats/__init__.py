"""The formats on disk: data directories that released versions wrote, which every later one must open."""
