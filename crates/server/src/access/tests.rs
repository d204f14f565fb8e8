//! What callers may do, from no key at all to one that was taken back.

use super::*;
use std::time::Duration;

struct House {
    directory: tempfile::TempDir,
    access: Access,
}

fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { data: directory.path().to_owned(), ..Settings::default() };
    let metadata = Metadata::open(&directory.path().join(METADATA_FILE)).unwrap();
    let access = Access::open(&settings, Arc::new(metadata)).unwrap();
    House { directory, access }
}

fn request(namespaces: &[&str], scopes: &[&str]) -> KeyRequest {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (namespaces, scopes) = (owned(namespaces), owned(scopes));
    KeyRequest { name: "test".to_owned(), namespaces, scopes, expires: None, rate: None }
}

impl House {
    fn make(&self, request: &KeyRequest) -> IssuedKey {
        let id = new_id().unwrap();
        self.access.change(|metadata| create(metadata, &id, request)).unwrap()
    }

    fn enter(&self, key: Option<&str>) -> Result<Caller, ServerError> {
        self.access.authenticate(Door::Http, key, Some(IpAddr::from([127, 0, 0, 1])))
    }

    fn may(&self, caller: &Caller, operation: Operation, reach: Reach<'_>) -> Result<(), ServerError> {
        self.access.authorize(Door::Http, caller, operation, "thing", &reach)
    }
}

fn code<T>(outcome: Result<T, ServerError>) -> &'static str {
    outcome.err().map_or("OK", |error| error.code())
}

#[test]
fn without_keys_this_machine_may_everything_and_others_nothing() {
    let house = house();
    let caller = house.enter(None).unwrap();
    assert_eq!(code(house.may(&caller, Operation::Apply, Reach::Everything)), "OK");
    let far = Some(IpAddr::from([10, 0, 0, 1]));
    assert_eq!(code(house.access.authenticate(Door::Http, None, far)), "UNAUTHENTICATED");
    let mapped = Some("::ffff:127.0.0.1".parse().unwrap());
    assert_eq!(code(house.access.authenticate(Door::Redis, None, mapped)), "OK");

    // The first key closes the door for who is inside as well.
    house.make(&request(&["*"], &["read"]));
    assert!(house.access.is_keyed());
    assert_eq!(code(house.enter(None)), "UNAUTHENTICATED");
    assert_eq!(code(house.may(&caller, Operation::Read, Reach::Anywhere)), "UNAUTHENTICATED");
}

#[test]
fn scopes_and_namespaces_bind() {
    let house = house();
    let reader = house.make(&request(&["a", "b"], &["read"]));
    let reader = house.enter(Some(&reader.key)).unwrap();
    assert!(reader.may_reach("a") && !reader.may_reach("c"));
    assert_eq!(code(house.may(&reader, Operation::Read, Reach::Namespace("a"))), "OK");
    assert_eq!(code(house.may(&reader, Operation::Read, Reach::Namespaces(vec!["a", "b"]))), "OK");
    assert_eq!(code(house.may(&reader, Operation::Push, Reach::Namespace("a"))), "FORBIDDEN");
    assert_eq!(code(house.may(&reader, Operation::Status, Reach::Everything)), "FORBIDDEN");
    let error = house.may(&reader, Operation::Read, Reach::Namespaces(vec!["a", "c"])).unwrap_err();
    assert!(error.to_string().contains("the namespace `c`") && error.to_string().contains("a, b"), "{error}");

    let writer = house.make(&request(&["*"], &["write"]));
    let writer = house.enter(Some(&writer.key)).unwrap();
    assert_eq!(code(house.may(&writer, Operation::Push, Reach::Namespace("c"))), "OK");
    let error = house.may(&writer, Operation::Read, Reach::Namespace("c")).unwrap_err();
    assert!(error.to_string().contains("needs the scope read"), "{error}");

    let admin = house.make(&request(&["*"], &["admin"]));
    let admin = house.enter(Some(&admin.key)).unwrap();
    for operation in Operation::ALL {
        assert_eq!(code(house.may(&admin, operation, Reach::Everything)), "OK");
    }
}

#[test]
fn a_key_ends_for_those_who_are_inside_too() {
    let house = house();
    let issued = house.make(&request(&["*"], &["read"]));
    let id = issued.info.id.clone();
    let caller = house.enter(Some(&issued.key)).unwrap();
    let rotated = house.access.change(|metadata| rotate(metadata, &id, Some("1h"))).unwrap();
    assert_eq!(code(house.may(&caller, Operation::Read, Reach::Anywhere)), "OK");
    let again = house.access.change(|metadata| rotate(metadata, &id, None)).unwrap();
    let error = house.may(&caller, Operation::Read, Reach::Anywhere).unwrap_err();
    assert!(error.to_string().contains("not a key that is known"), "{error}");
    let error = house.enter(Some(&rotated.key)).unwrap_err();
    assert!(error.to_string().contains("was rotated"), "{error}");

    let caller = house.enter(Some(&again.key)).unwrap();
    house.access.change(|metadata| revoke(metadata, &id)).unwrap();
    let error = house.may(&caller, Operation::Read, Reach::Anywhere).unwrap_err();
    assert!(error.to_string().contains("was revoked at"), "{error}");
    assert!(house.access.is_keyed(), "a revoked key keeps the door closed");
}

#[test]
fn an_expired_key_says_so() {
    let house = house();
    let issued = house.make(&KeyRequest { expires: Some("1ms".to_owned()), ..request(&["*"], &["read"]) });
    std::thread::sleep(Duration::from_millis(5));
    let error = house.enter(Some(&issued.key)).unwrap_err();
    assert!(error.to_string().contains("expired at"), "{error}");
    let wrong = format!("{}{}", &issued.key[..issued.key.len() - 64], "0".repeat(64));
    let error = house.enter(Some(&wrong)).unwrap_err();
    assert!(error.to_string().contains("not a key that is known"), "{error}");
}

#[test]
fn a_rate_binds() {
    let house = house();
    let issued = house.make(&KeyRequest { rate: Some("2/s".to_owned()), ..request(&["*"], &["read"]) });
    let caller = house.enter(Some(&issued.key)).unwrap();
    let outcomes: Vec<_> = (0..3).map(|_| house.may(&caller, Operation::Read, Reach::Anywhere)).collect();
    let error = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.code(), "RATE_LIMITED");
    assert!((1..=500).contains(&error.retry_after_ms().unwrap()));
}

#[test]
fn what_a_command_changes_is_noticed() {
    let house = house();
    let metadata = Metadata::open(&house.directory.path().join(METADATA_FILE)).unwrap();
    let issued = create(&metadata, &new_id().unwrap(), &request(&["*"], &["read"])).unwrap();
    assert!(any_key(house.directory.path()).unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !house.access.is_keyed() {
        assert!(Instant::now() < deadline, "the key was not noticed");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(code(house.enter(Some(&issued.key))), "OK");
}

#[test]
fn changes_and_denials_are_audited_with_the_key() {
    let house = house();
    let issued = house.make(&request(&["a"], &["read"]));
    let caller = house.enter(Some(&issued.key)).unwrap();
    let _ = house.enter(Some("tw_nonsense"));
    let _ = house.may(&caller, Operation::Push, Reach::Anywhere);
    house.access.changed(Door::Grpc, &caller, Operation::Apply, "manifest", Some("BREAKING"));
    let page = house.access.audit(&AuditQuery { limit: 10, before: None, denied: false }).unwrap();
    let told: Vec<(&str, &str, &str)> = page
        .entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-");
            (text("operation"), text("outcome"), text("code"))
        })
        .collect();
    let expected = [
        ("apply", "failed", "BREAKING"),
        ("push", "denied", "FORBIDDEN"),
        ("authenticate", "denied", "UNAUTHENTICATED"),
    ];
    assert_eq!(told, expected);
    assert_eq!(page.entries[0]["key"], issued.info.id);
    assert_eq!(page.entries[0]["name"], "test");
    assert!(!page.entries.iter().any(|entry| entry.to_string().contains("nonsense")));
}
