//! The kernel's numbers: requests are read field by field, answers are put together the same way, as in `fuse.h`.

use rustix::io::{Errno, Result};

/// What every request begins with.
pub(crate) struct Header {
    pub(crate) opcode: u32,
    pub(crate) unique: u64,
    pub(crate) node: u64,
}

/// The header's length.
const HEADER: usize = 40;

/// A request, as it came from the device: its header and what follows.
pub(crate) fn request(bytes: &[u8]) -> Result<(Header, Fields<'_>)> {
    let mut fields = Fields(bytes);
    let length = fields.number()? as usize;
    let header = Header { opcode: fields.number()?, unique: fields.long()?, node: fields.long()? };
    let body = bytes.get(HEADER..length).ok_or(Errno::INVAL)?;
    Ok((header, Fields(body)))
}

/// What is left to be read of a request.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn number(&mut self) -> Result<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    pub(crate) fn skip(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.get(bytes..).ok_or(Errno::INVAL)?;
        Ok(())
    }

    /// A name, which ends with a zero byte.
    pub(crate) fn name(&mut self) -> Result<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        let name = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Ok(name)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let bytes = self.0.get(..length).ok_or(Errno::INVAL)?;
        self.0 = &self.0[length..];
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

/// What is answered to a request, behind the answer's header.
#[derive(Default)]
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    pub(crate) fn short(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    pub(crate) fn long(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The bytes of an answer for the device.
pub(crate) fn reply(unique: u64, result: Result<Answer>) -> Vec<u8> {
    let (error, body) = match result {
        Ok(answer) => (0, answer.0),
        Err(errno) => (-errno.raw_os_error(), Vec::new()),
    };
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(&error.to_ne_bytes());
    bytes.extend_from_slice(&unique.to_ne_bytes());
    bytes.extend_from_slice(&body);
    bytes
}
