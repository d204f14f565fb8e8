//! Many commands at once: answered in their order, however they are cut, and whenever they are read.

use super::client::command;
use super::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn a_pipeline_is_answered_in_its_order() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let steps = [
            ("HGET cards:c1 attempts_7d", r#""2""#),
            ("HGET visits:7:a%3Ab%25 visits_7d", r#""1""#),
            ("PING", "+PONG"),
            ("HGET cards:c2 amount_mean_7d", r#""5.0""#),
            ("NOPE", "-ERR unknown command 'NOPE', with args beginning with: "),
            ("HGET visits:7", "-ERR wrong number of arguments for 'hget' command"),
            ("HLEN cards:c9", ":0"),
            ("HGETALL other:c1", "-ERR there is no service `other`: a key is written service:key"),
            ("HGET cards@2024-03-01T11:00:00Z:c1 attempts_7d", r#""1""#),
        ];
        let rounds = 150;
        let sent: Vec<u8> = (0..rounds)
            .flat_map(|_| steps.iter().flat_map(|(line, _)| command(&line.split(' ').collect::<Vec<_>>())))
            .collect();
        let (mut reader, mut writer) = tokio::io::split(client.stream);
        let writing = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer
        });
        let mut got = Vec::new();
        let expected: Vec<u8> = expected_bytes(&steps, rounds);
        while got.len() < expected.len() {
            assert_ne!(reader.read_buf(&mut got).await.unwrap(), 0, "the connection was closed");
        }
        assert!(
            got == expected,
            "answers differ from byte {:?} on",
            got.iter().zip(&expected).position(|(a, b)| a != b)
        );
        client = super::client::Client::new(reader.unsplit(writing.await.unwrap()));
        assert_eq!(client.ask("PING").await, "+PONG");
    });
}

/// The answers of the steps, each round the same.
fn expected_bytes(steps: &[(&str, &str)], rounds: usize) -> Vec<u8> {
    let one = |shown: &str| match shown.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) => format!("${}\r\n{text}\r\n", text.len()),
        None => format!("{shown}\r\n"),
    };
    let round: String = steps.iter().map(|(_, shown)| one(shown)).collect();
    round.repeat(rounds).into_bytes()
}

#[test]
fn it_does_not_matter_how_a_pipeline_is_cut() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let bytes = [command(&["HLEN", "cards:c1"]), b"PING\r\n".to_vec(), command(&["HLEN", "cards:c9"])].concat();
        for byte in bytes {
            client.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await, ":3");
        assert_eq!(client.answer().await, "+PONG");
        assert_eq!(client.answer().await, ":0");
    });
}

#[test]
fn a_client_may_send_everything_before_it_reads() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let count = 5000;
        let all = command(&["HGETALL", "cards:c1"]).repeat(count);
        client.send(&all).await;
        for _ in 0..count {
            assert!(client.answer().await.starts_with(r#"["card_payments.attempts_7d" "2""#));
        }
    });
}

#[test]
fn what_came_before_the_signal_to_stop_is_answered() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("PING").await, "+PONG");
        client.send(&command(&["HLEN", "cards:c1"])).await;
        tokio::task::yield_now().await;
        door.stop.send(true).unwrap();
        assert_eq!(client.answer().await, ":3");
        assert_eq!(client.answer().await, "");
    });
}
