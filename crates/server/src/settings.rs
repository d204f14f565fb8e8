//! How a server is to live, as plain values: resolved once from defaults, file, environment and flags, in this order
//! of rising weight, and passed on; nothing reads a setting from anywhere else.

mod flags;
mod reference;
mod table;
mod values;

use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use flags::SettingFlags;
pub use reference::reference;
pub use table::{SETTINGS, Setting};
pub use values::{Bytes, Clock, LogFormat, Period};

/// The file that is read where no other is named, if it is there.
const DEFAULT_FILE: &str = "thalweg.toml";
/// Its table for the server; the others are the project's.
const FILE_TABLE: &str = "server";

/// Everything that can be set. What each means stands in [`SETTINGS`].
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Json>")]
pub struct Settings {
    pub data: PathBuf,
    pub host: String,
    pub port: u16,
    pub redis_port: Option<u16>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub insecure_listen: bool,
    pub clock: Clock,
    pub memory: Bytes,
    pub workers: usize,
    pub max_body: Bytes,
    pub max_queue: Bytes,
    pub state_shards: usize,
    pub log_segment: Bytes,
    pub state_segment: Bytes,
    pub history: Option<String>,
    /// May hold secrets: never shown.
    pub history_options: BTreeMap<String, String>,
    pub history_interval: Period,
    pub history_rows: u64,
    pub history_vacuum_age: Period,
    pub checkpoint_interval: Period,
    pub serve_log: Option<f64>,
    pub served_retention_bytes: Bytes,
    pub served_retention_age: Period,
    pub log_retention_bytes: Bytes,
    pub log_retention_age: Period,
    pub log_format: LogFormat,
    pub log_level: String,
    pub trace_endpoint: Option<String>,
    pub trace_sample: f64,
    pub objective_availability: f64,
    pub objective_latency_p99: Period,
    pub objective_freshness: Period,
    pub objective_agreement: f64,
    pub objective_window: Period,
    /// May hold a secret: never shown.
    pub alert_webhook: Option<String>,
    pub agreement_interval: Option<Period>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: ".thalweg".into(),
            host: "127.0.0.1".to_owned(),
            port: 8765,
            redis_port: None,
            tls_cert: None,
            tls_key: None,
            insecure_listen: false,
            clock: Clock::System,
            memory: Bytes::new(1_000_000_000),
            workers: 4,
            max_body: Bytes::new(256_000_000),
            max_queue: Bytes::new(256 << 20),
            state_shards: 64,
            log_segment: Bytes::new(64 << 20),
            state_segment: Bytes::new(64 << 20),
            history: None,
            history_options: BTreeMap::new(),
            history_interval: Period::from_secs(60),
            history_rows: 1_000_000,
            history_vacuum_age: Period::from_secs(7 * 24 * 3600),
            checkpoint_interval: Period::from_secs(30),
            serve_log: None,
            served_retention_bytes: Bytes::new(10_000_000_000),
            served_retention_age: Period::from_secs(30 * 24 * 3600),
            log_retention_bytes: Bytes::new(10_000_000_000),
            log_retention_age: Period::from_secs(30 * 24 * 3600),
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            trace_endpoint: None,
            trace_sample: 1.0,
            objective_availability: 0.999,
            objective_latency_p99: Period::from_millis(10),
            objective_freshness: Period::from_secs(300),
            objective_agreement: 0.999,
            objective_window: Period::from_secs(3600),
            alert_webhook: None,
            agreement_interval: Some(Period::from_secs(3600)),
        }
    }
}

impl Settings {
    /// The settings in force: `config` names the file, `flags` holds what was given on the command line, by name.
    pub fn resolve(config: Option<&Path>, flags: &[(&'static str, String)]) -> Result<Self, String> {
        let file = match config {
            Some(path) => Some(path),
            None => Some(Path::new(DEFAULT_FILE)).filter(|path| path.is_file()),
        };
        let file = file.map(read_file).transpose()?;
        Self::layered(file.as_ref(), |name| std::env::var(name).ok(), flags)
    }

    fn layered(
        file: Option<&SettingsFile>,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, String> {
        let mut settings = Self::default();
        if let Some(file) = file {
            let place = |why: String| format!("{}, [{FILE_TABLE}]: {why}", file.path);
            for (name, value) in &file.table {
                settings.set_json(name, value).map_err(place)?;
            }
        }
        for setting in SETTINGS {
            let variable = setting.variable();
            if let Some(text) = environment(&variable) {
                (setting.set)(&mut settings, &text).map_err(|why| format!("{variable}: {why}"))?;
            }
        }
        for (name, text) in flags {
            let setting = Setting::named(name)?;
            (setting.set)(&mut settings, text).map_err(|why| format!("{}: {why}", setting.flag()))?;
        }
        Ok(settings)
    }

    /// Sets one by its name from a JSON value, as files and the Python module have them.
    fn set_json(&mut self, name: &str, value: &Json) -> Result<(), String> {
        let setting = Setting::named(name)?;
        let place = |why: String| format!("`{name}`: {why}");
        let text = match value {
            Json::Null => return Ok(()),
            Json::String(text) => text.clone(),
            Json::Bool(_) | Json::Number(_) => value.to_string(),
            Json::Object(options) if name == "history_options" => {
                for (key, value) in options {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    self.history_options.insert(key.clone(), text);
                }
                return Ok(());
            }
            Json::Object(_) | Json::Array(_) => return Err(place("write one plain value".to_owned())),
        };
        (setting.set)(self, &text).map_err(place)
    }
}

impl TryFrom<BTreeMap<String, Json>> for Settings {
    type Error = String;

    fn try_from(given: BTreeMap<String, Json>) -> Result<Self, String> {
        let mut settings = Self::default();
        for (name, value) in &given {
            settings.set_json(name, value)?;
        }
        Ok(settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(SETTINGS.iter().map(|setting| (setting.name, (setting.show)(self)))).finish()
    }
}

/// The server's part of a settings file.
struct SettingsFile {
    path: String,
    table: BTreeMap<String, Json>,
}

fn read_file(path: &Path) -> Result<SettingsFile, String> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}; name a file with --config"))?;
    parse_file(shown, &text)
}

fn parse_file(path: String, text: &str) -> Result<SettingsFile, String> {
    let whole: toml::Table = toml::from_str(text).map_err(|error| format!("{path}: not valid TOML: {error}"))?;
    let table = match whole.get(FILE_TABLE) {
        None => BTreeMap::new(),
        Some(table) => {
            let json = serde_json::to_value(table).map_err(|error| format!("{path}: {error}"))?;
            serde_json::from_value(json)
                .map_err(|_| format!("{path}: `{FILE_TABLE}` is no table: write [{FILE_TABLE}], then settings"))?
        }
    };
    Ok(SettingsFile { path, table })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn what_stands_closer_weighs_more() {
        let file = "[project]\nname = \"p\"\n[server]\nport = 1000\nmemory = \"2GB\"\nclock = \"events\"\n";
        let file = parse_file("t.toml".to_owned(), file).unwrap();
        let environment = |name: &str| (name == "THALWEG_MEMORY").then(|| "3GiB".to_owned());
        let settings = Settings::layered(Some(&file), environment, &[("port", "2000".to_owned())]).unwrap();
        assert_eq!(settings.port, 2000);
        assert_eq!(settings.memory.bytes(), 3 << 30);
        assert_eq!(settings.clock, Clock::Events);
        assert_eq!(settings.host, Settings::default().host);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let file = parse_file("t.toml".to_owned(), "[server]\nmemroy = \"1GB\"\n").unwrap();
        let error = Settings::layered(Some(&file), nothing, &[]).unwrap_err();
        assert_eq!(error, "t.toml, [server]: there is no setting `memroy`: did you mean `memory`?");
    }

    #[test]
    fn a_bad_value_names_its_place_and_the_mend() {
        let error = Settings::layered(None, nothing, &[("memory", "much".to_owned())]).unwrap_err();
        assert_eq!(error, "--memory: `much` is not a size: write a number and a unit, such as 512MB or 1GiB");
    }

    #[test]
    fn what_may_be_unset_reads_as_it_shows() {
        let flags = [("redis_port", "0".to_owned()), ("tls_cert", "a.pem".to_owned()), ("tls_key", String::new())];
        let settings = Settings::layered(None, nothing, &flags).unwrap();
        assert_eq!(settings.redis_port, Some(0));
        assert_eq!((settings.tls_cert, settings.tls_key), (Some("a.pem".into()), None));
        assert!(Settings::layered(None, nothing, &[("redis_port", "70000".to_owned())]).is_err());
    }

    #[test]
    fn options_come_as_a_table_and_are_never_shown() {
        let text = r#"{"history": "s3://b/h", "history_options": {"aws_secret_access_key": "hush"}, "port": null}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.history_options["aws_secret_access_key"], "hush");
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
