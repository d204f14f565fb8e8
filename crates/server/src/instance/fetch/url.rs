//! The address to ask for one key: the feature's, with the key filled in.

/// Fills `{name}` in with the key's text, percent-encoded. A key is never part of the host, and never a step in the
/// path.
pub fn filled(template: &str, keys: &[(String, String)]) -> Result<String, String> {
    let host_ends = template.find("://").map_or(0, |at| at + 3);
    let path = template[host_ends..].find(['/', '?', '#']).map_or(template.len(), |at| host_ends + at);
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map(|length| open + length);
        let close = close.ok_or_else(|| format!("`{template}` has a `{{` without its `}}`: write {{key}}"))?;
        if template.len() - rest.len() + open < path {
            return Err(format!("`{template}` has a key in its host: keys go into the path or the query"));
        }
        let name = &rest[open + 1..close];
        let text = keys.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str());
        let text = text.ok_or_else(|| format!("`{template}` names `{name}`, which is no key of the entity"))?;
        if matches!(text, "" | "." | "..") {
            return Err(format!("key `{name}` is `{text}`, which names no place of its own in an address"));
        }
        out.push_str(&rest[..open]);
        encode(text, &mut out);
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn encode(text: &str, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Whether the address is one of this machine's own, to which no proxy leads.
pub fn is_here(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|start| rest.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, user: &str) -> Result<String, String> {
        filled(template, &[("user".to_owned(), user.to_owned())])
    }

    #[test]
    fn keys_are_filled_in_encoded() {
        assert_eq!(
            fill("http://h/users/{user}?k={user}", "a b/ü").unwrap(),
            "http://h/users/a%20b%2F%C3%BC?k=a%20b%2F%C3%BC"
        );
        assert_eq!(fill("http://h/plain", "x").unwrap(), "http://h/plain");
        assert_eq!(fill("http://h/{user}", "../x").unwrap(), "http://h/..%2Fx");
    }

    #[test]
    fn a_key_cannot_lead_elsewhere() {
        for user in ["", ".", ".."] {
            assert!(fill("http://h/users/{user}", user).unwrap_err().contains("no place of its own"));
        }
        assert!(fill("http://{user}/x", "evil").unwrap_err().contains("in its host"));
        assert!(fill("http://{user}", "evil").unwrap_err().contains("in its host"));
        assert!(fill("http://h/{shop}", "x").unwrap_err().contains("no key of the entity"));
        assert!(fill("http://h/{user", "x").unwrap_err().contains("without its"));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        assert!(is_here("http://127.0.0.1:80/x") && is_here("https://localhost/x") && is_here("http://[::1]:80/"));
        assert!(!is_here("http://features.example/127.0.0.1"));
    }
}
