//! Services as keys, features as fields.

use super::world::World;

#[test]
fn features_are_fields_in_the_order_of_the_service() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let (attempts, mean) = (r#""card_payments.attempts_7d" "2""#, r#""card_payments.amount_mean_7d" "15.0""#);
        let amounts = r#""card_payments.amounts_7d" "[10.0,20.0]""#;
        assert_eq!(client.ask("HGETALL cards:c1").await, format!("[{attempts} {mean} {amounts}]"));
        assert_eq!(client.ask("HGET cards:c1 card_payments.attempts_7d").await, r#""2""#);
        assert_eq!(client.ask("hget cards:c1 amount_mean_7d").await, r#""15.0""#);
        assert_eq!(client.ask("HMGET cards:c2 attempts_7d nothing amount_mean_7d").await, r#"["1" nil "5.0"]"#);
        let keys = r#"["card_payments.attempts_7d" "card_payments.amount_mean_7d" "card_payments.amounts_7d"]"#;
        assert_eq!(client.ask("HKEYS cards:c1").await, keys);
        assert_eq!(client.ask("HLEN cards:c1").await, ":3");
        assert_eq!(client.ask("HEXISTS cards:c1 attempts_7d").await, ":1");
        assert_eq!(client.ask("HEXISTS cards:c1 nothing").await, ":0");
        assert_eq!(client.ask("TYPE cards:c1").await, "+hash");
    });
}

#[test]
fn what_has_no_value_is_not_there() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("HGETALL cards:c9").await, "[]");
        assert_eq!(client.ask("HGET cards:c9 attempts_7d").await, "nil");
        assert_eq!(client.ask("GET cards:c9").await, "nil");
        assert_eq!(client.ask("TYPE cards:c9").await, "+none");
        assert_eq!(client.ask("HLEN cards:c9").await, ":0");
        assert_eq!(client.ask("EXISTS cards:c1 cards:c9 cards:c1 nothing:c1").await, ":2");
    });
}

#[test]
fn other_fields_say_why_there_is_no_value() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let ask = "HMGET cards:c9 attempts_7d__status attempts_7d__error attempts_7d__event_time";
        assert_eq!(client.ask(ask).await, r#"["NOT_FOUND" nil nil]"#);
        let ask = "HMGET cards:c1 card_payments.attempts_7d__status attempts_7d__event_time";
        assert_eq!(client.ask(ask).await, r#"["PRESENT" "2024-03-01T11:00:00.000000Z"]"#);
        assert_eq!(client.ask("HEXISTS cards:c9 attempts_7d__status").await, ":1");
    });
}

#[test]
fn an_entity_is_one_json_object() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let c2 =
            r#""{"card_payments.attempts_7d":1,"card_payments.amount_mean_7d":5.0,"card_payments.amounts_7d":[5.0]}""#;
        assert_eq!(client.ask("GET cards:c2").await, c2);
        let ratio = r#""{"card_payments.amount_mean_7d":15.0,"amount_ratio":2.0}""#;
        let ask = "MGET cards:c9 cards:c2 card_risk:c1?amount=30 cards:c2";
        assert_eq!(client.ask(ask).await, format!("[nil {c2} {ratio} {c2}]"));
    });
}

#[test]
fn resp3_has_maps_and_nulls() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let hello = client.ask("HELLO 3").await;
        assert!(hello.starts_with(r#"{"server" "redis" "version""#) && hello.contains(r#""proto" :3"#), "{hello}");
        let visits = client.ask("HGETALL visits:7:a%3Ab%25").await;
        assert_eq!(
            visits,
            r#"{"customer_visits.visits_7d" "1" "customer_visits.newest" "2024-03-01T12:00:00.000000Z"}"#
        );
        client.send(b"*3\r\n$4\r\nHGET\r\n$8\r\ncards:c9\r\n$1\r\nx\r\n").await;
        assert_eq!(client.answer().await, "nil");
        assert_eq!(client.ask("HGETALL cards:c9").await, "{}");
    });
}

#[test]
fn the_wrong_kind_is_told_in_the_words_of_redis() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(client.ask("LRANGE cards:c1 0 -1").await, wrong);
        let written = client.ask("SET cards:c1 1").await;
        assert!(written.starts_with("-ERR `cards` is computed and cannot be written"), "{written}");
        assert!(client.ask("HSET cards:c1 f 1").await.starts_with("-ERR unknown command 'HSET', with args beginning"));
    });
}
