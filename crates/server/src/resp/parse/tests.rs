//! Commands in pieces, hostile lengths, and what is not this protocol at all.

use super::*;

type Words = Vec<Vec<u8>>;

/// Feeds the input in parts; the commands, and what broke the protocol.
fn read(parts: &[&[u8]], bounds: Bounds) -> (Vec<Words>, Option<Violation>) {
    let (mut parser, mut input, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    for part in parts {
        input.extend_from_slice(part);
        loop {
            parser.parse(&input, 2, bounds);
            let batch = parser.batch(&input);
            let count = batch.count();
            commands.extend((0..count).map(|index| batch.command(index).words(0).map(<[u8]>::to_vec).collect()));
            if let Some(violation) = parser.violation() {
                return (commands, Some(violation));
            }
            input.drain(..parser.finish());
            if count < 2 {
                break;
            }
        }
    }
    (commands, None)
}

fn words(commands: &[&[&str]]) -> Vec<Words> {
    commands.iter().map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect()).collect()
}

fn broken(input: &[u8]) -> Option<Violation> {
    read(&[input], Bounds::of(true)).1
}

const MIXED: &[u8] = b"*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n\r\nGET \"a b\" 'c\\'d'\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\n\
    SET k \"\\x41\\n\\\"\"\n*3\r\n$4\r\nHGET\r\n$3\r\na:1\r\n$3\r\nv.x\r\n";

fn mixed() -> Vec<Words> {
    words(&[&["PING", "hi"], &["GET", "a b", "c'd"], &[""], &["SET", "k", "A\n\""], &["HGET", "a:1", "v.x"]])
}

#[test]
fn it_does_not_matter_where_the_bytes_are_cut() {
    assert_eq!(read(&[MIXED], Bounds::of(true)), (mixed(), None));
    for at in 0..=MIXED.len() {
        let (left, right) = MIXED.split_at(at);
        assert_eq!(read(&[left, right], Bounds::of(true)), (mixed(), None), "cut at {at}");
    }
    let single: Vec<&[u8]> = MIXED.chunks(1).collect();
    assert_eq!(read(&single, Bounds::of(true)), (mixed(), None));
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_kept() {
    assert_eq!(broken(b"*99999999999999999999\r\n"), Some(Violation::Count));
    assert_eq!(broken(b"*2147483647\r\n"), Some(Violation::Count));
    assert_eq!(broken(b"*x\r\n"), Some(Violation::Count));
    assert_eq!(broken(b"*1\rx"), Some(Violation::Count));
    assert_eq!(broken(&[b"*".as_slice(), &[b'1'; 40]].concat()), Some(Violation::LongCount));
    assert_eq!(broken(b"*1\r\n+PING\r\n"), Some(Violation::NoBulk(b'+')));
    assert_eq!(broken(b"*1\r\n$-1\r\n"), Some(Violation::Length));
    assert_eq!(broken(b"*1\r\n$9223372036854775807\r\n"), Some(Violation::Length));
    assert_eq!(broken(&[b"*1\r\n$".as_slice(), &[b'0'; 40]].concat()), Some(Violation::LongLength));
    assert_eq!(broken(b"*1\r\n$4\r\nPINGxx"), Some(Violation::NoEnd));
    assert_eq!(broken(&[b'a'; MAX_INLINE_BYTES + 1]), Some(Violation::LongLine));
    assert_eq!(broken(b"GET \"a\n"), Some(Violation::Quotes));
    assert_eq!(broken(b"GET \"a\"b\n"), Some(Violation::Quotes));
}

#[test]
fn a_command_is_bounded_as_a_whole() {
    let argument = [format!("${MAX_BULK_BYTES}\r\n").as_bytes(), &[b'x'; MAX_BULK_BYTES], b"\r\n"].concat();
    let input = [b"*2\r\n".as_slice(), &argument, format!("${MAX_BULK_BYTES}\r\n").as_bytes()].concat();
    assert_eq!(broken(&input), Some(Violation::TooLarge));
}

#[test]
fn whoever_is_not_known_yet_may_say_little() {
    let unknown = |input: &[u8]| read(&[input], Bounds::of(false)).1;
    assert_eq!(unknown(b"*11\r\n"), Some(Violation::UnknownCount));
    assert_eq!(unknown(b"*2\r\n$4\r\nAUTH\r\n$20000\r\n"), Some(Violation::UnknownLength));
    assert_eq!(unknown(b"a b c d e f g h i j k\n"), Some(Violation::UnknownCount));
    assert_eq!(unknown(b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"), None);
}

#[test]
fn a_command_is_taken_after_all_of_whoever_is_known_by_then() {
    let long = format!("MGET {}\r\n", "a:1 ".repeat(20));
    let bulk = [b"*2\r\n$4\r\nECHO\r\n$20000\r\n".as_slice(), &[b'x'; 20_000], b"\r\n"].concat();
    for (input, count) in [(long.as_bytes(), 21), (bulk.as_slice(), 2)] {
        let mut parser = Parser::default();
        parser.parse(input, 8, Bounds::of(false));
        assert!(parser.is_for_the_known());
        assert_eq!(parser.batch(input).count(), 0);
        parser.forgive();
        parser.parse(input, 8, Bounds::of(true));
        assert_eq!(parser.batch(input).command(0).count(), count);
    }
}

#[test]
fn what_came_before_a_violation_is_still_answered() {
    let (commands, violation) = read(&[b"PING\r\n*1\r\n!"], Bounds::of(true));
    assert_eq!((commands, violation), (words(&[&["PING"]]), Some(Violation::NoBulk(b'!'))));
}

#[test]
fn http_is_known_by_its_lines() {
    for line in ["POST /x HTTP/1.1\r\n", "GET / HTTP/1.1\r\n", "Host: localhost\r\n", "post\r\n"] {
        assert_eq!(broken(line.as_bytes()), Some(Violation::Http), "{line}");
    }
    assert_eq!(broken(b"GET a:1\r\n"), None);
}

#[test]
fn errors_are_worded_as_those_of_redis() {
    let text = Violation::NoBulk(b'\n').to_string();
    assert_eq!(text, "ERR Protocol error: expected '$', got '\\n'");
    assert_eq!(Violation::Count.to_string(), "ERR Protocol error: invalid multibulk length");
}
