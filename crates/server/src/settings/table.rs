//! The one table of settings: names, meanings, how each is read and shown. Flags, environment variables, the file and
//! the reference page all follow it.

use super::Settings;
use std::path::PathBuf;
use std::str::FromStr;

/// One setting. Its flag and its environment variable follow from its name.
pub struct Setting {
    pub name: &'static str,
    /// What stands for the value in help; empty for a switch.
    pub value: &'static str,
    pub meaning: &'static str,
    pub set: fn(&mut Settings, &str) -> Result<(), String>,
    pub show: fn(&Settings) -> String,
}

impl Setting {
    /// The setting of that name, or why there is none.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
            let nearest = crate::nearest::nearest(name, SETTINGS.iter().map(|setting| setting.name));
            match nearest {
                Some(nearest) => format!("there is no setting `{name}`: did you mean `{nearest}`?"),
                None => format!("there is no setting `{name}`: `thalweg config-reference` lists them"),
            }
        })
    }

    pub fn flag(&self) -> String {
        format!("--{}", self.long())
    }

    pub fn long(&self) -> String {
        self.name.replace('_', "-")
    }

    pub fn variable(&self) -> String {
        format!("THALWEG_{}", self.name.to_uppercase())
    }

    pub fn is_switch(&self) -> bool {
        self.value.is_empty()
    }
}

fn put<T: FromStr<Err = String>>(place: &mut T, text: &str) -> Result<(), String> {
    *place = text.parse()?;
    Ok(())
}

fn number<T: FromStr>(place: &mut T, text: &str, what: &str) -> Result<(), String> {
    *place = text.trim().parse().map_err(|_| format!("`{text}` is not {what}"))?;
    Ok(())
}

fn share(text: &str) -> Result<Option<f64>, String> {
    match text.trim().parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
        _ => Err(format!("`{text}` is not a share: write a number from 0 to 1")),
    }
}

fn put_share(place: &mut f64, text: &str) -> Result<(), String> {
    if let Some(share) = share(text)? {
        *place = share;
    }
    Ok(())
}

fn address(place: &mut Option<String>, text: &str) -> Result<(), String> {
    let text = text.trim();
    // The text itself may be a secret, and is not repeated.
    if !text.is_empty() && !text.starts_with("http://") && !text.starts_with("https://") {
        return Err("that is no address: write one that begins with http:// or https://".to_owned());
    }
    *place = Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(())
}

/// Empty text is no path.
fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|_| !text.is_empty())
}

fn path_text(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// `key=value,key=value`.
fn options(settings: &mut Settings, text: &str) -> Result<(), String> {
    for option in text.split(',').filter(|option| !option.trim().is_empty()) {
        // The text itself may be a secret, and is not repeated.
        let (key, value) = option.split_once('=').ok_or("an option has no `=`: write key=value,key=value")?;
        settings.history_options.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(())
}

pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "data",
        value: "DIR",
        meaning: "The directory of the log, the online state, the metadata and, unless told otherwise, history.",
        set: |settings, text| {
            settings.data = text.into();
            Ok(())
        },
        show: |settings| settings.data.display().to_string(),
    },
    Setting {
        name: "host",
        value: "HOST",
        meaning: "The address to listen at. Any but a loopback address needs `tls_cert`, `tls_key` and an API key \
            (`thalweg keys create`), or `insecure_listen`.",
        set: |settings, text| {
            settings.host = text.to_owned();
            Ok(())
        },
        show: |settings| settings.host.clone(),
    },
    Setting {
        name: "port",
        value: "PORT",
        meaning: "The port to listen at, for HTTP and gRPC; 0 takes a free one.",
        set: |settings, text| number(&mut settings.port, text, "a port: write a number from 0 to 65535"),
        show: |settings| settings.port.to_string(),
    },
    Setting {
        name: "redis_port",
        value: "PORT",
        meaning: "The port to listen at for the Redis protocol; 0 takes a free one. Unset: it is not served.",
        set: |settings, text| {
            let mut port = 0;
            if !text.is_empty() {
                number(&mut port, text, "a port: write a number from 0 to 65535")?;
            }
            settings.redis_port = Some(port).filter(|_| !text.is_empty());
            Ok(())
        },
        show: |settings| settings.redis_port.map(|port| port.to_string()).unwrap_or_default(),
    },
    Setting {
        name: "tls_cert",
        value: "FILE",
        meaning: "A PEM file with the server's certificate and those that lead to its authority: with `tls_key`, all \
            connections are encrypted. Read again when it changes.",
        set: |settings, text| {
            settings.tls_cert = path(text);
            Ok(())
        },
        show: |settings| path_text(settings.tls_cert.as_ref()),
    },
    Setting {
        name: "tls_key",
        value: "FILE",
        meaning: "A PEM file with the private key of `tls_cert`. Read again when it changes.",
        set: |settings, text| {
            settings.tls_key = path(text);
            Ok(())
        },
        show: |settings| path_text(settings.tls_key.as_ref()),
    },
    Setting {
        name: "insecure_listen",
        value: "",
        meaning: "Lets the server listen where other machines reach it without encryption and without API keys: as \
            long as there are none, whoever reaches it may do everything.",
        set: |settings, text| number(&mut settings.insecure_listen, text, "true or false"),
        show: |settings| settings.insecure_listen.to_string(),
    },
    Setting {
        name: "clock",
        value: "CLOCK",
        meaning: "`system`, or `events`: time is that of the latest event accepted, so that history replays as if it \
            were live.",
        set: |settings, text| put(&mut settings.clock, text),
        show: |settings| settings.clock.to_string(),
    },
    Setting {
        name: "memory",
        value: "SIZE",
        meaning: "What the online state may take in memory; past it, cold entities go to disk.",
        set: |settings, text| put(&mut settings.memory, text),
        show: |settings| settings.memory.to_string(),
    },
    Setting {
        name: "workers",
        value: "N",
        meaning: "Threads for requests, and as many for work on history.",
        set: |settings, text| {
            number(&mut settings.workers, text, "a number of threads")?;
            if settings.workers == 0 { Err("0 threads do nothing: write 1 or more".to_owned()) } else { Ok(()) }
        },
        show: |settings| settings.workers.to_string(),
    },
    Setting {
        name: "max_body",
        value: "SIZE",
        meaning: "The largest body of a request, before and after it is decompressed. All bodies at one time take at \
            most four times this.",
        set: |settings, text| put(&mut settings.max_body, text),
        show: |settings| settings.max_body.to_string(),
    },
    Setting {
        name: "max_queue",
        value: "SIZE",
        meaning: "How much may wait to be made durable; past it pushes are answered `OVERLOADED`.",
        set: |settings, text| put(&mut settings.max_queue, text),
        show: |settings| settings.max_queue.to_string(),
    },
    Setting {
        name: "state_shards",
        value: "N",
        meaning: "Parts of each view's map of entities, each behind a lock of its own. No value depends on it.",
        set: |settings, text| {
            number(&mut settings.state_shards, text, "a number of parts")?;
            let bound = 1..=65_536;
            if bound.contains(&settings.state_shards) { Ok(()) } else { Err("write 1 to 65536".to_owned()) }
        },
        show: |settings| settings.state_shards.to_string(),
    },
    Setting {
        name: "log_segment",
        value: "SIZE",
        meaning: "When a file of the log is this large the next one is begun; the log is cut by whole files.",
        set: |settings, text| put(&mut settings.log_segment, text),
        show: |settings| settings.log_segment.to_string(),
    },
    Setting {
        name: "state_segment",
        value: "SIZE",
        meaning: "When a file of the stored state is this large the next one is begun.",
        set: |settings, text| put(&mut settings.state_segment, text),
        show: |settings| settings.state_segment.to_string(),
    },
    Setting {
        name: "history",
        value: "PLACE",
        meaning: "Where history is kept, as Delta tables: a directory, or a URL such as `s3://bucket/history`. Unset: \
            `history` in `data`.",
        set: |settings, text| {
            settings.history = Some(text.to_owned()).filter(|text| !text.is_empty());
            Ok(())
        },
        show: |settings| settings.history.clone().unwrap_or_default(),
    },
    Setting {
        name: "history_options",
        value: "OPTIONS",
        meaning: "Options of the object store that holds history, as `key=value,key=value` or as a table in the file. \
            Other users of the machine can see flags: set secrets in the environment.",
        set: options,
        show: |settings| settings.history_options.keys().map(|key| format!("{key}=***")).collect::<Vec<_>>().join(","),
    },
    Setting {
        name: "history_interval",
        value: "TIME",
        meaning: "How often rows go from the log to history.",
        set: |settings, text| put(&mut settings.history_interval, text),
        show: |settings| settings.history_interval.to_string(),
    },
    Setting {
        name: "history_rows",
        value: "N",
        meaning: "As many rows go to history without waiting for `history_interval`.",
        set: |settings, text| number(&mut settings.history_rows, text, "a number of rows"),
        show: |settings| settings.history_rows.to_string(),
    },
    Setting {
        name: "history_vacuum_age",
        value: "TIME",
        meaning: "How long files of history stay that its newest version does not need. A training set that reads for longer fails.",
        set: |settings, text| put(&mut settings.history_vacuum_age, text),
        show: |settings| settings.history_vacuum_age.to_string(),
    },
    Setting {
        name: "checkpoint_interval",
        value: "TIME",
        meaning: "How often the online state is saved. A longer one means more of the log to replay after a crash.",
        set: |settings, text| put(&mut settings.checkpoint_interval, text),
        show: |settings| settings.checkpoint_interval.to_string(),
    },
    Setting {
        name: "serve_log",
        value: "SHARE",
        meaning: "The share of answers recorded for `thalweg check`, for all services. Unset: as each service says.",
        set: |settings, text| {
            settings.serve_log = if text.is_empty() { None } else { share(text)? };
            Ok(())
        },
        show: |settings| settings.serve_log.map(|share| share.to_string()).unwrap_or_default(),
    },
    Setting {
        name: "served_retention_bytes",
        value: "SIZE",
        meaning: "How much of the recorded answers is kept; the oldest go first.",
        set: |settings, text| put(&mut settings.served_retention_bytes, text),
        show: |settings| settings.served_retention_bytes.to_string(),
    },
    Setting {
        name: "served_retention_age",
        value: "TIME",
        meaning: "How long recorded answers are kept.",
        set: |settings, text| put(&mut settings.served_retention_age, text),
        show: |settings| settings.served_retention_age.to_string(),
    },
    Setting {
        name: "log_retention_bytes",
        value: "SIZE",
        meaning: "How much of the log is kept once checkpoints and history have it; the oldest goes first.",
        set: |settings, text| put(&mut settings.log_retention_bytes, text),
        show: |settings| settings.log_retention_bytes.to_string(),
    },
    Setting {
        name: "log_retention_age",
        value: "TIME",
        meaning: "How long the log is kept once checkpoints and history have it.",
        set: |settings, text| put(&mut settings.log_retention_age, text),
        show: |settings| settings.log_retention_age.to_string(),
    },
    Setting {
        name: "log_format",
        value: "FORM",
        meaning: "The form of the lines that the server writes about itself, to standard error: `text` or `json`.",
        set: |settings, text| put(&mut settings.log_format, text),
        show: |settings| settings.log_format.to_string(),
    },
    Setting {
        name: "log_level",
        value: "LEVEL",
        meaning: "Which lines are written: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as \
            `info,thalweg_lake=debug`.",
        set: |settings, text| {
            settings.log_level = text.to_owned();
            Ok(())
        },
        show: |settings| settings.log_level.clone(),
    },
    Setting {
        name: "trace_endpoint",
        value: "URL",
        meaning: "The collector that spans are sent to, by OTLP over HTTP. Without a path, `/v1/traces` is added. Unset: no traces.",
        set: |settings, text| address(&mut settings.trace_endpoint, text),
        show: |settings| settings.trace_endpoint.clone().unwrap_or_default(),
    },
    Setting {
        name: "trace_sample",
        value: "SHARE",
        meaning: "The share of traces begun here that are kept; what a caller decided for its own trace holds.",
        set: |settings, text| put_share(&mut settings.trace_sample, text),
        show: |settings| settings.trace_sample.to_string(),
    },
    Setting {
        name: "objective_availability",
        value: "SHARE",
        meaning: "The share of reads and writes that must not fail by the server's own fault.",
        set: |settings, text| put_share(&mut settings.objective_availability, text),
        show: |settings| settings.objective_availability.to_string(),
    },
    Setting {
        name: "objective_latency_p99",
        value: "TIME",
        meaning: "How long 99 of 100 reads may take at most.",
        set: |settings, text| put(&mut settings.objective_latency_p99, text),
        show: |settings| settings.objective_latency_p99.to_string(),
    },
    Setting {
        name: "objective_freshness",
        value: "TIME",
        meaning: "How long a write may take at most until its rows can be read.",
        set: |settings, text| put(&mut settings.objective_freshness, text),
        show: |settings| settings.objective_freshness.to_string(),
    },
    Setting {
        name: "objective_agreement",
        value: "SHARE",
        meaning: "The share of recorded answers that the check must find again in history.",
        set: |settings, text| put_share(&mut settings.objective_agreement, text),
        show: |settings| settings.objective_agreement.to_string(),
    },
    Setting {
        name: "objective_window",
        value: "TIME",
        meaning: "Over how long objectives are measured; it slides.",
        set: |settings, text| put(&mut settings.objective_window, text),
        show: |settings| settings.objective_window.to_string(),
    },
    Setting {
        name: "alert_webhook",
        value: "URL",
        meaning: "Where breaches of objectives and recoveries are posted, as JSON. It may hold a secret, and is never shown. Unset: nowhere.",
        set: |settings, text| address(&mut settings.alert_webhook, text),
        show: |settings| settings.alert_webhook.as_ref().map(|_| "***".to_owned()).unwrap_or_default(),
    },
    Setting {
        name: "agreement_interval",
        value: "TIME",
        meaning: "How often recorded answers are checked in the background; `off` for never.",
        set: |settings, text| {
            settings.agreement_interval = match text.trim() {
                "off" | "0" => None,
                text => Some(text.parse()?),
            };
            Ok(())
        },
        show: |settings| settings.agreement_interval.map_or_else(|| "off".to_owned(), |interval| interval.to_string()),
    },
];
