//! `thalweg infer`: the columns of a sample, as Python to paste into a source.

use super::output::{print, print_json};
use super::{Failure, Outcome};
use clap::Args;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use thalweg_definition::DataType;

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg infer flights.parquet\n  thalweg infer events.ndjson.gz --json")]
pub struct InferArguments {
    /// A Parquet, CSV or JSON file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn infer(arguments: &InferArguments) -> Outcome {
    let columns = thalweg_lake::infer_schema(&arguments.file).map_err(|error| Failure::misuse(error.to_string()))?;
    if arguments.json {
        let columns = columns.iter().map(
            |column| json!({ "name": column.name, "type": column.data_type.to_string(), "required": column.required }),
        );
        print_json(&columns.collect::<Json>());
        return Ok(0);
    }
    print("schema={");
    for column in &columns {
        let python = python(&column.data_type);
        let declared =
            if column.required { format!("tw.Column(tw.{python}, required=True)") } else { format!("tw.{python}") };
        print(format!("    {}: {declared},", json!(column.name)));
    }
    print("},");
    Ok(0)
}

/// A type as Python writes it after `tw.`.
fn python(data_type: &DataType) -> String {
    match data_type {
        DataType::Bool => "bool_".to_owned(),
        DataType::Bytes => "bytes_".to_owned(),
        DataType::Decimal(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::List(item) => format!("list_of(tw.{})", python(item)),
        DataType::Vector(length) => format!("vector({length})"),
        other => other.to_string(),
    }
}
