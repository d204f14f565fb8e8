//! Keys of the Redis door: what is taken apart has as many parts as were asked for, and a part that was escaped comes
//! back as it was.

use crate::input::Input;
use thalweg_server::fuzzing::{Key, unescape, unescape_text};
use thalweg_server::resp::escape_key_part;

/// How many key columns, then the key.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let columns = usize::from(input.byte() % 4);
    let whole = input.rest();
    let key = Key::of(whole);
    assert!(whole.starts_with(key.name));
    if let Ok((points, parts)) = key.split(columns) {
        let parts: Vec<&[u8]> = parts.collect();
        assert_eq!(parts.len(), columns, "{}", whole.escape_ascii());
        assert!(key.is_direct() || points.previous.is_none(), "{points:?}");
        for part in parts {
            comes_back(part);
        }
    }
    for (name, value) in key.query().flatten() {
        comes_back(name);
        comes_back(value);
    }
    let mut written = b"s:".to_vec();
    escape_key_part(whole, &mut written);
    let (_, mut parts) = Key::of(&written).split(1).expect("what was escaped is one part");
    assert_eq!(unescape(parts.next().expect("one part")).expect("it was escaped").as_ref(), whole);
}

fn comes_back(part: &[u8]) {
    let Ok(plain) = unescape(part) else { return };
    assert!(plain.len() <= part.len());
    assert_eq!(unescape_text(part).is_ok(), std::str::from_utf8(&plain).is_ok());
    let mut again = Vec::new();
    escape_key_part(&plain, &mut again);
    assert_eq!(unescape(&again).expect("it was escaped"), plain);
}
