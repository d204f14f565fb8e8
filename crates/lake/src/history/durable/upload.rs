//! A file that is written in parts, and appears whole and durable or not at all.

use super::{Place, blocking};
use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Upload {
    place: Place,
    file: Arc<File>,
    /// None once it was completed or given up.
    staged: Option<PathBuf>,
    /// Where the next part goes.
    offset: u64,
}

impl Upload {
    pub(super) fn begin(place: Place) -> Result<Self> {
        let (file, staged) = place.stage()?;
        Ok(Self { place, file: Arc::new(file), staged: Some(staged), offset: 0 })
    }

    fn take_staged(&mut self) -> Result<PathBuf> {
        self.staged.take().ok_or_else(|| self.place.failed(io::Error::other("the upload is over")))
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut offset = self.offset;
        self.offset += data.content_length() as u64;
        let (file, place) = (self.file.clone(), self.place.clone());
        Box::pin(blocking(move || {
            for bytes in &data {
                file.write_all_at(bytes, offset).map_err(|error| place.failed(error))?;
                offset += bytes.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.take_staged()?;
        let (file, place) = (self.file.clone(), self.place.clone());
        blocking(move || place.publish(&file, &staged, false)).await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.take_staged()?;
        let place = self.place.clone();
        blocking(move || fs::remove_file(&staged).map_err(|error| place.failed(error))).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            // A file that stays is never listed.
            let _ = fs::remove_file(staged);
        }
    }
}
