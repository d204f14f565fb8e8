//! Direct features as strings and lists.

use super::world::World;
use serde_json::json;
use thalweg_server::Clock;

const WRONGTYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NO_INTEGER: &str = "-ERR value is not an integer or out of range";

fn world() -> World {
    let world = World::open(Clock::System);
    let definitions = json!({
        "project": "direct",
        "entities": [{"name": "card", "keys": [{"name": "card", "type": "string"}]}],
        "direct_features": [
            {"name": "score", "entity": "card", "primitive": "float", "keep_previous": 1},
            {"name": "clicks", "entity": "card", "primitive": "int"},
            {"name": "note", "entity": "card", "primitive": "string"},
            {"name": "seen", "entity": "card", "primitive": "[string]"},
            {"name": "spend", "entity": "card", "primitive": "float", "aggregations": ["sum"], "over": "1h"},
        ],
        "services": [{"name": "scores", "features": ["default__score.value", "default__spend.sum_1h"]}],
    });
    world.instance.apply(&definitions.to_string(), false).unwrap();
    world
}

#[test]
fn what_is_set_is_read() {
    world().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("GET default.score:c1").await, "nil");
        assert_eq!(client.ask("EXISTS default.score:c1").await, ":0");
        assert_eq!(client.ask("SET default.score:c1 0.5").await, "+OK");
        assert_eq!(client.ask("GET default.score:c1").await, r#""0.5""#);
        assert_eq!(client.ask("SET default.score:c1 0.75").await, "+OK");
        assert_eq!(
            client.ask("MGET default.score:c1 default.score@-1:c1 default.score:c2").await,
            r#"["0.75" "0.5" nil]"#
        );
        assert_eq!(client.ask("TYPE default.score:c1").await, "+string");
        assert_eq!(client.ask("HGET scores:c1 default__score.value").await, r#""0.75""#);
        client.send(b"SET default.note:c1 \"a b\"\r\nGET default.note:c1\r\n").await;
        assert_eq!(client.answer().await, "+OK");
        assert_eq!(client.answer().await, r#""a b""#);
    });
}

#[test]
fn numbers_are_added_to() {
    world().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("SET default.clicks:c1 4").await, "+OK");
        assert_eq!(client.ask("INCR default.clicks:c1").await, ":5");
        assert_eq!(client.ask("INCRBY default.clicks:c1 -3").await, ":2");
        assert_eq!(client.ask("SET default.score:c1 1.5").await, "+OK");
        assert_eq!(client.ask("INCRBYFLOAT default.score:c1 0.25").await, r#""1.75""#);
        assert_eq!(client.ask("INCR default.score:c1").await, NO_INTEGER);
        assert_eq!(client.ask("INCR default.note:c1").await, NO_INTEGER);
        assert_eq!(client.ask("INCRBY default.clicks:c1 x").await, NO_INTEGER);
        assert_eq!(client.ask("INCRBYFLOAT default.score:c1 x").await, "-ERR value is not a valid float");
        assert_eq!(client.ask("INCR default.seen:c1").await, WRONGTYPE);
    });
}

#[test]
fn lists_are_appended_to() {
    world().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("RPUSH default.seen:c1 a b").await, ":2");
        assert_eq!(client.ask("RPUSH default.seen:c1 c").await, ":3");
        assert_eq!(client.ask("LRANGE default.seen:c1 0 -1").await, r#"["a" "b" "c"]"#);
        assert_eq!(client.ask("LRANGE default.seen:c1 -2 1").await, r#"["b"]"#);
        assert_eq!(client.ask("LRANGE default.seen:c9 0 -1").await, "[]");
        assert_eq!(client.ask("LRANGE default.seen:c1 a b").await, NO_INTEGER);
        assert_eq!(client.ask("TYPE default.seen:c1").await, "+list");
        assert_eq!(client.ask("GET default.seen:c1").await, WRONGTYPE);
        assert_eq!(client.ask("HGETALL default.seen:c1").await, WRONGTYPE);
        assert_eq!(client.ask("RPUSH default.score:c1 1").await, WRONGTYPE);
    });
}

#[test]
fn windows_take_values_and_show_their_aggregations() {
    world().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("SET default.spend:c1 2.5").await, "+OK");
        assert_eq!(client.ask("SET default.spend:c1 5").await, "+OK");
        assert_eq!(client.ask("GET default.spend:c1").await, r#""{"sum":7.5}""#);
        assert_eq!(client.ask("GET default.spend+sum:c1").await, r#""7.5""#);
        assert_eq!(client.ask("HGET scores:c1 sum_1h").await, r#""7.5""#);
        assert!(client.ask("INCRBYFLOAT default.spend:c1 1").await.contains("is windowed: SET adds a value"));
    });
}

#[test]
fn what_cannot_be_written_is_refused() {
    world().run(async |door| {
        let mut client = door.connect();
        assert_eq!(client.ask("SET default.score:c1 1 EX 10").await, "-ERR syntax error");
        assert_eq!(client.ask("SET default.clicks:c1 much").await, "-ERR `much` is not a int64");
        let part = client.ask("SET default.score@-1:c1 1").await;
        assert_eq!(part, "-ERR `default.score@-1` is a part of `default.score`: write to that as a whole");
        assert!(client.ask("SET scores:c1 1").await.contains("is computed and cannot be written"));
        let query = client.ask("GET default.score:c1?x=1").await;
        assert_eq!(query, "-ERR `default.score` takes no request values: leave out what follows the `?`");
    });
}
