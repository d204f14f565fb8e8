//! One client: who it is, which protocol it speaks, and what becomes of its commands, in the order in which they come.

use super::Common;
use super::commands::{Verb, known};
use super::errors::{NO_INTEGER, NOAUTH, NOPROTO, SYNTAX, WRONGPASS, line};
use super::face::Finder;
use super::gather::Gathered;
use super::limits::{GATHERED_ROWS, MAX_NAME_BYTES, MAX_OUTPUT_BYTES};
use super::parse::{Batch, Command, number};
use super::reply::{Protocol, Reply};
use super::{about, direct};
use crate::session::{Door, Session};
use std::net::SocketAddr;
use std::sync::Arc;

/// What `HELLO` says to whoever did not present a key and has to.
const HELLO_NOAUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
    <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
    the same time";

pub struct Client {
    pub(super) common: Arc<Common>,
    pub(super) id: i64,
    pub(super) peer: Option<SocketAddr>,
    /// What it calls itself.
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    /// None until it was let in: by a key, or without one where none is asked for.
    session: Option<Session>,
    pub(super) reply: Reply,
    closing: bool,
}

impl Client {
    pub fn new(common: Arc<Common>, peer: Option<SocketAddr>) -> Self {
        Self {
            id: common.arrived(),
            common,
            peer,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            session: None,
            reply: Reply::default(),
            closing: false,
        }
    }

    pub fn is_closing(&self) -> bool {
        self.closing
    }

    pub fn is_known(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Lets in whoever presents no key, where none is asked for.
    pub fn let_in(&mut self) -> Result<(), String> {
        if self.session.is_none() {
            let session = Session::enter(&self.common.instance, Door::Redis, None, self.address());
            self.session = Some(session.map_err(|error| line(&error))?);
        }
        Ok(())
    }

    fn address(&self) -> Option<std::net::IpAddr> {
        self.peer.map(|peer| peer.ip())
    }

    /// Answers commands from `first` on; returns where it stopped: at their end, or where enough answers wait to be
    /// sent, or where the client is done.
    pub async fn answer(&mut self, batch: Batch<'_>, first: usize) -> usize {
        let common = self.common.clone();
        let mut gathered = Gathered::default();
        let mut finder: Option<Finder<'_>> = None;
        for index in first..batch.count() {
            let command = batch.command(index);
            let verb = self.admit(command);
            if let Ok(Verb::Read(read)) = verb {
                let added = match self.finder(&common, &mut finder) {
                    Ok(finder) => gathered.add(finder, read, command),
                    Err(why) => Err(why),
                };
                if added.is_ok() && gathered.keys() < GATHERED_ROWS {
                    continue;
                }
                self.flush(&mut gathered, finder.as_ref()).await;
                if let Err(why) = added {
                    self.reply.error(&why);
                }
            } else {
                self.flush(&mut gathered, finder.as_ref()).await;
                if let Err(why) = self.perform(verb, command, &common, &mut finder).await {
                    self.reply.error(&why);
                }
            }
            if self.closing || self.reply.out.len() >= MAX_OUTPUT_BYTES {
                return index + 1;
            }
        }
        self.flush(&mut gathered, finder.as_ref()).await;
        batch.count()
    }

    /// What a command does, where it is one and the client may say it.
    fn admit(&mut self, command: Command<'_>) -> Result<Verb, String> {
        let spec = known(command)?;
        if !spec.is_open() {
            self.let_in()?;
        }
        Ok(spec.verb)
    }

    fn finder<'o, 'c>(
        &self,
        common: &'c Common,
        finder: &'o mut Option<Finder<'c>>,
    ) -> Result<&'o mut Finder<'c>, String> {
        if finder.is_none() {
            let session = self.session.as_ref().ok_or(NOAUTH)?;
            let runtime = session.runtime().map_err(|error| line(&error))?;
            *finder = Some(Finder::new(&common.faces, runtime));
        }
        finder.as_mut().ok_or_else(|| NOAUTH.to_owned())
    }

    async fn flush(&mut self, gathered: &mut Gathered<'_>, finder: Option<&Finder<'_>>) {
        if gathered.is_empty() {
            return;
        }
        if let (Some(session), Some(finder)) = (&self.session, finder) {
            gathered.run(session, finder.runtime()).await;
        }
        gathered.write(&mut self.reply);
    }

    /// Does what is not a read.
    async fn perform<'c>(
        &mut self,
        verb: Result<Verb, String>,
        command: Command<'_>,
        common: &'c Common,
        finder: &mut Option<Finder<'c>>,
    ) -> Result<(), String> {
        match verb? {
            Verb::Change(change) => {
                let session = self.session.clone().ok_or(NOAUTH)?;
                let found = self.finder(common, finder)?;
                let outcome = direct::change(&session, found, change, command, &mut self.reply).await;
                // It took its time: what comes after is read under the definitions of then.
                *finder = None;
                return outcome;
            }
            // Reads are gathered.
            Verb::Read(_) => {}
            Verb::Auth => return self.auth(command),
            Verb::Hello => return self.hello(command),
            Verb::Client => return about::client(self, command),
            Verb::Command => return about::command(&mut self.reply, command),
            Verb::Config => return about::config(self, command),
            Verb::Info => about::info(self, command),
            Verb::DbSize => about::entities(self),
            Verb::Time => about::time(&mut self.reply),
            Verb::Ping => match command.count() {
                1 => self.reply.simple("PONG"),
                2 => self.reply.bulk(command.get(1)),
                _ => return Err(super::commands::wrong_arity("ping")),
            },
            Verb::Echo => self.reply.bulk(command.get(1)),
            Verb::Select => match number(command.get(1)).ok_or(NO_INTEGER)? {
                0 => self.reply.ok(),
                _ => return Err("ERR DB index is out of range".to_owned()),
            },
            Verb::Quit => {
                self.reply.ok();
                self.closing = true;
            }
            Verb::Reset => {
                self.session = None;
                self.reply.protocol = Protocol::Resp2;
                self.name.clear();
                self.reply.simple("RESET");
            }
        }
        Ok(())
    }

    /// `AUTH key`, or `AUTH user key`: the user says nothing that the key does not.
    fn auth(&mut self, command: Command<'_>) -> Result<(), String> {
        if command.count() > 3 {
            return Err(SYNTAX.to_owned());
        }
        self.present(command.get(command.count() - 1))?;
        self.reply.ok();
        Ok(())
    }

    /// Lets in by a key. Who was in before stays so where the key is none.
    fn present(&mut self, key: &[u8]) -> Result<(), String> {
        let key = String::from_utf8_lossy(key);
        let session = Session::enter(&self.common.instance, Door::Redis, Some(&key), self.address());
        self.session = Some(session.map_err(|error| match error.code() {
            "UNAUTHENTICATED" => WRONGPASS.to_owned(),
            _ => line(&error),
        })?);
        Ok(())
    }

    fn hello(&mut self, command: Command<'_>) -> Result<(), String> {
        let mut protocol = self.reply.protocol;
        if command.count() > 1 {
            protocol = match number(command.get(1)) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return Err(NOPROTO.to_owned()),
                None => return Err("ERR Protocol version is not an integer or out of range".to_owned()),
            };
        }
        let (mut key, mut name, mut at) = (None, None, 2);
        while at < command.count() {
            let (option, left) = (command.get(at), command.count() - at - 1);
            if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
                key = Some(command.get(at + 2));
                at += 3;
            } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
                name = Some(checked_name(command.get(at + 1))?);
                at += 2;
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'"));
            }
        }
        match key {
            Some(key) => self.present(key)?,
            None => self.let_in().map_err(|why| if why == NOAUTH { HELLO_NOAUTH.to_owned() } else { why })?,
        }
        if let Some(name) = name {
            self.name = name;
        }
        self.reply.protocol = protocol;
        about::hello(self);
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.common.left();
    }
}

/// A name that a client gives to itself, which is shown in a line with others.
pub fn checked_name(name: &[u8]) -> Result<String, String> {
    let fits = name.len() <= MAX_NAME_BYTES && name.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(name) {
        Ok(name) if fits => Ok(name.to_owned()),
        _ => Err("ERR Client names cannot contain spaces, newlines or special characters.".to_owned()),
    }
}
