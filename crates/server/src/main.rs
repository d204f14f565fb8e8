//! The binary `thalweg`: everything it does is in the library, so that the Python package runs the same.

fn main() {
    let arguments = std::env::args_os().skip(1).collect();
    std::process::exit(thalweg_server::run(arguments));
}
