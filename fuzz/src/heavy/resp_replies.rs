//! A reader of RESP2 and RESP3 answers, as little as it takes to count them.

/// How many whole answers there are. The error says what is none.
pub fn count(mut bytes: &[u8]) -> Result<usize, String> {
    let mut answers = 0;
    while !bytes.is_empty() {
        one(&mut bytes)?;
        answers += 1;
    }
    Ok(answers)
}

/// Takes one answer. Answers within answers are counted down, so that it does not matter how deep they go.
fn one(bytes: &mut &[u8]) -> Result<(), String> {
    let mut left = 1u64;
    while left > 0 {
        left -= 1;
        let line = line(bytes)?;
        let (kind, text) = line.split_first().ok_or("an empty line")?;
        match kind {
            b'+' | b'-' => {}
            b':' | b'(' => {
                number(text)?;
            }
            b',' => {
                let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
                text.parse::<f64>().map_err(|error| format!("`{text}`: {error}"))?;
            }
            b'_' if text.is_empty() => {}
            b'#' if matches!(text, b"t" | b"f") => {}
            b'$' | b'=' => {
                if let Ok(length) = usize::try_from(number(text)?) {
                    let (_, rest) = bytes.split_at_checked(length).ok_or("text that ends early")?;
                    *bytes = rest.strip_prefix(b"\r\n").ok_or("text without its end")?;
                }
            }
            b'*' | b'~' | b'>' => left += u64::try_from(number(text)?).unwrap_or(0),
            b'%' => left += 2 * u64::try_from(number(text)?).unwrap_or(0),
            _ => return Err(format!("`{}` is no answer", line.escape_ascii())),
        }
    }
    Ok(())
}

fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or("a line that ends early")?;
    let line = &bytes[..end];
    *bytes = &bytes[end + 2..];
    Ok(line)
}

fn number(text: &[u8]) -> Result<i64, String> {
    let shown = || format!("`{}` is no number", text.escape_ascii());
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_versions_are_counted() {
        assert_eq!(count(b"+OK\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n:1\r\n*0\r\n_\r\n%1\r\n+a\r\n,1.5\r\n"), Ok(6));
        assert!(count(b"*2\r\n:1\r\n").is_err());
        assert!(count(b"$5\r\nab\r\n").is_err());
        assert!(count(b"?\r\n").is_err());
    }
}
