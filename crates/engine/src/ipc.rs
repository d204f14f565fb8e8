//! Arrow IPC streams, as callers send them and as the log holds them. arrow's own reader believes the lengths in a
//! stream, and a length that is a lie ends the process for want of memory; so they are held against what there is
//! first. What the reader panics at after that is refused like any other damage.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::{RecordBatch as BatchMessage, root_as_message};
use std::panic::catch_unwind;

/// Values that no bytes stand behind (of the null type, in runs) which a stream may have besides.
const FREE_VALUES: u64 = 1 << 20;
/// Values that one byte may stand for: its bits.
const VALUES_PER_BYTE: u64 = 8;
/// What a message begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The batches of a stream, and their schema. `most` bounds the bytes of all values once they are decompressed. The
/// error says what is wrong with the stream.
pub fn batches(bytes: &[u8], most: u64) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    check(bytes, most)?;
    let outcome = catch_unwind(|| {
        let reader = StreamReader::try_new(bytes, None)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, ArrowError>((schema, batches))
    });
    match outcome {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its parts do not fit together".to_owned()),
    }
}

fn check(bytes: &[u8], most: u64) -> Result<(), String> {
    let (mut rest, mut held, mut values) = (bytes, 0u64, 0u64);
    while let Some(head) = head_of(&mut rest)? {
        let message = root_as_message(head).map_err(|error| format!("a message cannot be read: {error}"))?;
        let body = take(&mut rest, message.bodyLength())?;
        let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        let Some(batch) = message.header_as_record_batch().or(dictionary) else { continue };
        held = held.saturating_add(decompressed(&batch, body)?);
        values = values.saturating_add(values_of(&batch)?);
        if held > most {
            return Err(format!("decompressed it has {held} bytes, more than {most}: send it in parts"));
        }
    }
    if values > held.saturating_mul(VALUES_PER_BYTE).saturating_add(FREE_VALUES) {
        return Err(format!("it claims {values} values in {held} bytes: send columns with a value for each row"));
    }
    Ok(())
}

/// The next message without its body; none at the end of the stream.
fn head_of<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut length = take(rest, 4)?;
    if length == CONTINUATION {
        length = take(rest, 4)?;
    }
    match length.try_into().map(i32::from_le_bytes) {
        Ok(0) => Ok(None),
        Ok(length) => take(rest, length.into()).map(Some),
        Err(_) => Err(cut_off()),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: i64) -> Result<&'a [u8], String> {
    let parts = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, after) = parts.ok_or_else(cut_off)?;
    *rest = after;
    Ok(taken)
}

fn cut_off() -> String {
    "it ends in the middle of a message".to_owned()
}

/// The bytes of a batch's values: those of its body, or, where it is compressed, what each buffer says it had.
fn decompressed(batch: &BatchMessage<'_>, body: &[u8]) -> Result<u64, String> {
    if batch.compression().is_none() {
        return Ok(body.len() as u64);
    }
    let mut bytes = 0u64;
    for buffer in batch.buffers().iter().flat_map(|buffers| buffers.iter()).filter(|buffer| buffer.length() > 0) {
        let stored = usize::try_from(buffer.offset()).ok().and_then(|offset| body.get(offset..));
        let length = stored.and_then(<[u8]>::first_chunk).copied().map(i64::from_le_bytes).ok_or_else(cut_off)?;
        // One that could not be made smaller is as it was.
        let length = if length == -1 { buffer.length() } else { length };
        let length = u64::try_from(length).map_err(|_| format!("a buffer claims a length of {length}"))?;
        bytes = bytes.saturating_add(length);
    }
    Ok(bytes)
}

/// The values that a batch claims to have, in all its columns.
fn values_of(batch: &BatchMessage<'_>) -> Result<u64, String> {
    let nodes = batch.nodes();
    let columns = nodes.iter().flat_map(|nodes| nodes.iter()).map(|node| node.length());
    let mut values = 0u64;
    for length in columns.chain([batch.length()]) {
        let length = u64::try_from(length).map_err(|_| format!("a column claims a length of {length}"))?;
        values = values.saturating_add(length);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, NullArray, StringArray};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
    use std::sync::Arc;

    const MOST: u64 = 1 << 20;

    fn batch(rows: usize) -> RecordBatch {
        let cards: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("c{row}"))));
        let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)));
        RecordBatch::try_from_iter([("card", cards), ("amount", amounts)]).unwrap()
    }

    fn stream(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn a_stream_comes_out_as_it_went_in() {
        for compression in [None, Some(CompressionType::ZSTD)] {
            let (schema, batches) = batches(&stream(&batch(1000), compression), MOST).unwrap();
            assert_eq!((schema, batches), (batch(0).schema(), vec![batch(1000)]));
        }
    }

    /// One byte of a length in the wrong place made arrow ask for 60 TB, which ended the process.
    #[test]
    fn no_damaged_byte_does_more_than_refuse_the_stream() {
        for compression in [None, Some(CompressionType::ZSTD)] {
            let whole = stream(&batch(3), compression);
            for place in 0..whole.len() {
                for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[place] = byte;
                    let _ = batches(&damaged, MOST);
                }
                assert!(batches(&whole[..place], MOST).map_or(true, |(_, batches)| batches.len() <= 1));
            }
        }
    }

    #[test]
    fn what_a_stream_claims_is_bounded() {
        let long = batch(4096);
        let error = batches(&stream(&long, Some(CompressionType::ZSTD)), 16 << 10).unwrap_err();
        assert!(error.contains("more than 16384: send it in parts"), "{error}");
        let nothing: ArrayRef = Arc::new(NullArray::new(1 << 40));
        let nothing = RecordBatch::try_from_iter([("card", nothing)]).unwrap();
        let error = batches(&stream(&nothing, None), MOST).unwrap_err();
        assert!(error.contains("send columns with a value for each row"), "{error}");
    }
}
