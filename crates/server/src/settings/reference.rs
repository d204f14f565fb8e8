//! The reference page of settings, generated, so that it can never say something else than the code does.

use super::{SETTINGS, Settings};
use std::fmt::Write;

const OPENING: &str = "\
# Configuration

Every setting of `thalweg serve`. A flag weighs more than the environment, that more than the file, and that more than
the default. The file is `thalweg.toml` in the working directory, or the one that `--config` names; settings stand in
its table `[server]`:

```toml
[server]
data = \"/var/lib/thalweg\"
memory = \"4GiB\"
history = \"s3://bucket/history\"

[server.history_options]
aws_region = \"eu-central-1\"
```

Sizes are written `512MB` or `1GiB`, times `500ms`, `30s`, `7d`. An unknown setting is refused by its name.
Commands that talk to a server find it by `--url` or `THALWEG_URL`; without either it is `http://127.0.0.1:8765`. They send
the API key of `--api-key` or `THALWEG_API_KEY`, and trust the certificates of `--ca-cert` or `THALWEG_CA_CERT`. Keys and
encryption are described in [security.md](security.md).

This page is what `thalweg config-reference` prints.

| Setting | Flag | Environment | Default | Meaning |
|---|---|---|---|---|
";

/// The page, in Markdown.
pub fn reference() -> String {
    let defaults = Settings::default();
    let mut page = OPENING.to_owned();
    for setting in SETTINGS {
        let flag = format!("{} {}", setting.flag(), setting.value);
        let default = (setting.show)(&defaults);
        let default = if default.is_empty() { "unset".to_owned() } else { format!("`{default}`") };
        writeln!(
            page,
            "| `{}` | `{}` | `{}` | {default} | {} |",
            setting.name,
            flag.trim_end(),
            setting.variable(),
            setting.meaning
        )
        .expect("text takes text");
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_the_docs_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap();
        assert!(
            page == super::reference(),
            "docs/configuration.md is out of date: run `thalweg config-reference > docs/configuration.md`"
        );
    }
}
