//! Definitions as data: which are refused and with what words, and what a plan says of a change.

mod direct;
mod steps;
mod support;

use std::collections::BTreeMap;
use support::{Names, base, checked, column, feature, refused};
use thalweg_definition::{
    Aggregation, AsOf, Consequence, DataType, Dedup, Derived, Duration, FeatureService, Literal, Manifest,
    OnDemandFeature, SourceKind, TrainingSet, Window, parse_literal, parse_literal_ok, plan, validate, view_state_key,
};

fn days(n: i64) -> Duration {
    Duration::from_micros(n * thalweg_definition::DAY)
}

fn over(n: i64) -> Window {
    Window::Sliding { over: days(n), hop: None }
}

#[test]
fn the_base_is_accepted_with_its_types() {
    let checked = checked(base());
    let outputs: Vec<String> = checked.outputs().iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
    assert_eq!(
        outputs,
        ["orders.total_7d: float64", "orders.total_30d: float64", "orders.seen: int64", "ratio: float64"]
    );
    assert_eq!(checked.output_type("orders.seen"), Some(&DataType::Int64));
    assert_eq!(checked.output_type("ratio"), Some(&DataType::Float64));
    assert_eq!(checked.output_type("orders.nothing"), None);
    assert_eq!(checked.views[0].derived_types, [DataType::Float64]);
}

/// A change to the base, the object that is refused for it, and what the refusal says.
type Case = (fn(&mut Manifest), &'static str, &'static str);

#[test]
fn each_rule_of_names_entities_and_sources_is_refused_in_words() {
    let cases: [Case; 20] = [
        (|m| m.views[0].name = "7up".into(), "view:7up", "is not an identifier"),
        (|m| m.views[0].name = "__v".into(), "view:__v", "begins with `__`"),
        (|m| m.services[0].name = "request".into(), "service:request", "reserved"),
        (|m| m.sources.push(m.sources[0].clone()), "source:clicks", "declared twice"),
        (
            |m| m.entities[0].about.namespace = "my shop".into(),
            "entity:user",
            "namespace `my shop` is not an identifier",
        ),
        (
            |m| m.services[0].about.namespace = "__shop".into(),
            "service:shop",
            "namespace `__shop` is not an identifier",
        ),
        (|m| m.entities[0].keys.clear(), "entity:user", "at least one key"),
        (|m| m.entities[0].keys[0].data_type = DataType::Vector(3), "entity:user.user_id", "must be a plain value"),
        (|m| m.entities[0].keys[0].data_type = DataType::Int32, "view:orders", "is int32, and the column in source"),
        (|m| m.entities[0].keys[0].name = "user".into(), "view:orders", "is not a column of source `clicks`"),
        (|m| m.views[0].entity = "usr".into(), "view:orders", "did you mean `user`?"),
        (|m| m.views[0].sources = vec!["click".into()], "view:orders", "did you mean `clicks`?"),
        (|m| m.sources[0].timestamp = "amount".into(), "source:clicks.amount", "must be a column of type timestamp"),
        (|m| m.sources[0].timestamp = "att".into(), "source:clicks", "did you mean `at`?"),
        (|m| m.sources[0].filter = Some("amount".into()), "source:clicks", "must be bool, and is float64"),
        (|m| m.sources[0].columns[2].min = Some("low".into()), "source:clicks.amount", "is not a float64"),
        (
            |m| {
                m.sources[0].columns[2].min = Some("2".into());
                m.sources[0].columns[2].max = Some("1".into());
            },
            "source:clicks.amount",
            "above `max`",
        ),
        (
            |m| m.sources[0].dedup = Some(Dedup { key: vec!["idd".into()], within: days(1) }),
            "source:clicks",
            "the dedup key names the unknown column `idd`",
        ),
        (
            |m| m.sources[0].dedup = Some(Dedup { key: vec!["user_id".into()], within: Duration::default() }),
            "source:clicks",
            "within no time",
        ),
        (
            |m| {
                m.sources[0].kind =
                    SourceKind::Change { primary_key: vec!["user_id".into()], operation: "amount".into() };
            },
            "source:clicks.amount",
            "must be a string",
        ),
    ];
    run(&cases);
}

#[test]
fn each_rule_of_views_and_features_is_refused_in_words() {
    let cases: [Case; 19] = [
        (|m| m.views[0].filter = Some("amount".into()), "view:orders", "must be bool"),
        (|m| m.views[0].features[0].input = Some("amont".into()), "view:orders.total", "did you mean `amount`?"),
        (|m| m.views[0].features[0].input = Some("user_id".into()), "view:orders.total", "takes a number, not string"),
        (|m| m.views[0].features[0].filter = Some("amount".into()), "view:orders.total", "must be bool"),
        (|m| m.views[0].features[0].windows.clear(), "view:orders.total", "at least one window"),
        (|m| m.views[0].features[0].windows.push(over(7)), "view:orders.total", "declared twice"),
        (|m| m.views[0].features[0].windows = vec![over(0)], "view:orders.total", "is empty"),
        (
            |m| m.views[0].features[0].windows = vec![Window::Sliding { over: days(1), hop: Some(days(2)) }],
            "view:orders.total",
            "does not fit",
        ),
        (|m| m.views[0].features[1].name = "total_7d".into(), "view:orders.total_7d", "also one of feature `total`"),
        (|m| m.views[0].declared_retention = Some(days(7)), "view:orders.total", "reaches 30d back"),
        (|m| m.sources[0].retention = Some(days(60)), "view:orders.seen", "the window has no end"),
        (|m| m.views[0].staleness = Some(Duration::default()), "view:orders", "the staleness is zero"),
        (|m| m.views[0].time_zone = Some("Mars/Base".into()), "view:orders", "unknown time zone"),
        (
            |m| m.views[0].features[0].aggregation = Aggregation::TopK { k: 0 },
            "view:orders.total",
            "use 1 <= k <= 10000",
        ),
        (
            |m| {
                m.views[0].features[0].aggregation =
                    Aggregation::ApproxQuantile { quantile: 1.5, relative_error: 0.01 };
            },
            "view:orders.total",
            "quantile = 1.5",
        ),
        (
            |m| m.views[0].features[0].aggregation = Aggregation::ApproxDistinct { lg_k: 30 },
            "view:orders.total",
            "use 4 <= lg_k <= 18",
        ),
        (
            |m| {
                let operation = "user_id".to_owned();
                m.sources[0].kind = SourceKind::Change { primary_key: vec!["user_id".into()], operation };
                m.views[0].features[0].aggregation = Aggregation::ApproxDistinct { lg_k: 12 };
            },
            "view:orders.total",
            "cannot take back the rows",
        ),
        (
            |m| m.views[0].derived.push(Derived { name: "amount".into(), expression: "amount".into() }),
            "view:orders.amount",
            "has the name of a column",
        ),
        (
            |m| {
                let mut other = m.sources[0].clone();
                other.name = "taps".into();
                other.columns[2].data_type = DataType::Int64;
                m.sources.push(other);
                m.views[0].sources.push("taps".into());
            },
            "view:orders",
            "column `amount` is float64 in source `clicks` and int64 in source `taps`",
        ),
    ];
    run(&cases);
}

#[test]
fn each_rule_of_on_demand_features_and_services_is_refused_in_words() {
    let cases: [Case; 9] = [
        (|m| m.on_demand[0].expression = "request.y".into(), "on_demand:ratio", "did you mean `request.x`?"),
        (|m| m.on_demand[0].expression = "orders.totals_7d".into(), "on_demand:ratio", "`orders.total_7d`?"),
        (
            |m| {
                m.on_demand[0].expression = "other".into();
                m.on_demand.push(on_demand("other", "ratio", DataType::Int64));
            },
            "on_demand:ratio",
            "ratio -> other -> ratio",
        ),
        (
            |m| {
                m.on_demand.push(on_demand("other", "request.x", DataType::Int64));
                m.services[0].features.push("other".into());
            },
            "service:shop",
            "request column `x` is",
        ),
        (|m| m.services[0].features.clear(), "service:shop", "at least one feature"),
        (|m| m.services[0].features.push("ratio".into()), "service:shop", "is named twice"),
        (|m| m.services[0].features.push("orders.see".into()), "service:shop", "did you mean `orders.seen`?"),
        (|m| m.services[0].log_sample = f64::NAN, "service:shop", "use a share from 0 to 1"),
        (
            |m| {
                m.training_sets.push(TrainingSet {
                    name: "t".into(),
                    service: "shopp".into(),
                    as_of: AsOf::EventTime,
                    spine: "labels.parquet".into(),
                    timestamp: "at".into(),
                    about: Default::default(),
                });
            },
            "training_set:t",
            "did you mean `shop`?",
        ),
    ];
    run(&cases);
}

#[test]
fn problems_are_collected_and_say_where_they_stand() {
    let mut manifest = base();
    manifest.views[0].entity = "usr".into();
    manifest.views[0].features[0].input = Some("amont".into());
    let origins = BTreeMap::from([("view:orders".to_owned(), "features.py:7".to_owned())]);
    let error = validate(manifest, &origins, &Names).unwrap_err();
    assert_eq!(
        error.to_string(),
        "features.py:7: view:orders: unknown entity `usr`; did you mean `user`?\n\
         features.py:7: view:orders.total: the input `amont` names the unknown column `amont`; did you mean `amount`?"
    );
}

#[test]
fn by_yields_a_map() {
    let mut manifest = base();
    manifest.views[0].features[1].by = Some("user_id".into());
    let checked = checked(manifest);
    assert_eq!(checked.output_type("orders.seen").unwrap().to_string(), "map<string,int64>");
}

#[test]
fn types_and_durations_read_as_they_are_written() {
    for text in ["bool", "decimal(10,2)", "list<decimal(38,0)>", "vector<float32,8>", "timestamp"] {
        assert_eq!(text.parse::<DataType>().unwrap().to_string(), text);
    }
    for (text, canonical) in [("2w", "14d"), ("90s", "1m30s"), ("1h30m", "1h30m"), ("500ms", "500ms"), ("24h", "1d")] {
        assert_eq!(text.parse::<Duration>().unwrap().to_string(), canonical);
    }
    for text in ["", "7", "d", "-1d", "7 days", "9999999999w"] {
        assert!(text.parse::<Duration>().is_err(), "{text}");
    }
}

/// The parser of types went down one level for each `list<`, so that a manifest of 120 KB overflowed the stack and ended
/// the process.
#[test]
fn a_type_of_lists_in_lists_is_refused_however_deep_it_is() {
    let rule = "a list holds plain values, not lists, maps or vectors";
    for depth in [2, 3, 20_000] {
        let text = format!("{}int64{}", "list<".repeat(depth), ">".repeat(depth));
        let reason = text.parse::<DataType>().expect_err("lists hold plain values");
        assert!(reason.contains(rule), "{depth}: {reason}");
        assert!(reason.len() < 200, "{depth}: a reason of {} bytes", reason.len());
    }
    assert!("list<vector<float32,2>>".parse::<DataType>().expect_err("a vector in a list").contains(rule));
    assert!("list<map<string,int64>>".parse::<DataType>().expect_err("a map in a list").contains("is not a type"));
    assert_eq!("list< int64 >".parse::<DataType>().expect("spaces do not matter").to_string(), "list<int64>");
}

#[test]
fn literals_are_values_of_their_type() {
    let cases = [
        ("int32", "2147483647", true),
        ("int32", "2147483648", false),
        ("float64", "1e300", true),
        ("float64", "NaN", false),
        ("decimal(4,2)", "-12.34", true),
        ("decimal(4,2)", "123.4", false),
        ("decimal(4,2)", "1.234", false),
        ("decimal(4,2)", "0001.2", true),
        ("bool", "true", true),
        ("bool", "1", false),
        ("date", "2024-02-29", true),
        ("date", "2023-02-29", false),
        ("timestamp", "2024-05-01T12:00:00Z", true),
        ("timestamp", "2024-05-01", true),
        ("timestamp", "noon", false),
        ("bytes", "AAEC", true),
        ("bytes", "AAE", false),
        ("list<int64>", "1", false),
    ];
    for (data_type, literal, expected) in cases {
        assert_eq!(parse_literal_ok(&data_type.parse().unwrap(), literal), expected, "{data_type} {literal}");
    }
    // What is taken is read: validation and the engine had a parser each.
    let read = |text: &str, data_type: &str| parse_literal(text, &data_type.parse().unwrap());
    assert_eq!(read("-0012.30", "decimal(6,2)"), Ok(Literal::Decimal(-1230)));
    assert_eq!(read(".5", "decimal(38,38)"), Ok(Literal::Decimal(5 * 10i128.pow(37))));
    assert_eq!(read("0", "decimal(3,0)"), Ok(Literal::Decimal(0)));
    assert_eq!(read("AAEC", "bytes"), Ok(Literal::Bytes(vec![0, 1, 2])));
    assert_eq!(read("1970-01-02", "date"), Ok(Literal::Int(1)));
    assert_eq!(read("+10000-01-01T00:00:00.000001Z", "timestamp"), Ok(Literal::Int(253_402_300_800_000_001)));
    assert_eq!(read("1e39", "float32"), Err("`1e39` is not a float32".to_owned()));
    // Validation took a decimal of any number of zeros in front, which nobody could read later.
    assert!(!parse_literal_ok(&DataType::Decimal(10, 2), &format!("{}1", "0".repeat(80))));
}

#[test]
fn a_first_plan_creates_everything_and_a_second_nothing() {
    let new = checked(base());
    let first = plan(None, &new, &Names);
    let objects: Vec<&str> = first.changes.iter().map(|change| change.object.as_str()).collect();
    assert_eq!(objects, ["entity:user", "source:clicks", "view:orders", "on_demand:ratio", "service:shop"]);
    assert_eq!(first.changes[2].consequences, [Consequence::BuildState { view: "orders".into() }]);
    assert!(!first.is_breaking());
    assert!(first.text().ends_with("plan: 5 to create, 0 to update, 0 to delete\n"));
    assert!(plan(Some(&new), &new, &Names).is_empty());
}

/// A change to the base, whether it breaks readers, and lines of the plan.
type PlanCase = (fn(&mut Manifest), bool, &'static [&'static str]);

#[test]
fn a_plan_tells_what_follows_from_a_change() {
    let cases: [PlanCase; 10] = [
        (|m| m.views[0].about.owner = "shop".into(), false, &["owner: none -> shop", "> no effect on values"]),
        (|m| m.views[0].about.namespace = "web".into(), false, &["namespace: none -> web", "> no effect on values"]),
        (|m| m.views[0].freshness = Some(days(1)), false, &["freshness: none -> 1d", "> no effect on values"]),
        (
            |m| m.views[0].features[0].filter = Some("large".into()),
            true,
            &[
                "> builds the online state of view `orders` again",
                "! feature `orders.total_7d` changes its meaning: where: none -> large",
                "~ on_demand:ratio",
                "! feature `ratio` changes its meaning: `orders.total_7d` changes its meaning",
            ],
        ),
        (
            |m| {
                m.views[0].features[0].windows.pop();
            },
            true,
            &["! feature `orders.total_30d` can no longer be read here"],
        ),
        (
            |m| m.sources[0].filter = Some("large".into()),
            true,
            &["~ view:orders", "! feature `orders.seen` changes its meaning: filter of source clicks: none -> large"],
        ),
        (
            |m| m.views[0].derived[0].expression = "user_id".into(),
            false,
            &["derived scaled: amount -> user_id", "> no effect on values"],
        ),
        (
            |m| m.sources[0].columns.push(column("page", DataType::String)),
            false,
            &["> history of source `clicks` gains the column `page`"],
        ),
        (
            |m| {
                m.sources[0].columns.pop();
            },
            true,
            &["! history of source `clicks` no longer receives the column `large`"],
        ),
        (
            |m| {
                m.services[0].features.remove(0);
            },
            true,
            &["features: orders.total_7d, ratio -> ratio", "! feature `orders.total_7d` can no longer be read here"],
        ),
    ];
    let old = checked(base());
    for (change, breaking, lines) in cases {
        let mut manifest = base();
        change(&mut manifest);
        let plan = plan(Some(&old), &checked(manifest), &Names);
        let text = plan.text();
        for line in lines {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert_eq!(plan.is_breaking(), breaking, "{text}");
    }
}

#[test]
fn a_time_zone_matters_to_windows_of_whole_days_only() {
    let zoned = |window: Window| {
        let mut manifest = base();
        manifest.views[0].features[0].windows = vec![window];
        manifest.on_demand.clear();
        manifest.services.clear();
        let old = checked(manifest.clone());
        manifest.views[0].time_zone = Some("Europe/Amsterdam".into());
        plan(Some(&old), &checked(manifest), &Names).is_breaking()
    };
    assert!(zoned(Window::Tumbling { over: days(1) }));
    assert!(!zoned(Window::Tumbling { over: "1h".parse().unwrap() }));
    assert!(!zoned(over(7)));
}

#[test]
fn the_state_key_moves_with_the_state_alone() {
    fn key(change: fn(&mut Manifest)) -> String {
        let mut manifest = base();
        change(&mut manifest);
        view_state_key(&manifest, &manifest.views[0], &Names)
    }
    let unchanged = key(|_| {});
    assert_eq!(unchanged.len(), 64);
    assert_eq!(key(|m| m.views[0].about.owner = "shop".into()), unchanged);
    assert_eq!(key(|m| m.views[0].about.namespace = "shop".into()), unchanged);
    assert_eq!(key(|m| m.sources[0].about.namespace = "shop".into()), unchanged);
    assert_eq!(key(|m| m.views[0].staleness = Some(days(1))), unchanged);
    assert_eq!(key(|m| m.sources[0].columns.push(column("page", DataType::String))), unchanged);
    assert_ne!(key(|m| m.views[0].features[0].windows.push(over(90))), unchanged);
    assert_ne!(key(|m| m.views[0].features[0].name = "sum".into()), unchanged);
    assert_ne!(key(|m| m.sources[0].columns[2].data_type = DataType::Int64), unchanged);
    assert_ne!(key(|m| m.views[0].keep_nan = true), unchanged);
}

#[test]
fn on_demand_features_come_after_what_they_need() {
    let mut manifest = base();
    manifest.on_demand.insert(0, on_demand("again", "ratio", DataType::Float64));
    let checked = checked(manifest);
    assert_eq!(checked.on_demand_order, [1, 0]);
    assert_eq!(checked.on_demand[0].references, ["ratio"]);
}

/// On-demand features are followed down their chains; one of many thousands overflowed the stack.
#[test]
fn a_chain_of_on_demand_features_has_an_end() {
    let chain = |many: usize, name: fn(usize, usize) -> String| {
        let mut manifest = base();
        for at in 0..many {
            let expression = if at == 0 { "request.x".to_owned() } else { name(at - 1, many) };
            manifest.on_demand.push(on_demand(&name(at, many), &expression, DataType::Float64));
        }
        manifest
    };
    // Walked from either end.
    let names: [fn(usize, usize) -> String; 2] = [|at, _| format!("f{at:06}"), |at, many| format!("f{:06}", many - at)];
    for name in names {
        for reversed in [false, true] {
            let in_order = |many: usize| {
                let mut manifest = chain(many, name);
                if reversed {
                    manifest.on_demand.reverse();
                }
                manifest
            };
            checked(in_order(64));
            for many in [65, 2_000] {
                let problems = refused(in_order(many));
                let rule = "a chain of more than 64 on-demand features";
                assert!(problems.iter().any(|problem| problem.rule.contains(rule)), "{many}: {problems:#?}");
            }
        }
    }
}

#[test]
fn a_service_that_goes_takes_its_features_from_its_readers() {
    let old = checked(base());
    let mut manifest = base();
    manifest.services = vec![FeatureService { name: "other".into(), ..manifest.services[0].clone() }];
    let plan = plan(Some(&old), &checked(manifest), &Names);
    assert!(plan.is_breaking());
    assert!(plan.text().contains("- service:shop"));
}

#[test]
fn only_count_goes_without_an_input() {
    let mut manifest = base();
    manifest.views[0].features.push(feature("mean", Aggregation::Mean, None));
    assert!(refused(manifest).iter().any(|problem| problem.rule.contains("needs an input")));
}

fn on_demand(name: &str, expression: &str, request: DataType) -> OnDemandFeature {
    OnDemandFeature {
        name: name.into(),
        expression: expression.into(),
        request: vec![column("x", request)],
        about: Default::default(),
    }
}

/// Each change must be refused at the object, with the words in the rule or the mend.
fn run(cases: &[Case]) {
    for (change, object, words) in cases {
        let mut manifest = base();
        change(&mut manifest);
        let problems = refused(manifest);
        let found = problems
            .iter()
            .any(|problem| problem.object == *object && format!("{}; {}", problem.rule, problem.mend).contains(words));
        assert!(found, "{object}: {words:?} is not in\n{problems:#?}");
    }
}
