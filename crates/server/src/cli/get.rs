//! `thalweg get`: the features of an entity, typed by the definitions in force, as a table.

use super::output::{plain, print, print_json, table};
use super::{Failure, Outcome, ServerFlag};
use clap::Args;
use serde_json::{Map, Value as Json, json};
use thalweg_definition::{DataType, Manifest};

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg get card_risk card=c1 amount=80\n  \
    thalweg get card_risk card=c1 card=c2 amount=80 --as-of 2024-03-05T12:00:00Z\n  \
    thalweg get card_payments.attempts_7d card=c1\n\n\
    A key given several times reads several entities; a value given once goes with each.")]
pub struct GetArguments {
    /// A service, or features as view.feature, separated by commas
    service: String,
    /// Key columns, and the request values of on-demand features (request.NAME= where a key has the same name)
    #[arg(required = true, value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// The query time: ISO 8601 or microseconds since the epoch; left out, now
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn get(arguments: &GetArguments) -> Outcome {
    let client = arguments.server.client()?;
    let manifest = read_manifest(&client.get("/v1/manifest")?)?;
    let request = request(&manifest, arguments)?;
    let response = client.post("/v1/features", &[], request.to_string().into_bytes())?;
    if arguments.json {
        print_json(&response);
    } else {
        show(&response);
    }
    Ok(0)
}

fn read_manifest(whole: &Json) -> Result<Manifest, Failure> {
    let strange = |why: String| Failure::failed(format!("the server's manifest cannot be read here: {why}"));
    let proto = thalweg_wire::parse_json(&whole["manifest"].to_string()).map_err(strange)?;
    thalweg_wire::from_proto(proto)
        .map_err(|problems| strange(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}

fn request(manifest: &Manifest, arguments: &GetArguments) -> Result<Json, Failure> {
    let (mut entities, mut asked): (Columns, Columns) = (Vec::new(), Vec::new());
    for given in &arguments.values {
        let (name, text) = given
            .split_once('=')
            .ok_or_else(|| Failure::misuse(format!("`{given}` has no `=`: write key=value, such as carrier=AA")))?;
        let (place, name, data_type) = match (name.strip_prefix("request."), key_type(manifest, name)) {
            (None, Some(data_type)) => (&mut entities, name, data_type),
            (explicit, _) => {
                let name = explicit.unwrap_or(name);
                let data_type = request_type(manifest, name).ok_or_else(|| unknown(manifest, name))?;
                (&mut asked, name, data_type)
            }
        };
        let value = typed(text, data_type);
        match place.iter_mut().find(|(own, _)| own == name) {
            Some((_, values)) => values.push(value),
            None => place.push((name.to_owned(), vec![value])),
        }
    }
    let rows = entities.iter().chain(&asked).map(|(_, values)| values.len()).max().unwrap_or(0);
    let mut request = json!({ "entities": filled(entities, rows)?, "request": filled(asked, rows)? });
    if manifest.service(&arguments.service).is_some() || !arguments.service.contains(['.', ',']) {
        let on_demand = manifest.on_demand(&arguments.service).is_some();
        if on_demand && manifest.service(&arguments.service).is_none() {
            request["features"] = json!([arguments.service]);
        } else {
            request["service"] = json!(arguments.service);
        }
    } else {
        request["features"] = arguments.service.split(',').map(str::trim).collect();
    }
    if let Some(time) = &arguments.as_of {
        request["as_of"] = time.parse::<i64>().map_or_else(|_| json!(time), |micros| json!(micros));
    }
    Ok(request)
}

type Columns = Vec<(String, Vec<Json>)>;

/// Columns of one length: what was given once goes with every entity.
fn filled(columns: Columns, rows: usize) -> Result<Json, Failure> {
    let mut out = Map::new();
    for (name, mut values) in columns {
        if values.len() == 1 && rows > 1 {
            values = vec![values[0].clone(); rows];
        }
        if values.len() != rows {
            let given = values.len();
            return Err(Failure::misuse(format!(
                "`{name}` is given {given} times and another {rows}: give each as often"
            )));
        }
        out.insert(name, Json::Array(values));
    }
    Ok(Json::Object(out))
}

fn key_type<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a DataType> {
    let mut keys = manifest.entities.iter().flat_map(|entity| &entity.keys);
    keys.find(|key| key.name == name).map(|key| &key.data_type)
}

fn request_type<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a DataType> {
    let mut columns = manifest.on_demand.iter().flat_map(|feature| &feature.request);
    columns.find(|column| column.name == name).map(|column| &column.data_type)
}

fn unknown(manifest: &Manifest, name: &str) -> Failure {
    let keys = manifest.entities.iter().flat_map(|entity| &entity.keys);
    let columns = keys.chain(manifest.on_demand.iter().flat_map(|feature| &feature.request));
    let mut names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Failure::misuse(match crate::nearest::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("there is no key or request value `{name}`: did you mean `{nearest}`?"),
        None => format!("there is no key or request value `{name}`; there are: {}", names.join(", ")),
    })
}

/// What the type makes of the text. What it cannot be is sent as text, so that the server says why.
fn typed(text: &str, data_type: &DataType) -> Json {
    match data_type {
        DataType::Bool
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::List(_)
        | DataType::Vector(_) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

fn show(response: &Json) {
    let empty = Map::new();
    let entities = response["entities"].as_object().unwrap_or(&empty);
    let rows = entities.values().filter_map(Json::as_array).map(Vec::len).max().unwrap_or(1);
    for row in 0..rows {
        let keys: Vec<String> =
            entities.iter().map(|(name, values)| format!("{name}={}", as_is(&values[row]))).collect();
        print(format!("{} as of {}", keys.join(" "), plain(&response["as_of"])));
        let results = response["results"].as_array().into_iter().flatten();
        let lines: Vec<Vec<String>> = results.map(|result| line(result, row)).collect();
        print(table(&["feature", "value", "status", "event time"], &lines));
        if row + 1 < rows {
            print("");
        }
    }
}

/// A value that can be copied: text without quotes, numbers without marks between thousands.
fn as_is(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn line(result: &Json, row: usize) -> Vec<String> {
    let status = plain(&result["statuses"][row]);
    let status = match result["errors"][row].as_str() {
        Some(why) => format!("{status}: {why}"),
        None => status,
    };
    vec![plain(&result["name"]), as_is(&result["values"][row]), status, plain(&result["event_times"][row])]
}
