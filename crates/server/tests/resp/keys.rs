//! What keys may say, and what is said of those that cannot be read.

use super::world::World;

#[test]
fn keys_have_parts_and_escapes() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("HGET visits:7:a%3ab%25 visits_7d").await, r#""1""#);
        assert_eq!(client.ask("HGET visits:7:a visits_7d").await, "nil");
        let error = client.ask("HGETALL visits:7").await;
        assert!(error.starts_with("-ERR the key `visits:7` does not have 2 parts after the name"), "{error}");
        let error = client.ask("HGETALL visits:seven:a").await;
        assert_eq!(error, "-ERR key column `shop`: `seven` is not a int64");
        let error = client.ask("HGETALL visits:7:100%").await;
        assert!(error.contains("write `%` itself as `%25`"), "{error}");
    });
}

#[test]
fn keys_have_a_point_in_time() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("HGET cards@2024-03-01T11:00:00Z:c1 attempts_7d").await, r#""1""#);
        assert_eq!(client.ask("HGET cards@1709290800000001:c1 attempts_7d").await, r#""2""#);
        assert_eq!(client.ask("HGET cards@2024-03-01T10:00:00Z:c1 attempts_7d").await, "nil");
        let both = client.ask("MGET cards:c1 cards@2024-03-01T11:00:00Z:c1").await;
        let early =
            r#"{"card_payments.attempts_7d":1,"card_payments.amount_mean_7d":10.0,"card_payments.amounts_7d":[10.0]}"#;
        assert!(both.ends_with(&format!(" \"{early}\"]")), "{both}");
        assert!(client.ask("GET cards@soon:c1").await.contains("`soon` in the key is not a time"));
    });
}

#[test]
fn keys_have_request_values() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("HGET card_risk:c1?amount=30 amount_ratio").await, r#""2.0""#);
        assert_eq!(client.ask("HGET card_risk:c1?amount=inf amount_ratio").await, r#""Infinity""#);
        let error = client.ask("HGETALL card_risk:c1").await;
        let mend = "write `?amount=…` at the end of the key";
        assert_eq!(error, format!("-ERR `card_risk` needs the request value `amount`: {mend}"));
        let error = client.ask("HGETALL card_risk:c1?amount=1&x=2").await;
        assert_eq!(error, "-ERR `card_risk` has no request value `x`; it has amount");
        let error = client.ask("HGETALL card_risk:c1?amount=much").await;
        assert_eq!(error, "-ERR request value `amount`: `much` is not a float64");
        let error = client.ask("HGETALL cards:c1?amount=1").await;
        assert_eq!(error, "-ERR `cards` takes no request values: leave out what follows the `?`");
    });
}

#[test]
fn names_that_nothing_has_are_refused() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("HGETALL card:c1").await, "-ERR there is no service `card`: did you mean `cards`?");
        let error = client.ask("GET default.nothing:c1").await;
        assert_eq!(error, "-ERR there is no direct feature `default.nothing`: write namespace.name");
        let error = client.ask("GET __unheard_of__").await;
        assert_eq!(error, "-ERR there is no service `__unheard_of__`: a key is written service:key");
    });
}
