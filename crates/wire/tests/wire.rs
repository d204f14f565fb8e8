//! The manifest through JSON, protobuf and back: nothing is lost, and the order of writing leaves no trace.

mod direct;

use std::collections::BTreeMap;
use thalweg_definition::{Aggregation, DataType, Manifest, SourceKind, Window};
use thalweg_wire::{compile, from_proto, parse_json, parse_request};

const SHOP: &str = r#"{
  "project": "shop",
  "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "string"}]}],
  "sources": [
    {
      "name": "orders", "kind": "SOURCE_KIND_CHANGE", "primary_key": ["id"], "operation": "op", "timestamp": "at",
      "columns": [
        {"name": "id", "type": "int64", "required": true},
        {"name": "amount", "type": "decimal( 10, 2 )", "min": "0"},
        {"name": "op", "type": "string"},
        {"name": "at", "type": "timestamp"}
      ]
    },
    {
      "name": "clicks", "kind": "SOURCE_KIND_EVENT", "timestamp": "at", "retention": "2w",
      "dedup": {"key": ["id"], "within": "24h"},
      "columns": [{"name": "id", "type": "int64"}, {"name": "at", "type": "timestamp"}],
      "about": {"owner": "web", "tags": ["team=web", "area=shop"]}
    }
  ],
  "views": [
    {
      "name": "spending", "entity": "user", "sources": ["orders"],
      "derived": [{"name": "double", "expression": " amount * 2 "}],
      "features": [
        {
          "name": "total", "aggregation": "sum", "input": " double ", "where": "amount > 0",
          "windows": [{"kind": "sliding", "over": "168h"}, {"kind": "tumbling", "over": "1d"}]
        },
        {"name": "top", "aggregation": "top_k", "input": "amount", "k": 3},
        {"name": "half", "aggregation": "approx_quantile", "input": "amount", "quantile": 0.5},
        {"name": "many", "aggregation": "approx_distinct", "input": "id"}
      ]
    }
  ],
  "services": [{"name": "s", "features": ["spending.total_7d"], "log_sample": 1}],
  "training_sets": [{"name": "t", "service": "s", "spine": "labels.parquet", "timestamp": "at"}]
}"#;

fn shop() -> Manifest {
    parse_request(SHOP).unwrap_or_else(|error| panic!("{error}")).0
}

#[test]
fn texts_are_read_into_types_and_defaults_filled_in() {
    let shop = shop();
    assert_eq!(shop.sources[0].name, "clicks");
    assert!(matches!(&shop.sources[1].kind, SourceKind::Change { operation, .. } if operation == "op"));
    assert_eq!(shop.sources[1].columns[1].data_type, DataType::Decimal(10, 2));
    let view = &shop.views[0];
    assert_eq!(view.derived[0].expression, "amount * 2");
    let outputs: Vec<String> = view.outputs().map(|(_, _, output)| output).collect();
    assert_eq!(outputs, ["total_7d", "total_tumbling_1d", "top", "half", "many"]);
    assert_eq!(view.features[1].windows, [Window::Unbounded]);
    assert_eq!(view.features[2].aggregation, Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.01 });
    assert_eq!(view.features[3].aggregation, Aggregation::ApproxDistinct { lg_k: 12 });
}

#[test]
fn canonical_json_reads_back_to_itself() {
    let first = compile(&shop());
    assert!(first.json.ends_with("}\n"));
    assert!(first.json.contains("\"primary_key\""), "original field names:\n{}", first.json);
    assert!(first.json.contains("\"retention\": \"14d\""), "canonical durations:\n{}", first.json);
    let again = compile(&from_proto(parse_json(&first.json).unwrap()).unwrap());
    assert_eq!(again, first);
    assert_eq!(first.hash.len(), 64);
}

#[test]
fn the_order_of_writing_leaves_no_trace() {
    let mut turned = parse_json(SHOP).unwrap();
    turned.sources.reverse();
    for source in &mut turned.sources {
        source.about.iter_mut().for_each(|about| about.tags.reverse());
    }
    let turned = compile(&from_proto(turned).unwrap());
    assert_eq!(turned.protobuf, compile(&shop()).protobuf);
    assert_eq!(turned.json, compile(&shop()).json);
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    for text in [
        r#"{"views": [{"name": "v", "windoes": []}]}"#,
        r#"{"manifest": {"views": [{"name": "v", "windoes": []}]}}"#,
        r#"{"manifest": {}, "windoes": {}}"#,
    ] {
        let error = parse_request(text).unwrap_err().to_string();
        assert!(error.contains("windoes"), "{error}");
    }
}

#[test]
fn problems_are_collected_and_located() {
    let text = r#"{
      "manifest": {
        "sources": [{"name": "s", "columns": [{"name": "c", "type": "text"}], "retention": "a while"}],
        "views": [{"name": "v", "features": [
          {"name": "f", "aggregation": "summe", "windows": [{"kind": "sliding", "over": "7"}]}
        ]}]
      },
      "origins": {"source:s": "features.py:3", "view:v.f": "features.py:9"}
    }"#;
    let problems = parse_request(text).unwrap_err().0;
    let found: Vec<(&str, Option<&str>)> =
        problems.iter().map(|problem| (problem.object.as_str(), problem.origin.as_deref())).collect();
    let (source, view) = (Some("features.py:3"), Some("features.py:9"));
    assert_eq!(found, [("source:s.c", source), ("source:s", source), ("view:v.f", view), ("view:v.f", view)]);
}

#[test]
fn origins_come_with_the_manifest() {
    let text = r#"{"manifest": {"project": "p"}, "origins": {"view:v": "features.py:1"}}"#;
    let (manifest, origins) = parse_request(text).unwrap();
    assert_eq!(manifest.project, "p");
    assert_eq!(origins, BTreeMap::from([("view:v".to_owned(), "features.py:1".to_owned())]));
}

#[test]
fn what_says_nothing_new_keeps_its_hash() {
    // Applied versions are found by their hash: a field that is added must leave no trace where it is not used.
    let text = r#"{
      "project": "shop",
      "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "string"}], "about": {"owner": "web"}}],
      "sources": [
        {
          "name": "clicks", "kind": "SOURCE_KIND_EVENT", "timestamp": "at", "retention": "2w", "filter": "id > 0",
          "dedup": {"key": ["id"], "within": "24h"},
          "columns": [
            {"name": "user_id", "type": "string"}, {"name": "id", "type": "int64"}, {"name": "at", "type": "timestamp"}
          ]
        }
      ],
      "views": [
        {
          "name": "visits", "entity": "user", "sources": ["clicks"],
          "features": [{"name": "n", "aggregation": "count", "windows": [{"kind": "sliding", "over": "7d"}]}]
        }
      ],
      "services": [{"name": "s", "features": ["visits.n_7d"], "log_sample": 0.5}]
    }"#;
    let (manifest, _) = parse_request(text).unwrap();
    let known = "f60f799729ad8d893a4c9d6cd913dd8d0ee25c48f19e66923c426bb22fa3a644";
    assert_eq!(compile(&manifest).hash, known);
}
