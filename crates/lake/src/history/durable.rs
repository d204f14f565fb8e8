//! A local object store whose writes last before they count: a file's bytes, then its name, then the names above it.
//!
//! The one that `object_store` brings leaves all of that to the system, while the log is cut as soon as history has its
//! rows: a loss of power would take acknowledged rows, or leave an empty commit that nobody can read past.

mod upload;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use upload::Upload;

/// The name by which errors call this store.
const STORE: &str = "history";

/// All local files, of which those below `root` are written durably.
#[derive(Debug)]
pub(super) struct DurableStore {
    inner: LocalFileSystem,
    root: Arc<FilePath>,
    /// Set where names that others see may be lost with the power.
    doubtful: Arc<AtomicBool>,
}

impl DurableStore {
    /// Makes the directory `root` where it is missing. Its name lasts, and so do those of the tables in it.
    pub(super) fn open(root: &FilePath) -> io::Result<Self> {
        make_directories(&std::path::absolute(root)?)?;
        let root = fs::canonicalize(root)?;
        // A process that was killed may have left names that it did not sync, and whoever comes after builds on them.
        for entry in fs::read_dir(&root)? {
            let log = entry?.path().join("_delta_log");
            if log.is_dir() {
                sync_names(&log, &root)?;
            }
        }
        sync_directory(&root)?;
        Ok(Self { inner: LocalFileSystem::new(), root: root.into(), doubtful: Arc::default() })
    }

    pub(super) fn root(&self) -> &FilePath {
        &self.root
    }

    /// Whether everything that can be seen below the root lasts. Once it may not, only a restart finds what does.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    fn place(&self, location: &Path) -> Result<Place> {
        let path = self.inner.path_to_filesystem(location)?;
        Ok(Place { path, root: self.root.clone(), doubtful: self.doubtful.clone() })
    }
}

/// A file that is being written, and what it takes to make it last.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    root: Arc<FilePath>,
    doubtful: Arc<AtomicBool>,
}

impl Place {
    /// An empty file beside the place, with a name that is never listed.
    fn stage(&self) -> Result<(File, PathBuf)> {
        if self.doubtful.load(Ordering::Acquire) {
            return Err(self.failed(io::Error::other("a sync failed before: restart to find what is durable")));
        }
        fs::create_dir_all(self.directory()).map_err(|error| self.failed(error))?;
        let mut number = 1_u64;
        loop {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!("#{number}"));
            let staged = PathBuf::from(name);
            match OpenOptions::new().write(true).create_new(true).open(&staged) {
                Ok(file) => return Ok((file, staged)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Gives a staged file its name, once its bytes last.
    fn publish(&self, file: &File, staged: &FilePath, create: bool) -> Result<PutResult> {
        let named = file.sync_all().and_then(|()| match create {
            true => fs::hard_link(staged, &self.path),
            false => fs::rename(staged, &self.path),
        });
        if create || named.is_err() {
            // What is left of it is never listed; the first error is the one to tell.
            let _ = fs::remove_file(staged);
        }
        match named {
            Err(error) if create && error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: self.path.display().to_string(), source: Box::new(error) })
            }
            Err(error) => Err(self.failed(error)),
            Ok(()) => self.keep_names().map(|()| PutResult { e_tag: None, version: None }),
        }
    }

    /// Makes the names of the place and of the directories above it last.
    fn keep_names(&self) -> Result<()> {
        sync_names(self.directory(), &self.root).map_err(|error| {
            self.doubtful.store(true, Ordering::Release);
            self.failed(error)
        })
    }

    fn directory(&self) -> &FilePath {
        self.path.parent().unwrap_or(&self.root)
    }

    fn failed(&self, error: io::Error) -> Error {
        let source = io::Error::new(error.kind(), format!("`{}`: {error}", self.path.display()));
        Error::Generic { store: STORE, source: Box::new(source) }
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableStore({})", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // Local files have no versions; the store beneath says so.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let place = self.place(location)?;
        blocking(move || {
            let (mut file, staged) = place.stage()?;
            if let Err(error) = payload.iter().try_for_each(|bytes| file.write_all(bytes)) {
                let _ = fs::remove_file(&staged);
                return Err(place.failed(error));
            }
            place.publish(&file, &staged, create)
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let place = self.place(location)?;
        let upload = blocking(move || Upload::begin(place)).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    /// What comes back after a loss of power is named by nobody.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    /// Another name for the same file; renaming is this and a deletion.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, place) = (self.place(from)?, self.place(to)?);
        blocking(move || {
            let synced = File::open(&source.path).and_then(|file| file.sync_all());
            synced.map_err(|error| source.failed(error))
        })
        .await?;
        self.inner.copy_opts(from, to, options).await?;
        blocking(move || place.keep_names()).await
    }
}

/// Works where it may block; outside of a runtime that is here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => Err(Error::Generic { store: STORE, source: Box::new(error) }),
        },
        Err(_) => work(),
    }
}

/// Makes the directories that are missing, each with a name that lasts.
fn make_directories(directory: &FilePath) -> io::Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    if !directory.is_dir() {
        make_directories(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            result => result?,
        }
        sync_directory(parent)?;
    }
    Ok(())
}

/// Syncs a directory and those above it, up to the root. One without anything new takes next to no time.
fn sync_names(directory: &FilePath, root: &FilePath) -> io::Result<()> {
    directory.ancestors().take_while(|above| above.starts_with(root)).try_for_each(sync_directory)
}

fn sync_directory(directory: &FilePath) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
