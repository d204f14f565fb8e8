//! An object store that fails before or after it did what it was asked, or takes the process with it: for tests.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// What one process sees of the objects, which outlive it.
#[derive(Debug)]
pub struct FaultyStore {
    objects: Arc<InMemory>,
    pub faults: Arc<Faults>,
}

/// When and how the store of one process fails.
#[derive(Debug)]
pub struct Faults {
    random: Mutex<Random>,
    /// One operation of so many fails; 0 for none.
    one_in: u64,
    dead: AtomicBool,
    /// Told when the process dies: whoever waits for an operation then drops it.
    pub died: Notify,
    pub failed: AtomicU64,
}

#[derive(Debug)]
enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
}

impl FaultyStore {
    pub fn new(objects: Arc<InMemory>, seed: u64, one_in: u64) -> Self {
        let faults = Faults {
            random: Mutex::new(Random(seed)),
            one_in,
            dead: AtomicBool::new(false),
            died: Notify::new(),
            failed: AtomicU64::new(0),
        };
        Self { objects, faults: Arc::new(faults) }
    }

    /// A listing that fails as a whole, before its first entry.
    fn listed(&self, entries: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let faults = self.faults.clone();
        futures::stream::once(async move { faults.around(async { Ok(entries) }).await }).try_flatten().boxed()
    }
}

impl Faults {
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    fn fate(&self) -> Fate {
        if self.is_dead() {
            return Fate::DiesBefore;
        }
        let mut random = self.random.lock();
        if self.one_in == 0 || random.below(self.one_in) > 0 {
            return Fate::Works;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        match random.below(4) {
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            2 => Fate::DiesBefore,
            _ => Fate::DiesAfter,
        }
    }

    async fn around<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.fate() {
            Fate::Works => work.await,
            Fate::FailsBefore => Err(broken()),
            Fate::FailsAfter => work.await.and_then(|_| Err(broken())),
            Fate::DiesBefore => self.die().await,
            Fate::DiesAfter => {
                // Whether it worked nobody will learn.
                let _ = work.await;
                self.die().await
            }
        }
    }

    /// From here on nothing has an effect. Threads that cannot be dropped see errors.
    async fn die<T>(&self) -> Result<T> {
        self.dead.store(true, Ordering::Release);
        self.died.notify_one();
        tokio::task::yield_now().await;
        Err(broken())
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "made to fail".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.faults.around(self.objects.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.faults.around(self.objects.put_multipart_opts(location, options)).await?;
        Ok(Box::new(FaultyUpload { inner, faults: self.faults.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.around(self.objects.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults.around(self.objects.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (objects, faults) = (self.objects.clone(), self.faults.clone());
        let deleted = locations.then(move |location| {
            let (objects, faults) = (objects.clone(), faults.clone());
            async move {
                let location = location?;
                faults.around(objects.delete(&location)).await?;
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.objects.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.objects.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.around(self.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.around(self.objects.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, faults) = (self.inner.put_part(data), self.faults.clone());
        Box::pin(async move { faults.around(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.faults.around(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.faults.around(self.inner.abort()).await
    }
}

/// SplitMix64.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
