//! What clients say when they connect, keys and the lack of them, and what is not this protocol.

use super::client::Client;
use super::world::World;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use thalweg_server::router;
use tower::ServiceExt;

async fn all(client: &mut Client, steps: &[(&str, &str)]) {
    for (line, expected) in steps {
        let got = client.ask(line).await;
        match expected.strip_prefix('~') {
            Some(part) => assert!(got.contains(part), "{line}: {got}"),
            None => assert_eq!(got, *expected, "{line}"),
        }
    }
}

#[test]
fn clients_say_who_they_are() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let steps = [
            ("CLIENT SETNAME worker-1", "+OK"),
            ("CLIENT GETNAME", r#""worker-1""#),
            ("CLIENT SETNAME a\tb", "-ERR Client names cannot contain spaces, newlines or special characters."),
            ("CLIENT SETINFO LIB-NAME redis-py", "+OK"),
            ("CLIENT SETINFO lib-ver 6.4.0", "+OK"),
            ("CLIENT SETINFO LIB-X y", "-ERR Unrecognized option 'LIB-X'"),
            ("CLIENT ID", ":1"),
            ("CLIENT INFO", "~name=worker-1 db=0 cmd=client|info user=default lib-name=redis-py lib-ver=6.4.0 resp=2"),
            ("CLIENT NO-EVICT on", "+OK"),
            ("CLIENT NO-TOUCH maybe", "-ERR syntax error"),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
            (
                "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip",
                "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
            ),
        ];
        all(&mut client, &steps).await;
        assert_eq!(door.connect().ask("CLIENT ID").await, ":2");
    });
}

#[test]
fn clients_choose_their_protocol() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let steps = [
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
            ("HELLO 3 SETNAME n1", r#"~"proto" :3"#),
            ("CLIENT GETNAME", r#""n1""#),
            ("CONFIG GET save", r#"{"save" ""}"#),
            ("HELLO 2", r#"~["server" "redis""#),
            ("HELLO 3", r#"~{"server""#),
            ("RESET", "+RESET"),
            ("CLIENT GETNAME", "nil"),
            ("CONFIG GET save", r#"["save" ""]"#),
        ];
        all(&mut client, &steps).await;
    });
}

#[test]
fn clients_ask_what_there_is() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let steps = [
            ("PING", "+PONG"),
            ("PING hi", r#""hi""#),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
            ("ECHO hi", r#""hi""#),
            ("SELECT 0", "+OK"),
            ("SELECT 1", "-ERR DB index is out of range"),
            ("SELECT x", "-ERR value is not an integer or out of range"),
            ("CONFIG GET append*", r#"["appendonly" "yes" "appendfsync" "always"]"#),
            ("CONFIG SET save x", "-ERR unknown subcommand 'SET'. Try CONFIG HELP."),
            ("COMMAND COUNT", ":29"),
            ("COMMAND INFO get nope", r#"[["get" :2 [+readonly +fast] :1 :1 :1 [+@string] [] [] []] nil]"#),
            ("COMMAND DOCS hgetall", r#"~["hgetall" ["summary" "#),
            ("INFO", "~loading:0"),
            ("INFO replication", "~# Replication\r\nrole:master"),
            // Two cards, and two customers.
            ("DBSIZE", ":4"),
            ("MULTI", "-ERR unknown command 'MULTI', with args beginning with: "),
        ];
        all(&mut client, &steps).await;
        assert!(client.ask("COMMAND").await.starts_with(r#"[["hgetall" :2 "#));
        let time = client.ask("TIME").await;
        assert!(time.starts_with("[\"1") && time.len() > 15, "{time}");
        assert_eq!(client.ask("QUIT").await, "+OK");
        assert_eq!(client.answer().await, "");
    });
}

#[test]
fn where_keys_are_asked_for_nothing_goes_without_one() {
    let world = World::of_events();
    world.run(async |door| {
        let mut before = door.connect();
        assert_eq!(before.ask("HLEN cards:c1").await, ":3");
        let key = new_key(&world).await;
        assert_eq!(before.ask("HLEN cards:c1").await, "-NOAUTH Authentication required.");

        let mut client = door.connect();
        let steps = [
            ("HLEN cards:c1", "-NOAUTH Authentication required."),
            ("PING", "-NOAUTH Authentication required."),
            ("NOPE", "-ERR unknown command 'NOPE', with args beginning with: "),
            ("HELLO 3", "~-NOAUTH HELLO must be called with the client already authenticated"),
            ("AUTH nothing", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH a b c", "-ERR syntax error"),
        ];
        all(&mut client, &steps).await;
        assert_eq!(client.ask(&format!("AUTH {key}")).await, "+OK");
        assert_eq!(client.ask("HLEN cards:c1").await, ":3");
        assert_eq!(client.ask("RESET").await, "+RESET");
        assert_eq!(client.ask("PING").await, "-NOAUTH Authentication required.");
        assert!(client.ask(&format!("HELLO 3 AUTH default {key} SETNAME n")).await.contains(r#""proto" :3"#));
        assert_eq!(client.ask("PING").await, "+PONG");

        let mut unknown = door.connect();
        let refused = unknown.ask("MGET 1 2 3 4 5 6 7 8 9 10").await;
        assert_eq!(refused, "-ERR Protocol error: unauthenticated multibulk length");
        assert_eq!(unknown.answer().await, "");
    });
}

/// A key that may read, made over HTTP.
async fn new_key(world: &World) -> String {
    let body = r#"{"name": "reader", "namespaces": ["*"], "scopes": ["read"]}"#;
    let request = Request::builder().method("POST").uri("/v1/keys").header("content-type", "application/json");
    let request = request.body(Body::from(body)).unwrap();
    let answer = router(world.instance.clone()).oneshot(request).await.unwrap();
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    answer["key"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn whoever_needs_no_key_may_begin_with_a_long_command() {
    World::of_events().run(async |door| {
        let mut client = door.connect();
        let keys = ["cards:c1"; 20].join(" ");
        assert_eq!(client.ask(&format!("EXISTS {keys}")).await, ":20");
    });
}

#[test]
fn what_is_not_this_protocol_ends_the_connection() {
    World::of_events().run(async |door| {
        let cases = [
            ("POST /v1/features HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""),
            ("*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'"),
            ("*x\r\n", "-ERR Protocol error: invalid multibulk length"),
            ("PING \"a\r\n", "-ERR Protocol error: unbalanced quotes in request"),
        ];
        for (sent, answered) in cases {
            let mut client = door.connect();
            assert_eq!(client.ask("PING").await, "+PONG");
            client.send(sent.as_bytes()).await;
            assert_eq!(client.answer().await, answered, "{sent}");
            assert_eq!(client.answer().await, "", "{sent}");
        }
    });
}
