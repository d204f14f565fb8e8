//! The settings as flags of `thalweg serve`, made from the one table of settings.

use super::{SETTINGS, Settings};
use clap::{Arg, ArgMatches, Command, Error};
use std::path::PathBuf;

/// What the command line says of settings: the file, and each setting by its name.
#[derive(Debug, Clone, Default)]
pub struct SettingFlags {
    pub config: Option<PathBuf>,
    pub given: Vec<(&'static str, String)>,
}

impl SettingFlags {
    pub fn resolve(&self) -> Result<Settings, String> {
        Settings::resolve(self.config.as_deref(), &self.given)
    }
}

const CONFIG: &str = "config";

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The file whose [server] table has settings [default: ./thalweg.toml, if it is there]");
        let defaults = Settings::default();
        let flags = SETTINGS.iter().map(|setting| {
            let default = (setting.show)(&defaults);
            let help = if default.is_empty() || setting.is_switch() {
                format!("{} [env: {}]", setting.meaning, setting.variable())
            } else {
                format!("{} [env: {}] [default: {default}]", setting.meaning, setting.variable())
            };
            let flag = Arg::new(setting.name).long(setting.long()).help(help);
            if setting.is_switch() {
                flag.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else {
                flag.value_name(setting.value)
            }
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = SETTINGS.iter().filter_map(|setting| {
            let text = matches.get_one::<String>(setting.name)?;
            Some((setting.name, text.clone()))
        });
        Ok(Self { config: matches.get_one::<PathBuf>(CONFIG).cloned(), given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
