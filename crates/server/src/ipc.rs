//! Arrow IPC streams from outside. What a stream says of its own lengths is held against what there is before any
//! memory is taken by it: a few bytes that promise terabytes would end the process.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::root_as_message;

/// Before the length of each message, in newer streams.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The batches of a stream, and their schema. Compressed columns together come to at most `most` bytes.
pub fn batches(bytes: &[u8], most: u64) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    check(bytes, most)?;
    let wrong = |error: arrow::error::ArrowError| error.to_string();
    let reader = StreamReader::try_new(bytes, None).map_err(wrong)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    Ok((schema, batches))
}

/// Refuses messages that are longer than the stream, and columns that decompress to too much.
fn check(bytes: &[u8], most: u64) -> Result<(), String> {
    let mut left = bytes;
    let mut inflated = 0u64;
    while let Some((length, rest)) = next_length(left) {
        let length = usize::try_from(length).map_err(|_| "a message has a negative length")?;
        if length == 0 {
            return Ok(());
        }
        let (metadata, rest) = rest.split_at_checked(length).ok_or("it ends within a message")?;
        let message = root_as_message(metadata).map_err(|error| error.to_string())?;
        let length = usize::try_from(message.bodyLength()).map_err(|_| "a message has a negative length")?;
        let (body, rest) = rest.split_at_checked(length).ok_or("it ends within a message")?;
        let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        for batch in message.header_as_record_batch().into_iter().chain(dictionary) {
            for buffer in batch.buffers().into_iter().flatten() {
                let said = part(body, buffer.offset(), buffer.length()).ok_or("a column is longer than its message")?;
                if batch.compression().is_some() {
                    // The length before the compressed bytes; below 0 they are as they are.
                    let length = said.first_chunk::<8>().map_or(0, |length| i64::from_le_bytes(*length));
                    inflated = inflated.saturating_add(u64::try_from(length).unwrap_or(0));
                }
            }
        }
        if inflated > most {
            return Err(format!("its columns decompress to more than {most} bytes: send it in parts"));
        }
        left = rest;
    }
    Ok(())
}

/// The length of the next message's description, and what follows it; none at the end.
fn next_length(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = if *first == CONTINUATION { rest.split_first_chunk::<4>()? } else { (first, rest) };
    Some((i32::from_le_bytes(*length), rest))
}

fn part(body: &[u8], offset: i64, length: i64) -> Option<&[u8]> {
    let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
    body.get(offset..offset.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
    use std::sync::Arc;

    const ROWS: i64 = 10_000;

    fn stream(compression: Option<CompressionType>) -> Vec<u8> {
        let column = Int64Array::from_iter_values(0..ROWS);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn what_was_written_is_read_whole() {
        for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
            let (schema, read) = batches(&stream(compression), 1 << 20).unwrap();
            assert_eq!((schema.fields().len(), read.len(), read[0].num_rows()), (1, 1, ROWS as usize));
        }
    }

    #[test]
    fn lengths_that_promise_too_much_are_refused() {
        let small = batches(&stream(Some(CompressionType::ZSTD)), 1000).unwrap_err();
        assert!(small.contains("more than 1000 bytes"), "{small}");

        // The length before the compressed values; no other comes before it.
        let length = (ROWS * 8).to_le_bytes();
        let mut huge = stream(Some(CompressionType::LZ4_FRAME));
        let at = huge.windows(8).position(|window| window == length).unwrap();
        huge[at..at + 8].copy_from_slice(&(1i64 << 50).to_le_bytes());
        assert!(batches(&huge, 1 << 20).unwrap_err().contains("decompress"));

        let whole = stream(None);
        for end in 1..whole.len() {
            // Cut off anywhere it is an error or less, and never a panic.
            let _ = batches(&whole[..end], 1 << 20);
        }
        let mut far = CONTINUATION.to_vec();
        far.extend(i32::MAX.to_le_bytes());
        assert!(batches(&far, 1 << 20).unwrap_err().contains("ends within"));
    }
}
