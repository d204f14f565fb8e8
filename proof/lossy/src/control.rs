//! Commands, a line each, on a Unix socket; each is answered `ok`, with figures where it has some, or `error` and why.
//!
//! ```text
//! crash SEED       forgets what is not durable, with the choices from the seed; answers how many changes of names were
//!                  undone, how many files had unsynced writes, and how many of those lost some
//! full BYTES|off   the room for all files together
//! fail-sync N      the Nth sync from now fails
//! sync-count       how many syncs there were
//! quit             unmounts and ends
//! ```

use crate::mount::Mount;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// Takes commands until `quit`.
pub fn serve(listener: &UnixListener, mount: &mut Mount) -> io::Result<()> {
    for connection in listener.incoming() {
        // Who hangs up in the midst of a line has given no command.
        if converse(&connection?, mount).unwrap_or(false) {
            return Ok(());
        }
    }
    Ok(())
}

/// Answers one caller; whether that was the last.
fn converse(connection: &UnixStream, mount: &mut Mount) -> io::Result<bool> {
    let mut answers = connection;
    for line in BufReader::new(connection).lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match obey(&words, mount) {
            Ok(figures) if figures.is_empty() => "ok".to_owned(),
            Ok(figures) => format!("ok {figures}"),
            Err(why) => format!("error {why}"),
        };
        writeln!(answers, "{answer}")?;
        if words == ["quit"] {
            return Ok(true);
        }
    }
    Ok(false)
}

fn obey(words: &[&str], mount: &mut Mount) -> Result<String, String> {
    match words {
        ["crash", seed] => {
            let loss = mount.crash(number(seed)?).map_err(|error| error.to_string())?;
            Ok(format!("{} {} {}", loss.names, loss.unsynced_files, loss.changed_files))
        }
        ["full", "off"] => {
            mount.model().lock().set_capacity(None);
            Ok(String::new())
        }
        ["full", bytes] => {
            mount.model().lock().set_capacity(Some(number(bytes)?));
            Ok(String::new())
        }
        ["fail-sync", nth] => {
            mount.model().lock().fail_sync(number(nth)?);
            Ok(String::new())
        }
        ["sync-count"] => Ok(mount.model().lock().sync_count().to_string()),
        ["quit"] => mount.detach().map(|()| String::new()).map_err(|error| error.to_string()),
        _ => Err("the commands are: crash SEED, full BYTES|off, fail-sync N, sync-count, quit".to_owned()),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number"))
}
