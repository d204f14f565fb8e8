//! `describe`, `status` and `versions`: what is defined, how it is, and how it came to be.

use super::client::{Client, encode};
use super::output::{outline, print, print_json, table_of};
use super::{AskArguments, Failure, Outcome, ServerFlag};
use clap::Args;
use serde_json::Value as Json;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  thalweg describe\n  thalweg describe departures\n  thalweg describe card_risk --json"
)]
pub struct DescribeArguments {
    /// A source, a view or a service; left out, all
    name: Option<String>,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn describe(arguments: &DescribeArguments) -> Outcome {
    let client = arguments.server.client()?;
    let whole = client.get("/v1/manifest")?;
    let shown = match &arguments.name {
        Some(name) => one(&client, &whole["manifest"], name)?,
        None if arguments.json => whole,
        None => {
            print(summary(&whole));
            return Ok(0);
        }
    };
    if arguments.json {
        print_json(&shown);
    } else {
        print(outline(&shown));
    }
    Ok(0)
}

/// The live state of a source or a view; of a service, what it reads.
fn one(client: &Client, manifest: &Json, name: &str) -> Result<Json, Failure> {
    if named(manifest, "sources", name).is_some() {
        return Ok(client.get(&format!("/v1/sources/{}", encode(name)))?);
    }
    if named(manifest, "views", name).is_some() {
        return Ok(client.get(&format!("/v1/views/{}", encode(name)))?);
    }
    for kind in ["services", "on_demand", "entities", "training_sets"] {
        if let Some(object) = named(manifest, kind, name) {
            return Ok(object.clone());
        }
    }
    let kinds = ["sources", "views", "services", "on_demand", "entities", "training_sets"];
    let names: Vec<&str> = kinds.iter().flat_map(|kind| names(manifest, kind)).collect();
    Err(Failure::misuse(match crate::nearest::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("nothing is called `{name}`: did you mean `{nearest}`?"),
        None => format!("nothing is called `{name}`; there are: {}", names.join(", ")),
    }))
}

fn named<'a>(manifest: &'a Json, kind: &str, name: &str) -> Option<&'a Json> {
    manifest[kind].as_array()?.iter().find(|object| object["name"] == name)
}

fn names<'a>(manifest: &'a Json, kind: &str) -> Vec<&'a str> {
    manifest[kind].as_array().into_iter().flatten().filter_map(|object| object["name"].as_str()).collect()
}

/// Everything that is defined, a line each.
fn summary(whole: &Json) -> String {
    let manifest = &whole["manifest"];
    let mut lines = vec![format!(
        "project {}, version {}",
        manifest["project"].as_str().unwrap_or("(without a name)"),
        whole["version"]
    )];
    for (kind, heading) in [
        ("entities", "entities"),
        ("sources", "sources"),
        ("views", "views"),
        ("on_demand", "on-demand features"),
        ("services", "services"),
        ("training_sets", "training sets"),
    ] {
        let objects = manifest[kind].as_array().map(Vec::as_slice).unwrap_or_default();
        if objects.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(format!("{heading}:"));
        lines.extend(objects.iter().map(|object| format!("  {}", line(kind, object))));
    }
    lines.join("\n")
}

fn line(kind: &str, object: &Json) -> String {
    let list = |member: &str| -> Vec<&str> {
        let items = object[member].as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().or_else(|| item["name"].as_str())).collect()
    };
    let detail = match kind {
        "entities" => format!("keys {}", list("keys").join(", ")),
        "sources" => format!("columns {}", list("columns").join(", ")),
        "views" => format!(
            "of {} from {}: {}",
            object["entity"].as_str().unwrap_or_default(),
            list("sources").join(", "),
            list("features").join(", ")
        ),
        "on_demand" => object["expression"].as_str().unwrap_or_default().to_owned(),
        "services" => list("features").join(", "),
        _ => format!("service {}", object["service"].as_str().unwrap_or_default()),
    };
    format!("{}  {detail}", object["name"].as_str().unwrap_or_default())
}

pub fn status(arguments: &AskArguments) -> Outcome {
    let status = arguments.server.client()?.get("/v1/status")?;
    if arguments.json {
        print_json(&status);
    } else {
        print(outline(&status));
    }
    Ok(0)
}

pub fn versions(arguments: &AskArguments) -> Outcome {
    let versions = arguments.server.client()?.get("/v1/manifests")?;
    if arguments.json {
        print_json(&versions);
        return Ok(0);
    }
    match versions.as_array().map(Vec::as_slice) {
        Some(versions) if !versions.is_empty() => print(table_of(versions, &["version", "applied_at", "hash"])),
        _ => print("nothing is defined yet: run `thalweg apply` in your project"),
    }
    Ok(0)
}
