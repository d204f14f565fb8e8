//! Delta tables, SQL expressions, training sets: the only crate that knows DataFusion.
