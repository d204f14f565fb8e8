"""Planted bugs: small patches, each of which breaks a promise, to see whether the kinds of trial find it.

`python -m proof.plants` builds the product with each and runs the kinds that are to find it.
"""
