//! The command line: one file per command. Commands that talk to a server do it over HTTP, as any client would.

mod audit;
mod check;
mod client;
mod definitions;
mod describe;
mod direct;
mod get;
mod infer;
mod interrupt;
mod keys;
mod load;
mod output;
mod push;
mod quarantine;
mod serve;
mod training_set;

use crate::settings::SettingFlags;
use clap::{Args, Parser, Subcommand};
use client::{Client, ClientError};
use output::{print, warn};
use std::ffi::OsString;

/// One definition of a feature, the same value live and in training.
#[derive(Parser)]
#[command(name = "thalweg", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a small working project (with the Python package)
    #[command(after_help = "Examples:\n  thalweg init payments\n  thalweg init shop --sample orders.parquet")]
    Init {
        /// The directory to create, and options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Show what applying the definitions would change
    Plan(definitions::PlanArguments),
    /// Make the definitions those that are served
    Apply(definitions::ApplyArguments),
    /// Check the definitions, and print the manifest that they make; needs no server
    Compile(definitions::CompileArguments),
    /// Run the server
    #[command(after_help = "Examples:\n  thalweg serve\n  thalweg serve --data /var/lib/thalweg --memory 4GiB\n  \
        thalweg serve --clock events    # replay history as if it were live\n\n\
        The settings may also stand in thalweg.toml or in the environment: see thalweg config-reference.")]
    Serve(SettingFlags),
    /// Send files of events to a source; after a cut, the same command goes on where it stopped
    Load(load::LoadArguments),
    /// Compute the features of a service for the rows of a file or a query, each as of its own time
    TrainingSet(training_set::TrainingSetArguments),
    /// List the training sets that were made
    #[command(after_help = "Examples:\n  thalweg training-sets\n  thalweg training-sets --json")]
    TrainingSets(AskArguments),
    /// Show one training set: what it was made from, and its report
    DescribeSet(training_set::DescribeArguments),
    /// Recompute recorded answers from history, and compare them to the last bit
    Check(check::CheckArguments),
    /// Send a few rows to a source
    Push(push::PushArguments),
    /// Read the features of an entity
    Get(get::GetArguments),
    /// Read and write directly written features
    Feature(direct::FeatureArguments),
    /// Show what is defined: everything, or one source, view or service
    Describe(describe::DescribeArguments),
    /// Make, list, rotate and revoke API keys
    Keys(keys::KeysArguments),
    /// Show who changed what, and who was refused what
    Audit(audit::AuditArguments),
    /// Show the state of the server
    #[command(after_help = "Examples:\n  thalweg status\n  thalweg status --json --url http://127.0.0.1:8765")]
    Status(AskArguments),
    /// List the versions of the definitions
    #[command(after_help = "Examples:\n  thalweg versions")]
    Versions(AskArguments),
    /// Show the rows of a source that were set aside, or send them again
    Quarantine(quarantine::QuarantineArguments),
    /// Write everything to history now, then a checkpoint
    #[command(after_help = "Examples:\n  thalweg flush")]
    Flush(ServerFlag),
    /// Print the schema of a file, as definitions have it
    Infer(infer::InferArguments),
    /// Print the reference page of all settings, in Markdown
    #[command(after_help = "Examples:\n  thalweg config-reference > docs/configuration.md")]
    ConfigReference,
}

// Where the server is. (No doc comments here and below: they would become the help of the commands.)
#[derive(Args)]
struct ServerFlag {
    /// The address of the server
    #[arg(long, env = "THALWEG_URL", default_value = "http://127.0.0.1:8765")]
    url: String,
    #[command(flatten)]
    credentials: client::Credentials,
}

impl ServerFlag {
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.url, &self.credentials)?)
    }
}

// A question without further options.
#[derive(Args)]
struct AskArguments {
    #[command(flatten)]
    server: ServerFlag,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a command ends early, with its exit code.
struct Failure {
    code: i32,
    message: String,
}

/// The exit codes.
const FAILED: i32 = 1;
const MISUSE: i32 = 2;
const INTERRUPTED: i32 = 130;

impl Failure {
    fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    fn misuse(message: impl Into<String>) -> Self {
        Self { code: MISUSE, message: message.into() }
    }

    fn interrupted(message: impl Into<String>) -> Self {
        Self { code: INTERRUPTED, message: message.into() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = if error.is_misuse() { MISUSE } else { FAILED };
        Self { code, message: error.to_string() }
    }
}

/// An exit code, or why there is none yet.
type Outcome = Result<i32, Failure>;

/// Runs the command line on the arguments after the program's name; the exit code.
pub fn run(arguments: Vec<OsString>) -> i32 {
    let program = OsString::from("thalweg");
    let parsed = match Cli::try_parse_from(std::iter::once(program).chain(arguments)) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and the version come this way as well, to standard output and with code 0.
            let _ = error.print();
            return error.exit_code();
        }
    };
    match carry_out(parsed.command) {
        Ok(code) => code,
        Err(failure) => {
            warn(&failure.message);
            failure.code
        }
    }
}

fn carry_out(command: Command) -> Outcome {
    match command {
        Command::Init { arguments: _ } => {
            Err(Failure::misuse("thalweg: `init` comes with the Python package: pip install thalweg"))
        }
        Command::Plan(arguments) => definitions::plan(&arguments),
        Command::Apply(arguments) => definitions::apply(&arguments),
        Command::Compile(arguments) => definitions::compile(&arguments),
        Command::Serve(flags) => serve::serve(&flags),
        Command::Load(arguments) => load::load(&arguments),
        Command::TrainingSet(arguments) => training_set::make(&arguments),
        Command::TrainingSets(arguments) => training_set::list(&arguments),
        Command::DescribeSet(arguments) => training_set::describe(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Push(arguments) => push::push(&arguments),
        Command::Get(arguments) => get::get(&arguments),
        Command::Feature(arguments) => direct::feature(&arguments),
        Command::Describe(arguments) => describe::describe(&arguments),
        Command::Keys(arguments) => keys::keys(&arguments),
        Command::Audit(arguments) => audit::audit(&arguments),
        Command::Status(arguments) => describe::status(&arguments),
        Command::Versions(arguments) => describe::versions(&arguments),
        Command::Quarantine(arguments) => quarantine::quarantine(&arguments),
        Command::Flush(server) => flush(&server),
        Command::Infer(arguments) => infer::infer(&arguments),
        Command::ConfigReference => {
            print(crate::settings::reference().trim_end());
            Ok(0)
        }
    }
}

fn flush(server: &ServerFlag) -> Outcome {
    server.client()?.post("/v1/flush", &[], b"{}".to_vec())?;
    print("everything acknowledged is in history, and a checkpoint is written");
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed_and_each_has_help_with_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("thalweg "), "`{}` has no example", sub.get_name());
        }
    }
}
