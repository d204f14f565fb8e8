"""What is tried at the doors and what has to come of it, each said once for all clients."""
