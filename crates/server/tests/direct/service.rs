//! A small service over HTTP to fetch from: it answers as it is told to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub struct Service {
    pub url: String,
    told: Arc<Told>,
}

struct Told {
    /// Milliseconds.
    delay: AtomicU64,
    status: AtomicUsize,
    score: AtomicI64,
    body: Mutex<Option<String>>,
    asked: Mutex<Vec<Asked>>,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
    ended: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    /// The value of the header `X-Token`.
    pub token: Option<String>,
}

impl Service {
    /// It answers at once with status 200 and `{"score": 1}`.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::new(Told {
            delay: AtomicU64::new(0),
            status: AtomicUsize::new(200),
            score: AtomicI64::new(1),
            body: Mutex::new(None),
            asked: Mutex::default(),
            now: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = told.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), told) = (stream, serving.clone()) else { continue };
                thread::spawn(move || told.serve(&stream));
            }
        });
        Self { url, told }
    }

    pub fn delays(&self, delay: Duration) {
        self.told.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn scores(&self, score: i64) {
        self.told.score.store(score, Ordering::SeqCst);
    }

    pub fn answers(&self, status: usize) {
        self.told.status.store(status, Ordering::SeqCst);
    }

    /// Answers with this text instead of a score.
    pub fn says(&self, body: impl Into<String>) {
        *self.told.body.lock().unwrap() = Some(body.into());
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.told.asked.lock().unwrap().clone()
    }

    pub fn most_at_once(&self) -> usize {
        self.told.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.told.ended.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

impl Told {
    fn serve(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        let Some(Ok(first)) = lines.next() else { return };
        let mut token = None;
        while let Some(Ok(line)) = lines.next().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty())) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("x-token")
            {
                token = Some(value.trim().to_owned());
            }
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        self.asked.lock().unwrap().push(Asked { path, token });
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
        self.now.fetch_sub(1, Ordering::SeqCst);
        let body = self.body.lock().unwrap().clone();
        let body = body.unwrap_or_else(|| format!("{{\"score\": {}}}", self.score.load(Ordering::SeqCst)));
        let status = self.status.load(Ordering::SeqCst);
        let head = format!(
            "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nlocation: /elsewhere\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        // Who asked may have gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}
