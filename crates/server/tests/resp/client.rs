//! A client that knows no more of the protocol than it needs, so that it agrees with the server on nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub struct Client {
    pub stream: DuplexStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn new(stream: DuplexStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends one command, and returns its answer as [`shown`] has it.
    pub async fn ask(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        self.send(&command(&words)).await;
        self.answer().await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer; empty where the connection was closed.
    pub async fn answer(&mut self) -> String {
        loop {
            if let Some((answer, size)) = shown(&self.unread) {
                self.unread.drain(..size);
                return answer;
            }
            if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                return String::new();
            }
        }
    }
}

/// A command as clients send it.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    out
}

/// One answer as text, and how many bytes it had: `+OK`, `-ERR why`, `:1`, `"text"`, `nil`, `[a b]`, `{k v}`.
fn shown(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (line, next) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 2);
    let (kind, rest) = line.split_at(1);
    let count = || rest.parse::<i64>().unwrap();
    match kind {
        "+" | "-" | ":" => Some((line.clone(), next)),
        "_" => Some(("nil".to_owned(), next)),
        "$" | "*" if count() < 0 => Some(("nil".to_owned(), next)),
        "$" | "=" => {
            let end = next + count() as usize;
            let text = String::from_utf8_lossy(bytes.get(next..end + 2)?).into_owned();
            assert!(text.ends_with("\r\n"), "{text}");
            Some((format!("\"{}\"", &text[..text.len() - 2]), end + 2))
        }
        "*" | "~" => many(bytes, next, count() as usize, ['[', ']']),
        "%" => many(bytes, next, count() as usize * 2, ['{', '}']),
        other => panic!("no kind of answer: {other}"),
    }
}

fn many(bytes: &[u8], mut at: usize, count: usize, [open, close]: [char; 2]) -> Option<(String, usize)> {
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, size) = shown(&bytes[at..])?;
        items.push(item);
        at += size;
    }
    Some((format!("{open}{}{close}", items.join(" ")), at))
}
