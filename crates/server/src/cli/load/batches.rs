//! Files as batches ready to be sent, read one step ahead of the sending. The same file gives the same batches under
//! the same keys, whenever it is read.

use super::super::client::{ARROW, LINES};
use arrow::array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::UNIX_EPOCH;

/// Rows of one batch. Part of every key: with another number, the same files give other batches.
const BATCH_ROWS: usize = 20_000;
/// Bytes after which a batch of lines is full.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes past which a batch of columns is sent in halves.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Batches that are read ahead.
const AHEAD: usize = 2;

pub struct Batch {
    pub file: PathBuf,
    /// The place of its first row in the file, from 0.
    pub first_row: u64,
    pub rows: u64,
    pub key: String,
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

type Sent = Result<Batch, String>;

/// The batches of all files, in order. The first error is the last item.
pub fn read_files(source: &str, files: &[PathBuf]) -> Receiver<Sent> {
    let (sender, receiver) = sync_channel(AHEAD);
    let (source, files) = (source.to_owned(), files.to_vec());
    std::thread::spawn(move || {
        for file in &files {
            let outcome = Reader::new(&source, file, &sender).and_then(|mut reader| reader.read());
            match outcome {
                Ok(Flow::Go) => {}
                Ok(Flow::Stop) => return,
                Err(why) => {
                    let _ = sender.send(Err(format!("{}: {why}", file.display())));
                    return;
                }
            }
        }
    });
    receiver
}

/// Rows of all files, where that is known without reading them.
pub fn total_rows(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| parquet_rows(file)).sum()
}

fn parquet_rows(file: &Path) -> Option<u64> {
    if file.extension()? != "parquet" {
        return None;
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).ok()?).ok()?;
    u64::try_from(builder.metadata().file_metadata().num_rows()).ok()
}

/// Whether anyone still takes batches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

struct Reader<'a> {
    file: &'a Path,
    sender: &'a SyncSender<Sent>,
    /// Names the file as it is: another content has another size or time.
    identity: String,
    index: u64,
    row: u64,
}

impl<'a> Reader<'a> {
    fn new(source: &str, file: &'a Path, sender: &'a SyncSender<Sent>) -> Result<Self, String> {
        let path = std::path::absolute(file).map_err(|error| error.to_string())?;
        let metadata = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |since| since.as_nanos());
        let named = format!("{source}\n{}\n{}\n{modified}\n{BATCH_ROWS}", path.display(), metadata.len());
        let digest = Sha256::digest(named.as_bytes());
        let identity = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { file, sender, identity, index: 0, row: 0 })
    }

    fn read(&mut self) -> Result<Flow, String> {
        let name = self.file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if [".ndjson", ".jsonl", ".json"].iter().any(|end| plain.ends_with(end)) {
            self.read_json(name.len() > plain.len())
        } else {
            self.read_columns()
        }
    }

    fn read_columns(&mut self) -> Result<Flow, String> {
        let batches = thalweg_lake::read_file(self.file, BATCH_ROWS).map_err(|error| error.to_string())?;
        for batch in batches {
            let batch = batch.map_err(|error| error.to_string())?;
            if self.send_columns(&batch)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    fn send_columns(&mut self, batch: &RecordBatch) -> Result<Flow, String> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(Flow::Go);
        }
        let bytes = ipc(batch).map_err(|error| error.to_string())?;
        if bytes.len() > MAX_BODY_BYTES && rows > 1 {
            let half = rows / 2;
            return match self.send_columns(&batch.slice(0, half))? {
                Flow::Go => self.send_columns(&batch.slice(half, rows - half)),
                Flow::Stop => Ok(Flow::Stop),
            };
        }
        Ok(self.send(rows as u64, ARROW, bytes))
    }

    fn read_json(&mut self, compressed: bool) -> Result<Flow, String> {
        let file = File::open(self.file).map_err(|error| error.to_string())?;
        let text: Box<dyn Read> = if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut text = BufReader::with_capacity(1 << 20, text);
        if !starts_an_array(&mut text)? {
            return self.read_lines(text);
        }
        let mut whole = Vec::new();
        text.read_to_end(&mut whole).map_err(|error| error.to_string())?;
        let rows: Vec<&RawValue> =
            serde_json::from_slice(&whole).map_err(|error| format!("not an array of JSON objects: {error}"))?;
        let mut lines = Vec::new();
        for row in rows {
            // Line ends within a value can only stand between its parts.
            lines.extend(row.get().bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
            lines.push(b'\n');
        }
        self.read_lines(lines.as_slice())
    }

    fn read_lines(&mut self, mut text: impl BufRead) -> Result<Flow, String> {
        let (mut lines, mut rows) = (Vec::new(), 0);
        loop {
            let start = lines.len();
            let read = text.read_until(b'\n', &mut lines).map_err(|error| error.to_string())?;
            if lines[start..].trim_ascii().is_empty() {
                lines.truncate(start);
            } else {
                rows += 1;
                if lines.last() != Some(&b'\n') {
                    lines.push(b'\n');
                }
            }
            let full = rows == BATCH_ROWS || lines.len() >= BATCH_BYTES;
            if rows > 0
                && (full || read == 0)
                && self.send(rows as u64, LINES, std::mem::take(&mut lines)) == Flow::Stop
            {
                return Ok(Flow::Stop);
            }
            if full {
                rows = 0;
            }
            if read == 0 {
                return Ok(Flow::Go);
            }
        }
    }

    fn send(&mut self, rows: u64, content_type: &'static str, bytes: Vec<u8>) -> Flow {
        let key = format!("load-{}-{}", self.identity, self.index);
        let batch = Batch { file: self.file.to_owned(), first_row: self.row, rows, key, content_type, bytes };
        self.index += 1;
        self.row += rows;
        if self.sender.send(Ok(batch)).is_ok() { Flow::Go } else { Flow::Stop }
    }
}

fn ipc(batch: &RecordBatch) -> Result<Vec<u8>, arrow::error::ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    writer.into_inner()
}

/// Whether the first byte that says anything opens an array. Takes the blanks before it.
fn starts_an_array(text: &mut impl BufRead) -> Result<bool, String> {
    loop {
        let buffer = text.fill_buf().map_err(|error| error.to_string())?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let blanks = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if let Some(byte) = buffer.get(blanks) {
            return Ok(*byte == b'[');
        }
        text.consume(blanks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn batches(file: &Path) -> Vec<Batch> {
        read_files("s", &[file.to_owned()]).into_iter().map(|batch| batch.unwrap()).collect()
    }

    #[test]
    fn lines_come_in_the_same_batches_under_the_same_keys_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("e.ndjson.gz");
        let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        for n in 0..BATCH_ROWS + 7 {
            writeln!(file, "{{\"n\":{n}}}\n").unwrap();
        }
        file.finish().unwrap();
        let (first, second) = (batches(&path), batches(&path));
        let shape = |batches: &[Batch]| -> Vec<(u64, u64, String)> {
            batches.iter().map(|batch| (batch.first_row, batch.rows, batch.key.clone())).collect()
        };
        assert_eq!(shape(&first), shape(&second));
        assert_eq!(first.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [BATCH_ROWS as u64, 7]);
        assert_eq!(first[1].first_row, BATCH_ROWS as u64);
        assert!(first[1].bytes.starts_with(b"{\"n\":20000}\n"));
        assert_ne!(first[0].key, first[1].key);
    }

    #[test]
    fn an_array_is_sent_as_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("e.json");
        std::fs::write(&path, " [ {\"a\":\n 1}, {\"a\": \"x\\ny\"}\n]").unwrap();
        let batches = batches(&path);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].rows, 2);
        assert_eq!(batches[0].bytes, b"{\"a\":  1}\n{\"a\": \"x\\ny\"}\n");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = read_files("s", &["no-such-file.ndjson".into()]).recv().unwrap().err().unwrap();
        assert!(error.starts_with("no-such-file.ndjson: "), "{error}");
    }
}
