//! `thalweg check`: are the answers that were served those that history gives?

use super::output::{count, plain, print, print_json};
use super::{FAILED, Outcome, ServerFlag};
use clap::Args;
use serde_json::{Value as Json, json};

#[derive(Args)]
#[command(after_help = "Examples:\n  thalweg check\n  thalweg check --service card_risk --samples 5\n  \
    thalweg check --json\n\nThe exit code is 1 where a value differs.")]
pub struct CheckArguments {
    #[command(flatten)]
    server: ServerFlag,
    /// Only the answers of this service
    #[arg(long)]
    service: Option<String>,
    /// How many differences to list
    #[arg(long, default_value_t = 20)]
    samples: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn check(arguments: &CheckArguments) -> Outcome {
    let mut options = json!({ "limit_samples": arguments.samples });
    if let Some(service) = &arguments.service {
        options["service"] = service.as_str().into();
    }
    let report = arguments.server.client()?.post("/v1/check", &[], options.to_string().into_bytes())?;
    let mismatches = report["mismatches"].as_u64().unwrap_or_default();
    if arguments.json {
        print_json(&report);
    } else {
        show(&report, mismatches);
    }
    Ok(if mismatches == 0 { 0 } else { FAILED })
}

fn show(report: &Json, mismatches: u64) {
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    let (rows, compared) = (count(number("rows")), count(number("compared")));
    match (number("rows"), mismatches) {
        (0, _) => print("no answers are recorded: a service records those that its `log_sample` says"),
        (_, 0) => print(format!("{compared} values of {rows} answers, recomputed from history: all the same")),
        _ => print(format!("{} of {compared} values of {rows} answers differ from history", count(mismatches))),
    }
    for (name, text) in [
        ("not_answered", "answers had not been given when they were asked for, and are not compared"),
        ("unrecorded", "answers were not recorded because too many came at once"),
    ] {
        if number(name) > 0 {
            print(format!("{} {text}", count(number(name))));
        }
    }
    for sample in report["samples"].as_array().into_iter().flatten() {
        let text = |name: &str| plain(&sample[name]);
        print(format!("\n{} of {}, as of {}", text("feature"), text("entity"), text("as_of")));
        print(format!("  served      {}", text("served")));
        print(format!("  recomputed  {}", text("recomputed")));
        for event in sample["events"].as_array().into_iter().flatten() {
            print(format!("  event       {}", plain(event)));
        }
    }
}
