//! Answers in RESP2 and RESP3, written straight into the output: a tree of frames for each of them would cost more
//! than most reads do.

use bytes::{BufMut, BytesMut};
use std::fmt::{Display, Write};

/// The version of the protocol that a client has chosen with `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Resp2,
    Resp3,
}

impl Protocol {
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// The answers that wait to be sent, and how they are written.
#[derive(Debug)]
pub struct Reply {
    pub out: BytesMut,
    pub protocol: Protocol,
    /// Where text is put together whose length comes first.
    scratch: String,
}

impl Default for Reply {
    fn default() -> Self {
        Self { out: BytesMut::new(), protocol: Protocol::Resp2, scratch: String::new() }
    }
}

impl Reply {
    pub fn ok(&mut self) {
        self.simple("OK");
    }

    /// A short text without line breaks.
    pub fn simple(&mut self, text: &str) {
        self.out.put_u8(b'+');
        self.line(text);
    }

    /// An error; its first word says to clients of what kind it is.
    pub fn error(&mut self, text: &str) {
        self.out.put_u8(b'-');
        self.line(text);
    }

    /// Whatever could break a line does not.
    fn line(&mut self, text: &str) {
        if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
            self.out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        } else {
            self.out.put_slice(text.as_bytes());
        }
        self.out.put_slice(b"\r\n");
    }

    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    pub fn bulk(&mut self, bytes: &[u8]) {
        self.length(b'$', bytes.len());
        self.out.put_slice(bytes);
        self.out.put_slice(b"\r\n");
    }

    /// What a value is shown as.
    pub fn shown(&mut self, value: impl Display) {
        self.written(|text| write!(text, "{value}").expect("text takes text"));
    }

    /// Text that is put together first.
    pub fn written(&mut self, write: impl FnOnce(&mut String)) {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        write(&mut text);
        self.bulk(text.as_bytes());
        self.scratch = text;
    }

    /// Text for people to read.
    pub fn verbatim(&mut self, text: &str) {
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text.as_bytes());
        }
        self.length(b'=', text.len() + 4);
        self.out.put_slice(b"txt:");
        self.out.put_slice(text.as_bytes());
        self.out.put_slice(b"\r\n");
    }

    pub fn nil(&mut self) {
        self.out.put_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// In the place of a list that there is not.
    pub fn nil_array(&mut self) {
        self.out.put_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// So many answers follow.
    pub fn array(&mut self, items: usize) {
        self.length(b'*', items);
    }

    /// So many answers follow, each of them once.
    pub fn set(&mut self, items: usize) {
        self.length(if self.protocol == Protocol::Resp2 { b'*' } else { b'~' }, items);
    }

    /// So many pairs follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', pairs * 2),
            Protocol::Resp3 => self.length(b'%', pairs),
        }
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.header(kind, i64::try_from(length).unwrap_or(i64::MAX));
    }

    fn header(&mut self, kind: u8, value: i64) {
        // A sign and the nineteen digits of the least of all.
        let mut digits = [0u8; 20];
        let (mut at, mut rest) = (digits.len(), value.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.out.put_u8(kind);
        self.out.put_slice(&digits[at..]);
        self.out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis_protocol::{resp2, resp3};

    fn everything(protocol: Protocol) -> Reply {
        let mut reply = Reply { protocol, ..Reply::default() };
        reply.array(8);
        reply.ok();
        reply.error("ERR one\r\ntwo");
        reply.integer(i64::MIN);
        reply.bulk(b"a\r\n\xff");
        reply.shown(1.5);
        reply.nil();
        reply.map(1);
        reply.bulk(b"k");
        reply.integer(0);
        reply.verbatim("txt");
        reply
    }

    /// What another implementation of the protocol reads.
    #[test]
    fn others_read_what_is_written_in_resp2() {
        use resp2::types::OwnedFrame::{Array, BulkString, Error, Integer, Null, SimpleString};
        let reply = everything(Protocol::Resp2);
        let (frame, read) = resp2::decode::decode(&reply.out).unwrap().unwrap();
        assert_eq!(read, reply.out.len());
        let bulk = |bytes: &[u8]| BulkString(bytes.to_vec());
        assert_eq!(
            frame,
            Array(vec![
                SimpleString(b"OK".to_vec()),
                Error("ERR one  two".to_owned()),
                Integer(i64::MIN),
                bulk(b"a\r\n\xff"),
                bulk(b"1.5"),
                Null,
                Array(vec![bulk(b"k"), Integer(0)]),
                bulk(b"txt"),
            ])
        );
    }

    #[test]
    fn others_read_what_is_written_in_resp3() {
        use resp3::types::OwnedFrame;
        let reply = everything(Protocol::Resp3);
        let (frame, read) = resp3::decode::complete::decode(&reply.out).unwrap().unwrap();
        assert_eq!(read, reply.out.len());
        let OwnedFrame::Array { data, .. } = frame else { panic!("{frame:?}") };
        assert_eq!(data[5], OwnedFrame::Null);
        let OwnedFrame::Map { data: map, .. } = &data[6] else { panic!("{:?}", data[6]) };
        let key = OwnedFrame::BlobString { data: b"k".to_vec(), attributes: None };
        assert_eq!(map[&key], OwnedFrame::Number { data: 0, attributes: None });
        assert!(matches!(&data[7], OwnedFrame::VerbatimString { data, .. } if data == b"txt"));
    }
}
