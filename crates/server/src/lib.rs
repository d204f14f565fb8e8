//! The one binary: configuration, APIs, background tasks, the wiring.
