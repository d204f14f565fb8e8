//! A connection of the Redis door with an instance behind it: every command is answered exactly once, in the form of
//! the protocol, and reads are answered the same wherever the bytes are cut.

use super::resp_parse::{pieces, read};
use super::resp_replies;
use super::world::{World, with};
use crate::input::Input;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use thalweg_server::fuzzing::Violation;
use thalweg_server::resp::{Common, converse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// Commands whose answers depend on nothing but what is stored.
const STEADY: [&str; 13] =
    ["hgetall", "hmget", "hget", "mget", "get", "hkeys", "hlen", "hexists", "exists", "type", "lrange", "ping", "echo"];

/// How the bytes are cut, then the bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cuts: Vec<usize> = input.take(8).iter().map(|byte| usize::from(*byte)).collect();
    let bytes = input.rest();
    let (commands, violation) = read(&[bytes], 256, true);
    let named = |name: &str, command: &Vec<Vec<u8>>| command[0].eq_ignore_ascii_case(name.as_bytes());
    // What comes after a QUIT is not read.
    let quit = commands.iter().position(|command| named("quit", command));
    let told = match (quit, violation) {
        (Some(place), _) => place + 1,
        (None, None | Some(Violation::Http)) => commands.len(),
        (None, Some(_)) => commands.len() + 1,
    };
    with(|world| {
        let whole = answers(world, &[bytes]);
        let cut = answers(world, &pieces(bytes, &cuts));
        for answer in [&whole, &cut] {
            let shown = || format!("{} was answered with {}", bytes.escape_ascii(), answer.escape_ascii());
            let count = resp_replies::count(answer).unwrap_or_else(|why| panic!("{why}: {}", shown()));
            assert_eq!(count, told, "{}", shown());
        }
        if commands.iter().all(|command| STEADY.iter().any(|name| named(name, command))) {
            assert_eq!(whole.escape_ascii().to_string(), cut.escape_ascii().to_string(), "cut at {cuts:?}");
        }
    });
}

fn answers(world: &World, parts: &[&[u8]]) -> Vec<u8> {
    let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| part.to_vec()).collect();
    let written = Arc::new(Mutex::new(Vec::new()));
    let client = Client { parts, written: written.clone() };
    let (_stop, stopping) = watch::channel(false);
    let common = Common::new(world.instance.clone());
    world.tokio.block_on(converse(common, client, None, stopping)).expect("nothing goes wrong in memory");
    std::mem::take(&mut *written.lock().expect("nobody panics with it"))
}

/// A client that says everything that it has to say, part by part, and takes every answer.
struct Client {
    parts: VecDeque<Vec<u8>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut part) = self.parts.pop_front() {
            let rest = part.split_off(part.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            if !rest.is_empty() {
                self.parts.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
