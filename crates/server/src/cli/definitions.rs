//! `plan`, `apply` and `compile`: definitions are Python, and come here as the manifest that the Python package makes
//! of them.

use super::client::Client;
use super::output::{print, print_json, warn};
use super::{Failure, Outcome, ServerFlag};
use clap::Args;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use thalweg_definition::{DefinitionError, validate};
use thalweg_lake::SqlExpressions;

// Where the definitions are. (A doc comment would become the help of the commands.)
#[derive(Args)]
struct Definitions {
    /// The project's directory (loaded by the Python package) [default: the working directory]
    directory: Option<PathBuf>,
    /// A manifest, instead of a project
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg plan\n  thalweg plan examples/flights --url http://127.0.0.1:8765\n  \
    thalweg plan --manifest manifest.json")]
pub struct PlanArguments {
    #[command(flatten)]
    definitions: Definitions,
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg apply\n  thalweg apply --allow-breaking")]
pub struct ApplyArguments {
    #[command(flatten)]
    definitions: Definitions,
    #[command(flatten)]
    server: ServerFlag,
    /// Also take away or redefine what is read today
    #[arg(long)]
    allow_breaking: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg compile\n  thalweg compile --out manifest.json")]
pub struct CompileArguments {
    #[command(flatten)]
    definitions: Definitions,
    /// Write the manifest here instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn plan(arguments: &PlanArguments) -> Outcome {
    let text = arguments.definitions.read()?;
    let plan = arguments.server.client()?.post("/v1/plan", &[], text.into_bytes())?;
    show(&plan, arguments.json);
    Ok(0)
}

pub fn apply(arguments: &ApplyArguments) -> Outcome {
    let text = arguments.definitions.read()?;
    let client: Client = arguments.server.client()?;
    let query: &[(&str, &str)] = if arguments.allow_breaking { &[("allow_breaking", "true")] } else { &[] };
    let plan = client.post("/v1/apply", query, text.into_bytes())?;
    show(&plan, arguments.json);
    if !arguments.json {
        let hash: String = plan["hash"].as_str().unwrap_or_default().chars().take(12).collect();
        print(format!("applied: version {} ({hash}) is in force at {}", plan["version"], client.url()));
        let building: Vec<&str> = plan["building"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        if !building.is_empty() {
            print(format!("still being filled from history: {}; `thalweg status` shows when", building.join(", ")));
        }
    }
    Ok(0)
}

fn show(plan: &Json, json: bool) {
    if json {
        print_json(plan);
    } else {
        print(plan["text"].as_str().unwrap_or_default().trim_end());
    }
}

pub fn compile(arguments: &CompileArguments) -> Outcome {
    let text = arguments.definitions.read()?;
    let compiled = compiled(&text).map_err(|error| Failure::misuse(error.to_string()))?;
    match &arguments.out {
        None => print(compiled.json.trim_end()),
        Some(path) => {
            std::fs::write(path, &compiled.json).map_err(|error| Failure::failed(at(path, &error)))?;
            warn(format!("wrote {} ({})", path.display(), compiled.hash));
        }
    }
    Ok(0)
}

fn compiled(text: &str) -> Result<thalweg_wire::Compiled, DefinitionError> {
    let (manifest, origins) = thalweg_wire::parse_request(text)?;
    let checked = validate(manifest, &origins, &SqlExpressions::new())?;
    Ok(thalweg_wire::compile(&checked.manifest))
}

impl Definitions {
    fn read(&self) -> Result<String, Failure> {
        match &self.manifest {
            Some(path) => std::fs::read_to_string(path).map_err(|error| Failure::misuse(at(path, &error))),
            None => {
                let place = self.directory.as_deref().unwrap_or(Path::new("."));
                Err(Failure::misuse(format!(
                    "thalweg: the definitions in {} are Python, and are loaded by the Python package: \
                     pip install thalweg, or pass --manifest FILE",
                    place.display()
                )))
            }
        }
    }
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("thalweg: {}: {error}", path.display())
}
