//! The commands there are, and what of them is known before they run: how many words they take and who may say them.
//! `COMMAND` shows this table, so that it cannot say anything else than what holds.

use super::parse::Command;
use super::reply::Reply;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads features; several of them are read together.
    Read(Read),
    /// Writes a direct feature.
    Change(Change),
    Auth,
    Hello,
    Client,
    Command,
    Config,
    Ping,
    Echo,
    Info,
    Select,
    DbSize,
    Time,
    Quit,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    HGetAll,
    HGet,
    HMGet,
    HKeys,
    HLen,
    HExists,
    Get,
    MGet,
    Exists,
    Type,
    LRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Set,
    Incr,
    IncrBy,
    IncrByFloat,
    RPush,
}

/// Which words of a command are keys, in the form in which `COMMAND` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    None,
    First,
    All,
}

pub struct Spec {
    pub name: &'static str,
    /// Words with the name; negative: at least so many.
    pub arity: i64,
    pub keys: Keys,
    pub flags: &'static [&'static str],
    pub group: &'static str,
    pub summary: &'static str,
    pub verb: Verb,
}

const READS: &[&str] = &["readonly", "fast"];
const WRITES: &[&str] = &["write"];
const FAST: &[&str] = &["loading", "stale", "fast"];
/// Those that may be said before a key was presented.
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];

const fn spec(
    name: &'static str,
    arity: i64,
    keys: Keys,
    flags: &'static [&'static str],
    group: &'static str,
    verb: Verb,
    summary: &'static str,
) -> Spec {
    Spec { name, arity, keys, flags, group, summary, verb }
}

/// Those that come most often come first.
#[rustfmt::skip]
pub const COMMANDS: &[Spec] = &[
    spec("hgetall", 2, Keys::First, READS, "hash", Verb::Read(Read::HGetAll),
        "The features of an entity that have a value, with their values."),
    spec("hmget", -3, Keys::First, READS, "hash", Verb::Read(Read::HMGet),
        "The values of some features of an entity."),
    spec("hget", 3, Keys::First, READS, "hash", Verb::Read(Read::HGet),
        "The value of a feature of an entity."),
    spec("mget", -2, Keys::All, READS, "string", Verb::Read(Read::MGet),
        "The features of each entity as JSON, or the values of direct features."),
    spec("get", 2, Keys::First, READS, "string", Verb::Read(Read::Get),
        "The features of an entity as JSON, or the value of a direct feature."),
    spec("set", -3, Keys::First, WRITES, "string", Verb::Change(Change::Set),
        "Sets a direct feature."),
    spec("incr", 2, Keys::First, WRITES, "string", Verb::Change(Change::Incr),
        "Adds one to a direct feature."),
    spec("incrby", 3, Keys::First, WRITES, "string", Verb::Change(Change::IncrBy),
        "Adds a whole number to a direct feature."),
    spec("incrbyfloat", 3, Keys::First, WRITES, "string", Verb::Change(Change::IncrByFloat),
        "Adds a number to a direct feature."),
    spec("rpush", -3, Keys::First, WRITES, "list", Verb::Change(Change::RPush),
        "Appends to a direct feature that is a list."),
    spec("lrange", 4, Keys::First, &["readonly"], "list", Verb::Read(Read::LRange),
        "A part of a direct feature that is a list."),
    spec("hkeys", 2, Keys::First, READS, "hash", Verb::Read(Read::HKeys),
        "The features of an entity that have a value."),
    spec("hlen", 2, Keys::First, READS, "hash", Verb::Read(Read::HLen),
        "How many features of an entity have a value."),
    spec("hexists", 3, Keys::First, READS, "hash", Verb::Read(Read::HExists),
        "Whether a feature of an entity has a value."),
    spec("exists", -2, Keys::All, READS, "generic", Verb::Read(Read::Exists),
        "For how many of the keys there is a value."),
    spec("type", 2, Keys::First, READS, "generic", Verb::Read(Read::Type),
        "What a key holds: hash, string, list or none."),
    spec("ping", -1, Keys::None, FAST, "connection", Verb::Ping,
        "Answers."),
    spec("echo", 2, Keys::None, FAST, "connection", Verb::Echo,
        "Answers with what it is given."),
    spec("auth", -2, Keys::None, OPEN, "connection", Verb::Auth,
        "Presents an API key."),
    spec("hello", -1, Keys::None, OPEN, "connection", Verb::Hello,
        "Chooses the version of the protocol."),
    spec("client", -2, Keys::None, FAST, "connection", Verb::Client,
        "What a connection says of itself."),
    spec("select", 2, Keys::None, FAST, "connection", Verb::Select,
        "Chooses the only database there is."),
    spec("quit", -1, Keys::None, OPEN, "connection", Verb::Quit,
        "Closes the connection."),
    spec("reset", 1, Keys::None, OPEN, "connection", Verb::Reset,
        "Makes the connection as new."),
    spec("command", -1, Keys::None, FAST, "server", Verb::Command,
        "The commands there are."),
    spec("config", -2, Keys::None, FAST, "server", Verb::Config,
        "What clients ask for of the settings."),
    spec("info", -1, Keys::None, FAST, "server", Verb::Info,
        "What the server says of itself."),
    spec("dbsize", 1, Keys::None, READS, "server", Verb::DbSize,
        "How many entities are known, view by view."),
    spec("time", 1, Keys::None, FAST, "server", Verb::Time,
        "The machine's clock."),
];

impl Spec {
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        COMMANDS.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it may be said before a key was presented.
    pub fn is_open(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity < 0 { words >= -self.arity } else { words == self.arity }
    }

    /// As `COMMAND` tells it: name, arity, flags, keys, categories, tips, specifications, subcommands.
    pub fn describe(&self, reply: &mut Reply) {
        reply.array(10);
        reply.bulk(self.name.as_bytes());
        reply.integer(self.arity);
        reply.set(self.flags.len());
        for flag in self.flags {
            reply.simple(flag);
        }
        let (first, last, step) = match self.keys {
            Keys::None => (0, 0, 0),
            Keys::First => (1, 1, 1),
            Keys::All => (1, -1, 1),
        };
        reply.integer(first);
        reply.integer(last);
        reply.integer(step);
        reply.set(1);
        reply.simple(&format!("@{}", self.group));
        for _ in 0..3 {
            reply.array(0);
        }
    }

    /// As `COMMAND DOCS` tells it.
    pub fn document(&self, reply: &mut Reply) {
        reply.bulk(self.name.as_bytes());
        reply.map(3);
        for (name, value) in [("summary", self.summary), ("since", "1.0.0"), ("group", self.group)] {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    }
}

/// What a command is, where there is such a one and it has as many words as it takes.
pub fn known(command: Command<'_>) -> Result<&'static Spec, String> {
    let spec = Spec::named(command.name()).ok_or_else(|| unknown(command))?;
    if spec.takes(command.count()) { Ok(spec) } else { Err(wrong_arity(spec.name)) }
}

/// Bytes of what was sent that an error repeats.
const REPEATED_BYTES: usize = 128;

fn unknown(command: Command<'_>) -> String {
    let mut arguments = String::new();
    for argument in command.words(1) {
        if arguments.len() >= REPEATED_BYTES {
            break;
        }
        let room = REPEATED_BYTES - arguments.len();
        arguments.push_str(&format!("'{}' ", repeated(argument, room)));
    }
    let name = repeated(command.name(), REPEATED_BYTES);
    format!("ERR unknown command '{name}', with args beginning with: {arguments}")
}

/// The beginning of what was sent.
fn repeated(sent: &[u8], most: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&sent[..sent.len().min(most)])
}

/// `client|setname` for a command within a command.
pub fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

pub fn unknown_subcommand(command: &str, sent: &[u8]) -> String {
    format!("ERR unknown subcommand '{}'. Try {command} HELP.", repeated(sent, REPEATED_BYTES))
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Bounds, Parser};
    use super::*;

    fn refused(line: &str) -> String {
        let mut parser = Parser::default();
        parser.parse(line.as_bytes(), 1, Bounds::of(true));
        known(parser.batch(line.as_bytes()).command(0)).err().unwrap_or_default()
    }

    #[test]
    fn what_is_not_there_is_refused_as_redis_does() {
        assert_eq!(refused("FOO a b\n"), "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
        assert_eq!(refused("foo\n"), "ERR unknown command 'foo', with args beginning with: ");
        assert_eq!(refused("HGET a\n"), "ERR wrong number of arguments for 'hget' command");
        assert_eq!(refused("hmget a\n"), "ERR wrong number of arguments for 'hmget' command");
        assert_eq!(refused("hMgEt a b c\n"), "");
        let long = refused(&format!("x {} {}\n", "a".repeat(200), "b".repeat(200)));
        assert_eq!(long, format!("ERR unknown command 'x', with args beginning with: '{}' ", "a".repeat(128)));
    }

    #[test]
    fn no_command_is_there_twice() {
        let mut names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
        assert!(COMMANDS.iter().all(|spec| spec.name.bytes().all(|byte| byte.is_ascii_lowercase())));
    }
}
