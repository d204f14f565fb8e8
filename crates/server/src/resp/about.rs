//! What clients ask of a server before they ask for data: who it is, what it can do, and what they may call
//! themselves.

use super::client::{Client, checked_name};
use super::commands::{COMMANDS, Spec, unknown_subcommand, wrong_arity};
use super::errors::SYNTAX;
use super::limits::{IDLE_PAUSE, MAX_BULK_BYTES, MAX_NAME_BYTES};
use super::parse::Command;
use super::reply::Reply;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// The version of Redis whose protocol and whose words this door speaks; clients decide by it what they may ask.
const REDIS_VERSION: &str = "7.4.0";
const TAKES: &str = "text takes text";

/// The answer to `HELLO`.
pub fn hello(client: &mut Client) {
    let (id, reply) = (client.id, &mut client.reply);
    let protocol = reply.protocol.number();
    reply.map(7);
    let text = |reply: &mut Reply, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text(reply, "server", "redis");
    text(reply, "version", REDIS_VERSION);
    reply.bulk(b"proto");
    reply.integer(protocol);
    reply.bulk(b"id");
    reply.integer(id);
    text(reply, "mode", "standalone");
    text(reply, "role", "master");
    reply.bulk(b"modules");
    reply.array(0);
}

/// `CLIENT`: what a connection says of itself. There are no others to see from here.
pub fn client(client: &mut Client, command: Command<'_>) -> Result<(), String> {
    let sub = command.get(1).to_ascii_lowercase();
    let words = match sub.as_slice() {
        b"id" | b"getname" | b"info" => 2,
        b"setname" | b"no-evict" | b"no-touch" => 3,
        b"setinfo" => 4,
        _ => return Err(unknown_subcommand("CLIENT", command.get(1))),
    };
    if command.count() != words {
        return Err(wrong_arity(&format!("client|{}", String::from_utf8_lossy(&sub))));
    }
    match sub.as_slice() {
        b"id" => client.reply.integer(client.id),
        b"getname" if client.name.is_empty() => client.reply.nil(),
        b"getname" => client.reply.bulk(client.name.as_bytes()),
        b"info" => {
            let line = client_line(client);
            client.reply.verbatim(&line);
        }
        b"setname" => {
            client.name = checked_name(command.get(2))?;
            client.reply.ok();
        }
        b"setinfo" => {
            set_info(client, command)?;
            client.reply.ok();
        }
        // Nothing is evicted or touched for a client's sake.
        _ => match command.get(2).to_ascii_lowercase().as_slice() {
            b"on" | b"off" => client.reply.ok(),
            _ => return Err(SYNTAX.to_owned()),
        },
    }
    Ok(())
}

fn set_info(client: &mut Client, command: Command<'_>) -> Result<(), String> {
    let (option, value) = (command.get(2), command.get(3));
    let fits = value.len() <= MAX_NAME_BYTES && value.iter().all(u8::is_ascii_graphic);
    let value = std::str::from_utf8(value).ok().filter(|_| fits);
    let option = option.to_ascii_lowercase();
    let place = match option.as_slice() {
        b"lib-name" => &mut client.library,
        b"lib-ver" => &mut client.library_version,
        _ => return Err(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(command.get(2)))),
    };
    let name = String::from_utf8_lossy(&option).into_owned();
    let value = value.ok_or_else(|| format!("ERR {name} cannot contain spaces, newlines or special characters."))?;
    *place = value.to_owned();
    Ok(())
}

fn client_line(client: &Client) -> String {
    let address = client.peer.map(|peer| peer.to_string()).unwrap_or_default();
    format!(
        "id={} addr={address} name={} db=0 cmd=client|info user=default lib-name={} lib-ver={} resp={}\n",
        client.id,
        client.name,
        client.library,
        client.library_version,
        client.reply.protocol.number()
    )
}

/// `COMMAND`: the table of commands.
pub fn command(reply: &mut Reply, command: Command<'_>) -> Result<(), String> {
    if command.count() == 1 {
        describe_all(reply);
        return Ok(());
    }
    let sub = command.get(1).to_ascii_lowercase();
    match sub.as_slice() {
        b"count" if command.count() == 2 => reply.integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
        b"count" => return Err(wrong_arity("command|count")),
        b"info" if command.count() == 2 => describe_all(reply),
        b"info" => {
            reply.array(command.count() - 2);
            for name in command.words(2) {
                match Spec::named(name) {
                    Some(spec) => spec.describe(reply),
                    None => reply.nil_array(),
                }
            }
        }
        b"docs" => {
            let asked = |spec: &&Spec| {
                command.count() == 2 || command.words(2).any(|name| spec.name.as_bytes().eq_ignore_ascii_case(name))
            };
            let specs: Vec<&Spec> = COMMANDS.iter().filter(asked).collect();
            reply.map(specs.len());
            specs.iter().for_each(|spec| spec.document(reply));
        }
        _ => return Err(unknown_subcommand("COMMAND", command.get(1))),
    }
    Ok(())
}

fn describe_all(reply: &mut Reply) {
    reply.array(COMMANDS.len());
    COMMANDS.iter().for_each(|spec| spec.describe(reply));
}

/// `CONFIG GET`: what benchmarks and clients ask for. Nothing is set from here.
pub fn config(client: &mut Client, command: Command<'_>) -> Result<(), String> {
    if !command.get(1).eq_ignore_ascii_case(b"get") {
        return Err(unknown_subcommand("CONFIG", command.get(1)));
    }
    if command.count() == 2 {
        return Err(wrong_arity("config|get"));
    }
    let known = [
        // Acknowledged is durable, always: the log is synced, and there are no snapshots to time.
        ("save", String::new()),
        ("appendonly", "yes".to_owned()),
        ("appendfsync", "always".to_owned()),
        ("databases", "1".to_owned()),
        ("timeout", IDLE_PAUSE.as_secs().to_string()),
        ("maxmemory", client.common.instance.settings().memory.bytes().to_string()),
        ("proto-max-bulk-len", MAX_BULK_BYTES.to_string()),
    ];
    let patterns: Vec<glob::Pattern> = command
        .words(2)
        .filter_map(|word| glob::Pattern::new(&String::from_utf8_lossy(word).to_ascii_lowercase()).ok())
        .collect();
    let asked = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    let asked: Vec<&(&str, String)> = known.iter().filter(|(name, _)| asked(name)).collect();
    client.reply.map(asked.len());
    for (name, value) in asked {
        client.reply.bulk(name.as_bytes());
        client.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// `INFO`: all sections, or those that are named.
pub fn info(client: &mut Client, command: Command<'_>) {
    let everything = ["default", "all", "everything"];
    let named = |section: &str| command.words(1).any(|word| section.as_bytes().eq_ignore_ascii_case(word));
    let all = command.count() == 1 || everything.iter().any(|name| named(name));
    let common = &client.common;
    let mut text = String::new();
    let mut section = |name: &str, lines: &[(&str, String)]| {
        if !all && !named(name) {
            return;
        }
        let break_before = if text.is_empty() { "" } else { "\r\n" };
        let title = name[..1].to_uppercase() + &name[1..];
        write!(text, "{break_before}# {title}\r\n").expect(TAKES);
        for (name, value) in lines {
            write!(text, "{name}:{value}\r\n").expect(TAKES);
        }
    };
    section(
        "server",
        &[
            ("redis_version", REDIS_VERSION.to_owned()),
            ("redis_mode", "standalone".to_owned()),
            ("thalweg_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("process_id", std::process::id().to_string()),
            ("uptime_in_seconds", common.began.elapsed().as_secs().to_string()),
        ],
    );
    section("clients", &[("connected_clients", common.connected.load(Ordering::Relaxed).to_string())]);
    // Whoever can connect is served from recovered state: clients that wait for `loading:0` need not.
    section("persistence", &[("loading", "0".to_owned()), ("async_loading", "0".to_owned())]);
    section("replication", &[("role", "master".to_owned()), ("connected_slaves", "0".to_owned())]);
    section("cluster", &[("cluster_enabled", "0".to_owned())]);
    client.reply.verbatim(&text);
}

/// `DBSIZE`: how many entities are known, view by view.
pub fn entities(client: &mut Client) {
    let runtime = client.session().and_then(|session| session.runtime().ok());
    let views = runtime.iter().flat_map(|runtime| runtime.views.values());
    let entities: usize = views.map(|view| view.state.entities()).sum();
    client.reply.integer(i64::try_from(entities).unwrap_or(i64::MAX));
}

/// `TIME`: the machine's clock, in seconds and microseconds.
pub fn time(reply: &mut Reply) {
    let now = chrono::Utc::now();
    reply.array(2);
    reply.shown(now.timestamp());
    reply.shown(now.timestamp_subsec_micros());
}
