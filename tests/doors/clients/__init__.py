"""How each outside client says what the operations ask for. Each file is one client; none of them decides anything."""
