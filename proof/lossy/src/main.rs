//! `thalweg-lossy MOUNTPOINT SOCKET`: mounts the file system, says `mounted`, and takes commands until `quit`.

use parking_lot::Mutex;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use thalweg_lossy::{Model, Mount, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [point, socket] = arguments.as_slice() else {
        eprintln!("usage: thalweg-lossy MOUNTPOINT SOCKET");
        return ExitCode::from(2);
    };
    match run(Path::new(point), Path::new(socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thalweg-lossy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(point: &Path, socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let model = Arc::new(Mutex::new(Model::new(SystemTime::now)));
    let mut mount = Mount::new(point, model)?;
    println!("mounted");
    io::stdout().flush()?;
    serve(&listener, &mut mount)
}
