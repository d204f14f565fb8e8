//! The rules of direct features, each refused in words.

use super::{INT, clicks, hour, windowed, with};
use crate::support::{checked, column, refused};
use crate::{Case, run};
use std::sync::LazyLock;
use thalweg_definition::{About, Aggregation, DataType, DirectFeature, Duration, Fetch, MINUTE, Primitive, Scalar};

const CLICKS: &str = "direct:users.clicks";
const GOOD: &str = "https://scores.example/users/{user_id}";
static LONG: LazyLock<String> = LazyLock::new(|| format!("direct:users.{}", "x".repeat(122)));
static LONG_VALUE: LazyLock<String> = LazyLock::new(|| "x".repeat(4_097));

#[test]
fn each_rule_of_names_is_refused_in_words() {
    let cases: [Case; 9] = [
        (|m| m.direct = vec![clicks(), clicks()], CLICKS, "declared twice in namespace `users`"),
        (
            |m| {
                m.direct = vec![named("a__clicks"), in_namespace("users__a")];
            },
            "direct:users__a.clicks",
            "it and `users.a__clicks` would both stand for the source and the view `users__a__clicks`",
        ),
        (
            |m| {
                m.direct = vec![clicks()];
                m.sources[0].name = "users__clicks".into();
                m.views[0].sources = vec!["users__clicks".into()];
            },
            CLICKS,
            "it stands for a source `users__clicks`, and one of that name is declared",
        ),
        (
            |m| {
                m.direct = vec![clicks()];
                m.views[0].name = "users__clicks".into();
            },
            CLICKS,
            "it stands for a view `users__clicks`",
        ),
        (|m| m.direct = vec![named("7up")], "direct:users.7up", "is not an identifier"),
        (|m| m.direct = vec![in_namespace("a b")], "direct:a b.clicks", "the namespace `a b` is not an identifier"),
        (|m| m.direct = vec![named(&"x".repeat(122))], LONG.as_str(), "longer than 128 characters"),
        (|m| m.direct = vec![DirectFeature { entity: "usr".into(), ..clicks() }], CLICKS, "did you mean `user`?"),
        (
            |m| {
                m.direct = vec![clicks()];
                m.entities.push(m.entities[0].clone());
                m.entities[1].name = "item".into();
                m.entities[1].keys = vec![column("previous_3", DataType::String)];
                m.direct[0].entity = "item".into();
            },
            CLICKS,
            "key `previous_3` of entity `item` has the name of a column of every direct feature",
        ),
    ];
    run(&cases);
}

#[test]
fn each_rule_of_windows_and_times_is_refused_in_words() {
    let cases: [Case; 14] = [
        (
            |m| m.direct = vec![DirectFeature { keep_previous: u32::MAX, ..clicks() }],
            CLICKS,
            "keep at most 16 previous values",
        ),
        (
            |m| m.direct = vec![DirectFeature { over: None, ..windowed(&[Aggregation::Sum]) }],
            CLICKS,
            "its aggregations have no window",
        ),
        (
            |m| m.direct = vec![DirectFeature { over: hour(), ..clicks() }],
            CLICKS,
            "a window of 1h, and no aggregations",
        ),
        (|m| m.direct = vec![windowed(&[Aggregation::Sum, Aggregation::Sum])], CLICKS, "`sum` is named twice"),
        (|m| m.direct = vec![windowed(&[Aggregation::First])], CLICKS, "has no aggregation `first`"),
        (
            |m| {
                let primitive = Primitive { item: Scalar::String, list: false };
                m.direct = vec![DirectFeature { primitive, ..windowed(&[Aggregation::Count, Aggregation::Min]) }];
            },
            CLICKS,
            "`min` takes int or float, and the primitive is string",
        ),
        (
            |m| {
                let primitive = Primitive { list: true, ..INT };
                m.direct = vec![DirectFeature { primitive, ..windowed(&[Aggregation::Count]) }];
            },
            CLICKS,
            "holds plain values, and the primitive is [int]",
        ),
        (
            |m| m.direct = vec![DirectFeature { keep_previous: 1, ..windowed(&[Aggregation::Sum]) }],
            CLICKS,
            "has no previous values",
        ),
        (
            |m| {
                let fetch = fetched("https://scores.example/{user_id}").fetch;
                m.direct = vec![DirectFeature { fetch, ..windowed(&[Aggregation::Sum]) }];
            },
            CLICKS,
            "cannot be fetched",
        ),
        (
            |m| m.direct = vec![DirectFeature { over: Some(Duration::default()), ..windowed(&[Aggregation::Sum]) }],
            CLICKS,
            "`over` is zero",
        ),
        (
            |m| m.direct = vec![DirectFeature { freshness: Some(Duration::default()), ..clicks() }],
            CLICKS,
            "`freshness` is zero",
        ),
        (
            |m| m.direct = vec![DirectFeature { staleness: Some(Duration::default()), ..clicks() }],
            CLICKS,
            "`staleness` is zero",
        ),
        (
            |m| m.direct = vec![DirectFeature { timeout: Some(Duration::default()), ..clicks() }],
            CLICKS,
            "`timeout` is zero",
        ),
        (|m| m.direct = vec![timed_out(MINUTE + 1)], CLICKS, "use at most 1m"),
    ];
    run(&cases);
}

#[test]
fn strings_can_be_counted_and_a_minute_is_not_too_long() {
    let primitive = Primitive { item: Scalar::String, list: false };
    checked(with(DirectFeature { primitive, ..windowed(&[Aggregation::Count]) }));
    checked(with(timed_out(MINUTE)));
}

#[test]
fn each_rule_of_fetches_is_refused_in_words() {
    let urls = [
        ("ftp://scores.example/{user_id}", "neither http:// nor https://"),
        ("https:///{user_id}", "names no host"),
        ("https://{user_id}.example/", "lets a key choose the host"),
        ("https://me:secret@scores.example/{user_id}", "holds credentials"),
        ("https://scores.example/{user_id}#top", "holds a fragment"),
        ("https://scores.example/a b/{user_id}", "percent-encoded"),
        ("https://scores.example\\@other.example/{user_id}", "percent-encoded"),
        ("https://scores.example/{user_id", "a brace without its other one"),
        ("https://scores.example/user_id}", "a brace without its other one"),
        ("https://scores.example/{{user_id}}", "a brace without its other one"),
        ("https://scores.example/{user_i}/{user_id}", "did you mean `user_id`?"),
        ("https://scores.example/all", "lacks `{user_id}`"),
    ];
    for (url, words) in urls {
        refuses(fetched(url), words);
    }
    for field in ["score", "/~2", "/a~"] {
        let fetch = fetched(GOOD).fetch.map(|fetch| Fetch { field: field.into(), ..fetch });
        refuses(DirectFeature { fetch, ..clicks() }, "is not a JSON pointer");
    }
    let headers: [(&[(&str, &str)], &str); 8] = [
        (&[("X Y", "1")], "`X Y` is not the name of a header"),
        (&[("", "1")], "`` is not the name of a header"),
        (&[("Host", "other.example")], "`Host` is set by the request itself"),
        (&[("X-Key", "a"), ("x-key", "b")], "`x-key` is there twice"),
        (&[("X-Key", "a\r\nX-Other: b")], "more than visible ASCII"),
        (&[("X-Key", "env:")], "names no environment variable"),
        (&[("X-Key", "env:A-B")], "names no environment variable"),
        (&[("X-Key", LONG_VALUE.as_str())], "longer than 4096 bytes"),
    ];
    for (headers, words) in headers {
        refuses(sending(headers), words);
    }
}

#[test]
fn good_fetches_are_taken() {
    for url in [GOOD, "http://127.0.0.1:8080/score?user={user_id}&again={user_id}", "http://[::1]:80?u={user_id}"] {
        checked(with(fetched(url)));
    }
    checked(with(sending(&[("Authorization", "env:SCORES_TOKEN"), ("Accept", "application/json; q=1")])));
}

fn fetched(url: &str) -> DirectFeature {
    let fetch = Fetch { url: url.into(), field: "/score".into(), headers: vec![] };
    DirectFeature { fetch: Some(fetch), ..clicks() }
}

fn named(name: &str) -> DirectFeature {
    DirectFeature { name: name.into(), ..clicks() }
}

fn in_namespace(namespace: &str) -> DirectFeature {
    DirectFeature { about: About { namespace: namespace.into(), ..About::default() }, ..clicks() }
}

fn timed_out(micros: i64) -> DirectFeature {
    DirectFeature { timeout: Some(Duration::from_micros(micros)), ..clicks() }
}

fn sending(headers: &[(&str, &str)]) -> DirectFeature {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let fetch = fetched(GOOD).fetch.map(|fetch| Fetch { headers, ..fetch });
    DirectFeature { fetch, ..clicks() }
}

fn refuses(feature: DirectFeature, words: &str) {
    let problems = refused(with(feature));
    let said = problems.iter().any(|problem| problem.object == CLICKS && problem.to_string().contains(words));
    assert!(said, "{words:?} is not in\n{problems:#?}");
}
