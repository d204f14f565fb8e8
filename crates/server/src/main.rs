//! The binary `thalweg`: everything it does is in the library, so that the Python package runs the same.

/// Large batches come and go: the system's allocator gives their pages back, and has them cleared anew each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = std::env::args_os().skip(1).collect();
    std::process::exit(thalweg_server::run(arguments));
}
