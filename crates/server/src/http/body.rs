//! Bodies of requests: how large they may be, how long they may take, how they are compressed, and what they hold.
//!
//! All bodies together stay within a budget, so that many large ones at a time are pushed back instead of taking all
//! memory.

use super::errors::HttpError;
use super::limits::{BODIES_IN_FLIGHT, BODY_PAUSE, BODY_TIME, RETRY_AFTER_MS};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a declared length for which room is made at once.
const DECLARED_BYTES: usize = 64 << 10;

/// What a body holds, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Json,
    Lines,
    Arrow,
}

/// The content type of Arrow IPC streams.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

impl Content {
    /// As the request says; without a word it is JSON.
    pub fn of(headers: &HeaderMap) -> Result<Self, HttpError> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let text = value.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
                Ok(Self::Lines)
            }
            ARROW_STREAM => Ok(Self::Arrow),
            _ => Err(HttpError::unsupported(format!(
                "content type `{essence}` is not read here: send application/json, application/x-ndjson or \
                 {ARROW_STREAM}"
            ))),
        }
    }

    /// Refuses what is not JSON.
    pub fn json_only(headers: &HeaderMap) -> Result<(), HttpError> {
        match Self::of(headers)? {
            Self::Json => Ok(()),
            _ => Err(HttpError::unsupported("this route reads JSON: send application/json")),
        }
    }
}

/// The memory that bodies may take.
#[derive(Debug, Clone)]
pub struct BodyBudget {
    max_body: u64,
    used: Arc<AtomicU64>,
}

/// A body in memory; what it took of the budget comes back when it is dropped.
#[derive(Debug)]
pub struct ReadBody {
    pub bytes: Vec<u8>,
    encoding: Encoding,
    share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// A part of the budget.
#[derive(Debug)]
struct Share {
    budget: BodyBudget,
    bytes: u64,
}

impl BodyBudget {
    pub fn new(max_body: u64) -> Self {
        Self { max_body, used: Arc::default() }
    }

    /// Reads a body as it comes. [`ReadBody::decompressed`] is for a thread that may block.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<ReadBody, HttpError> {
        let encoding = Encoding::of(headers)?;
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > self.max_body) {
            return Err(self.too_large());
        }
        match tokio::time::timeout(BODY_TIME, self.collect(body, declared, encoding)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::too_slow(format!("the body took longer than {} s", BODY_TIME.as_secs()))),
        }
    }

    async fn collect(&self, body: Body, declared: Option<u64>, encoding: Encoding) -> Result<ReadBody, HttpError> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        let mut bytes = Vec::new();
        // What is declared is not taken before it comes: a client may declare much, and send nothing.
        if let Some(length) = declared {
            bytes.reserve_exact((length as usize).min(DECLARED_BYTES));
        }
        let mut chunks = body.into_data_stream();
        loop {
            let chunk = match tokio::time::timeout(BODY_PAUSE, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return Err(HttpError::invalid(format!("the body broke off: {error}"))),
                Ok(None) => return Ok(ReadBody { bytes, encoding, share }),
                Err(_) => {
                    let seconds = BODY_PAUSE.as_secs();
                    return Err(HttpError::too_slow(format!("nothing came of the body for {seconds} s")));
                }
            };
            let length = (bytes.len() + chunk.len()) as u64;
            if length > self.max_body {
                return Err(self.too_large());
            }
            share.take(length.saturating_sub(share.bytes))?;
            bytes.extend_from_slice(&chunk);
        }
    }

    fn too_large(&self) -> HttpError {
        HttpError::too_large(format!(
            "a body has at most {} bytes: send it in parts, or raise the setting `max_body`",
            self.max_body
        ))
    }
}

impl ReadBody {
    /// The body as it was before it was compressed; never more than the largest body.
    pub fn decompressed(self) -> Result<Self, HttpError> {
        let (bytes, share) = match self.encoding {
            Encoding::Plain => return Ok(self),
            Encoding::Gzip => self.inflate(flate2::read::MultiGzDecoder::new(self.bytes.as_slice()))?,
            Encoding::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(self.bytes.as_slice()).map_err(broken)?;
                self.inflate(decoder)?
            }
        };
        Ok(Self { bytes, encoding: Encoding::Plain, share })
    }

    fn inflate(&self, mut from: impl Read) -> Result<(Vec<u8>, Share), HttpError> {
        const STEP: usize = 1 << 20;
        let budget = &self.share.budget;
        let mut share = Share { budget: budget.clone(), bytes: 0 };
        let mut bytes = Vec::new();
        loop {
            share.take(STEP as u64)?;
            let read = from.by_ref().take(STEP as u64).read_to_end(&mut bytes).map_err(broken)?;
            if bytes.len() as u64 > budget.max_body {
                return Err(budget.too_large());
            }
            if read < STEP {
                return Ok((bytes, share));
            }
        }
    }

    pub fn text(&self) -> Result<&str, HttpError> {
        std::str::from_utf8(&self.bytes).map_err(|_| HttpError::invalid("the body is not UTF-8 text"))
    }

    /// The batches of an Arrow IPC stream, and their schema; never more than the largest body.
    pub fn arrow(&self) -> Result<(SchemaRef, Vec<RecordBatch>), HttpError> {
        crate::ipc::batches(&self.bytes, self.share.budget.max_body)
            .map_err(|why| HttpError::invalid(format!("the body is not an Arrow IPC stream: {why}; nothing was taken")))
    }
}

fn broken(error: std::io::Error) -> HttpError {
    HttpError::invalid(format!("the body does not decompress: {error}; nothing was taken"))
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, HttpError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Plain) };
        match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => Err(HttpError::unsupported(format!(
                "content encoding `{other}` is not read here: send gzip, zstd or none"
            ))),
        }
    }
}

impl Share {
    fn take(&mut self, bytes: u64) -> Result<(), HttpError> {
        let limit = self.budget.max_body.saturating_mul(BODIES_IN_FLIGHT).saturating_add(8 << 20);
        let before = self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        if before.saturating_add(bytes) > limit {
            // Dropping the share gives back what was just taken as well.
            return Err(HttpError::overloaded("the memory for request bodies is taken", RETRY_AFTER_MS));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(budget: &BodyBudget, encoding: &'static str, bytes: Vec<u8>) -> Result<ReadBody, HttpError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(budget.read(&headers, Body::from(bytes)))?.decompressed()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_come_out_as_they_were() {
        let budget = BodyBudget::new(4 << 20);
        let text: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(read(&budget, "gzip", gzip(&text)).unwrap().bytes, text);
        assert_eq!(read(&budget, "zstd", zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap().bytes, text);
        assert_eq!(read(&budget, "identity", text.clone()).unwrap().bytes, text);
        assert_eq!(budget.used.load(Ordering::Acquire), 0, "the budget came back");
    }

    /// A small body that decompresses to a huge one must not take the memory.
    #[test]
    fn a_decompression_bomb_is_refused() {
        let budget = BodyBudget::new(1 << 20);
        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 1 << 20);
        let error = read(&budget, "gzip", bomb).unwrap_err();
        assert!(format!("{error:?}").contains("TOO_LARGE"), "{error:?}");
        assert_eq!(budget.used.load(Ordering::Acquire), 0);
    }

    #[test]
    fn broken_and_unknown_encodings_are_refused() {
        let budget = BodyBudget::new(1 << 20);
        assert!(format!("{:?}", read(&budget, "gzip", b"no gzip".to_vec()).unwrap_err()).contains("INVALID"));
        assert!(format!("{:?}", read(&budget, "br", Vec::new()).unwrap_err()).contains("UNSUPPORTED"));
    }
}
