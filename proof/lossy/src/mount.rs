//! A mount of the model: a thread that reads requests off `/dev/fuse` and answers them. After a loss of power the
//! old mount is detached, its handles dead, and a new one shows the survivor: the kernel has nothing of it in memory.

use crate::model::{Loss, Model};
use crate::operations::{LARGEST_WRITE, answer, is_answered};
use crate::wire::{reply, request};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The device gives one request at a time, and none is larger.
const LARGEST_REQUEST: usize = LARGEST_WRITE as usize + 8192;

/// The model at its place among the machine's files.
pub struct Mount {
    point: PathBuf,
    model: Arc<Mutex<Model>>,
}

impl Mount {
    /// Mounts it, which only root may.
    pub fn new(point: &Path, model: Arc<Mutex<Model>>) -> io::Result<Self> {
        let mount = Self { point: std::fs::canonicalize(point)?, model };
        mount.attach()?;
        Ok(mount)
    }

    /// What is mounted; for faults.
    pub fn model(&self) -> &Mutex<Model> {
        &self.model
    }

    /// Power loss and restart.
    pub fn crash(&mut self, seed: u64) -> io::Result<Loss> {
        // From here on the old mount answers nothing but errors.
        let loss = self.model.lock().crash(seed);
        self.detach()?;
        self.attach()?;
        Ok(loss)
    }

    /// Takes it away, also where files are open.
    pub fn detach(&self) -> io::Result<()> {
        Ok(unmount(self.point.as_path(), UnmountFlags::DETACH)?)
    }

    fn attach(&self) -> io::Result<()> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device.as_raw_fd());
        let options = CString::new(options)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("thalweg-lossy", self.point.as_path(), "fuse", flags, options.as_c_str())?;
        let model = self.model.clone();
        let generation = model.lock().generation();
        std::thread::Builder::new().name("thalweg-lossy".to_owned()).spawn(move || {
            if let Err(error) = serve(device, &model, generation) {
                eprintln!("thalweg-lossy: {error}");
            }
        })?;
        Ok(())
    }
}

/// Answers until the mount is gone.
fn serve(mut device: File, model: &Mutex<Model>, generation: u64) -> io::Result<()> {
    let mut buffer = vec![0; LARGEST_REQUEST];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            Err(error) => match Errno::from_io_error(&error) {
                // The request was taken back, or there is none.
                Some(Errno::INTR | Errno::NOENT | Errno::AGAIN) => continue,
                Some(Errno::NODEV) => return Ok(()),
                _ => return Err(error),
            },
        };
        let (header, mut fields) = request(&buffer[..length])?;
        if !is_answered(header.opcode) {
            continue;
        }
        let result = {
            let mut model = model.lock();
            if model.generation() == generation {
                answer(&mut model, header.opcode, header.node, &mut fields)
            } else {
                Err(Errno::IO)
            }
        };
        // Whoever asked may be gone.
        match device.write_all(&reply(header.unique, result)) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NOENT) => return Err(error),
            _ => {}
        }
    }
}
