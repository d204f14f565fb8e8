"""What the kinds `overload` and `soak` share: a server under observation, rows to send, and judges of what was seen."""
