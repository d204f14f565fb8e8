//! `thalweg feature`: directly written features, one key at a time.

use super::client::{Body, Client, JSON, encode};
use super::output::{outline, plain, print, print_json, table, table_of};
use super::{Failure, Outcome, ServerFlag};
use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg feature describe\n  thalweg feature incr users.clicks 1 user=u1\n  \
    thalweg feature get users.clicks user=u1\n  thalweg feature get users.spend+sum user=u1")]
pub struct FeatureArguments {
    #[command(subcommand)]
    command: FeatureCommand,
}

#[derive(Subcommand)]
enum FeatureCommand {
    /// Read the value of a key
    #[command(after_help = "Examples:\n  thalweg feature get users.clicks user=u1\n  \
        thalweg feature get users.clicks@-1 user=u1    # the value before\n  \
        thalweg feature get users.spend+sum user=u1 --as-of 2024-03-05T12:00:00Z")]
    Get(GetArguments),
    /// Replace a value or a whole list, or add to a window
    #[command(after_help = "Examples:\n  thalweg feature set users.plan pro user=u1\n  \
        thalweg feature set users.seen '[\"p1\", \"p2\"]' user=u1")]
    Set(WriteArguments),
    /// Add an item to a list
    #[command(after_help = "Examples:\n  thalweg feature append users.seen p3 user=u1")]
    Append(WriteArguments),
    /// Add to a number, or to a window of numbers
    #[command(after_help = "Examples:\n  thalweg feature incr users.clicks 1 user=u1\n  \
        thalweg feature incr users.balance -2.5 user=u1")]
    Incr(WriteArguments),
    /// Set a scalar, append to a list, add to a window
    #[command(after_help = "Examples:\n  thalweg feature update users.spend 12.5 user=u1")]
    Update(WriteArguments),
    /// Show what a feature is; without a name, all of them
    #[command(after_help = "Examples:\n  thalweg feature describe\n  thalweg feature describe users.clicks --json")]
    Describe(DescribeArguments),
}

#[derive(Args)]
struct GetArguments {
    /// namespace.name, namespace.name+aggregation, or namespace.name@-1 for the value before the newest
    selector: String,
    /// The key of one entity
    #[arg(required = true, value_name = "KEY=VALUE")]
    keys: Vec<String>,
    /// The query time: ISO 8601 or microseconds since the epoch; left out, now
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct WriteArguments {
    /// namespace.name
    selector: String,
    /// The value, the item or the number; a list as JSON
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// The key of one entity
    #[arg(required = true, value_name = "KEY=VALUE")]
    keys: Vec<String>,
    /// When it happened: ISO 8601 or microseconds since the epoch; left out, now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A name for this write: sent again with it, it counts once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct DescribeArguments {
    /// namespace.name; left out, all
    selector: Option<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn feature(arguments: &FeatureArguments) -> Outcome {
    match &arguments.command {
        FeatureCommand::Get(arguments) => get(arguments),
        FeatureCommand::Set(arguments) => write("set", arguments),
        FeatureCommand::Append(arguments) => write("append", arguments),
        FeatureCommand::Incr(arguments) => write("incr", arguments),
        FeatureCommand::Update(arguments) => write("update", arguments),
        FeatureCommand::Describe(arguments) => describe(arguments),
    }
}

fn get(arguments: &GetArguments) -> Outcome {
    let client = arguments.server.client()?;
    let descriptor = client.get(&place(&arguments.selector))?;
    let mut body = json!({ "keys": keys(&descriptor, &arguments.keys)? });
    if let Some(time) = &arguments.as_of {
        body["as_of"] = moment(time);
    }
    let answer = send(&client, &arguments.selector, "get", &body, None)?;
    if arguments.json {
        print_json(&answer);
        return Ok(0);
    }
    print(format!("{} {} as of {}", arguments.selector, arguments.keys.join(" "), plain(&answer["as_of"])));
    let line = |one: &Json| {
        vec![plain(&one["aggregation"]), as_is(&one["value"]), plain(&one["status"]), plain(&one["event_time"])]
    };
    let lines: Vec<Vec<String>> = answer["values"].as_array().into_iter().flatten().map(line).collect();
    print(table(&["aggregation", "value", "status", "event time"], &lines));
    Ok(0)
}

fn write(operation: &str, arguments: &WriteArguments) -> Outcome {
    let client = arguments.server.client()?;
    let descriptor = client.get(&place(&arguments.selector))?;
    let mut body = json!({
        "keys": keys(&descriptor, &arguments.keys)?,
        "value": value(&descriptor, operation, &arguments.value),
    });
    if let Some(time) = &arguments.at {
        body["at"] = moment(time);
    }
    let key = arguments.idempotency_key.as_deref();
    let answer = send(&client, &arguments.selector, operation, &body, key)?;
    if arguments.json {
        print_json(&answer);
    } else {
        let repeated = if answer["repeated"] == Json::Bool(true) { ", as before" } else { "" };
        print(format!("written at {}, number {}{repeated}", plain(&answer["at"]), plain(&answer["sequence"])));
    }
    Ok(0)
}

fn describe(arguments: &DescribeArguments) -> Outcome {
    let client = arguments.server.client()?;
    let shown = match &arguments.selector {
        Some(selector) => client.get(&place(selector))?,
        None => client.get("/v1/direct")?,
    };
    if arguments.json {
        print_json(&shown);
        return Ok(0);
    }
    match shown.as_array().map(Vec::as_slice) {
        None => print(outline(&shown)),
        Some([]) => print("no feature is written directly"),
        Some(all) => print(table_of(all, &["selector", "entity", "primitive", "over", "keep_previous"])),
    }
    Ok(0)
}

fn place(selector: &str) -> String {
    format!("/v1/direct/{}", encode(selector))
}

fn send(
    client: &Client,
    selector: &str,
    operation: &str,
    body: &Json,
    idempotency_key: Option<&str>,
) -> Result<Json, Failure> {
    let body = Body { content_type: JSON, bytes: body.to_string().into_bytes(), idempotency_key };
    Ok(client.post_body(&format!("{}/{operation}", place(selector)), &[], &body)?)
}

/// The key columns, typed by the descriptor. What it does not name is sent as text, so that the server says why.
fn keys(descriptor: &Json, given: &[String]) -> Result<Json, Failure> {
    let mut keys = Map::new();
    for given in given {
        let (name, text) = given
            .split_once('=')
            .ok_or_else(|| Failure::misuse(format!("`{given}` has no `=`: write key=value, such as user=u1")))?;
        let known = descriptor["keys"].as_array().into_iter().flatten().find(|key| key["name"] == name);
        let is_text = known.and_then(|key| key["type"].as_str()).is_none_or(is_text);
        if keys.insert(name.to_owned(), typed(text, is_text)).is_some() {
            return Err(Failure::misuse(format!(
                "`{name}` is given twice: a feature is read and written for one entity"
            )));
        }
    }
    Ok(Json::Object(keys))
}

/// Whether values of a type are text in JSON.
fn is_text(data_type: &str) -> bool {
    !matches!(data_type, "bool" | "int32" | "int64" | "float32" | "float64")
}

fn value(descriptor: &Json, operation: &str, text: &str) -> Json {
    let primitive = descriptor["primitive"].as_str().unwrap_or_default();
    let item = primitive.trim_start_matches('[').trim_end_matches(']');
    let whole_list = item != primitive && operation == "set";
    typed(text, !whole_list && matches!(item, "string" | "timestamp"))
}

/// What cannot be read as JSON is sent as text, so that the server says what it expects.
fn typed(text: &str, is_text: bool) -> Json {
    if is_text { json!(text) } else { serde_json::from_str(text).unwrap_or_else(|_| json!(text)) }
}

fn moment(time: &str) -> Json {
    time.parse::<i64>().map_or_else(|_| json!(time), |micros| json!(micros))
}

/// A value that can be copied: text without quotes, numbers without marks between thousands.
fn as_is(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_typed_by_the_primitive() {
        let value =
            |primitive: &str, operation: &str, text: &str| value(&json!({ "primitive": primitive }), operation, text);
        assert_eq!(value("int", "set", "12"), json!(12));
        assert_eq!(value("string", "set", "12"), json!("12"));
        assert_eq!(value("[string]", "append", "12"), json!("12"));
        assert_eq!(value("[string]", "set", "[\"12\"]"), json!(["12"]));
        assert_eq!(value("bool", "update", "true"), json!(true));
        assert_eq!(value("int", "incr", "many"), json!("many"));
    }

    #[test]
    fn keys_are_typed_by_the_descriptor() {
        let descriptor = json!({"keys": [{"name": "shop", "type": "int64"}, {"name": "user", "type": "string"}]});
        let given = |text: &str| keys(&descriptor, &text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(given("shop=7 user=8").ok(), Some(json!({"shop": 7, "user": "8"})));
        assert!(given("shop").err().is_some_and(|failure| failure.message.contains("has no `=`")));
        assert!(given("shop=1 shop=2").err().is_some_and(|failure| failure.message.contains("twice")));
    }
}
