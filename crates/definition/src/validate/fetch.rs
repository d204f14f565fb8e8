//! The rules of a fetch: a url that keys are filled into behind the host, a pointer, and headers that can be sent.

use super::{Problems, names};
use crate::direct::Fetch;
use crate::model::Entity;

/// Longest url, before keys are filled in.
const MAX_URL: usize = 2_048;
/// Longest JSON pointer.
const MAX_FIELD: usize = 1_024;
const MAX_HEADERS: usize = 32;
/// Longest name of a header, and longest value.
const MAX_HEADER_NAME: usize = 256;
const MAX_HEADER_VALUE: usize = 4_096;
/// What the request itself says, so that a header cannot.
const OWN_HEADERS: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];
/// How the value of a header begins that names an environment variable.
const ENVIRONMENT: &str = "env:";

pub(super) fn check(object: &str, fetch: &Fetch, entity: Option<&Entity>, problems: &mut Problems<'_>) {
    check_url(object, &fetch.url, entity, problems);
    if let Some(rule) = pointer_rule(&fetch.field) {
        problems.add(object, rule, "write a JSON pointer such as /score, or leave it out for the whole answer");
    }
    if fetch.headers.len() > MAX_HEADERS {
        let rule = format!("the fetch has {} headers", fetch.headers.len());
        problems.add(object, rule, format!("send at most {MAX_HEADERS}"));
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in &fetch.headers {
        let lower = name.to_ascii_lowercase();
        if seen.contains(&lower) {
            problems.add(object, format!("the header `{name}` is there twice"), "send it once");
        }
        seen.push(lower);
        check_header(object, name, value, problems);
    }
}

fn check_url(object: &str, url: &str, entity: Option<&Entity>, problems: &mut Problems<'_>) {
    let mend = "write a url such as https://scores.example/users/{user_id}";
    if url.len() > MAX_URL {
        problems.add(object, format!("the fetch's url is longer than {MAX_URL} bytes"), mend);
        return;
    }
    let Some(rest) = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(*scheme)) else {
        problems.add(object, format!("the fetch's url `{url}` begins with neither http:// nor https://"), mend);
        return;
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let rule = if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        Some("holds what must be percent-encoded")
    } else if host.is_empty() {
        Some("names no host")
    } else if host.contains('@') {
        Some("holds credentials; they go in a header, as env:NAME")
    } else if host.contains(['{', '}']) {
        Some("lets a key choose the host")
    } else if path.contains('#') {
        Some("holds a fragment, which is never sent")
    } else {
        None
    };
    if let Some(rule) = rule {
        problems.add(object, format!("the fetch's url `{url}` {rule}"), mend);
        return;
    }
    let Some(named) = placeholders(path) else {
        problems.add(object, format!("the fetch's url `{url}` has a brace without its other one"), mend);
        return;
    };
    let Some(entity) = entity else { return };
    let keys = || entity.keys.iter().map(|key| key.name.as_str());
    for name in named.iter().filter(|name| !keys().any(|key| key == **name)) {
        let rule = format!("the fetch's url names `{{{name}}}`, which is not a key of entity `{}`", entity.name);
        problems.add(object, rule, names::suggestion(name, keys()));
    }
    for key in keys().filter(|key| !named.contains(key)) {
        let rule = format!("the fetch's url lacks `{{{key}}}`, so that entities would share an answer");
        problems.add(object, rule, "put each key column into the path or the query");
    }
}

/// The names between braces; none where a brace lacks its other one.
fn placeholders(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let inner = rest[open..].strip_prefix('{')?;
        let close = inner.find(['{', '}'])?;
        rest = inner[close..].strip_prefix('}')?;
        names.push(&inner[..close]);
    }
    Some(names)
}

fn pointer_rule(field: &str) -> Option<String> {
    if field.len() > MAX_FIELD {
        return Some(format!("the fetch's field is longer than {MAX_FIELD} bytes"));
    }
    // In a pointer `~0` stands for `~` and `~1` for `/`.
    let escaped = field.split('~').skip(1).all(|part| part.starts_with(['0', '1']));
    let well_formed = field.is_empty() || (field.starts_with('/') && escaped);
    (!well_formed).then(|| format!("the fetch's field `{field}` is not a JSON pointer"))
}

fn check_header(object: &str, name: &str, value: &str, problems: &mut Problems<'_>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > MAX_HEADER_NAME || !name.bytes().all(is_token) {
        let rule = format!("`{name}` is not the name of a header");
        problems.add(object, rule, "use letters, digits and hyphens, such as Authorization");
    } else if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        problems.add(object, format!("the header `{name}` is set by the request itself"), "remove it");
    }
    // Values may be secrets, so that no problem quotes one.
    if value.len() > MAX_HEADER_VALUE {
        let rule = format!("the value of header `{name}` is longer than {MAX_HEADER_VALUE} bytes");
        problems.add(object, rule, "send a shorter one");
    } else if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        let rule = format!("the value of header `{name}` holds more than visible ASCII and blanks");
        problems.add(object, rule, "encode it, such as in base64");
    } else if let Some(variable) = value.strip_prefix(ENVIRONMENT)
        && !names::is_identifier(variable)
    {
        let rule = format!("the value of header `{name}` begins with env: and names no environment variable");
        problems.add(object, rule, "write env:NAME, such as env:SCORES_TOKEN");
    }
}
