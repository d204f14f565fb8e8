//! Steps, namespaces and direct features on the wire; what direct features stand for is never written out.

use std::collections::BTreeMap;
use thalweg_definition::{
    Aggregation, CheckedManifest, DataType, ExpressionTypes, Manifest, Primitive, Scalar, StepKind, validate,
};
use thalweg_wire::{compile, from_proto, parse_json, parse_request, to_proto};

const USERS: &str = r#"{
  "project": "users",
  "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "string"}]}],
  "sources": [
    {
      "name": "payments", "timestamp": "at", "about": {"namespace": "money"},
      "columns": [
        {"name": "user_id", "type": "string"}, {"name": "paid", "type": "bool"}, {"name": "at", "type": "timestamp"}
      ],
      "steps": [
        {"name": "late", "priority": 7, "validate": {"expression": " paid ", "reason": "not paid"}},
        {"name": "b", "transform": {"column": "user_id", "expression": "user_id"}},
        {"name": "a", "validate": {"expression": "paid", "reason": "not paid"}},
        {"name": "first", "priority": -3, "transform": {"column": "paid", "expression": "paid"}}
      ]
    }
  ],
  "direct_features": [
    {"name": "spend", "entity": "user", "primitive": "float", "aggregations": ["sum", "max"], "over": "60m"},
    {
      "name": "score", "entity": "user", "primitive": "float", "freshness": "1d", "staleness": "48h", "timeout": "2s",
      "fetch": {
        "url": "https://scores.example/{user_id}", "field": "/score",
        "headers": [{"name": "X-Team", "value": "web"}, {"name": "Authorization", "value": "env:TOKEN"}]
      },
      "about": {"namespace": "ads", "tags": ["b=2", "a=1"]}
    },
    {
      "name": "seen", "entity": "user", "primitive": "[string]", "keep_previous": 3,
      "about": {"namespace": "default"}
    }
  ]
}"#;

fn users() -> Manifest {
    parse_request(USERS).unwrap_or_else(|error| panic!("{error}")).0
}

/// Expressions that are one name.
struct Names;

impl ExpressionTypes for Names {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        let found = columns.iter().find(|(column, _)| column == expression);
        found.map(|(_, data_type)| data_type.clone()).ok_or_else(|| format!("no column `{expression}`"))
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        Ok(vec![expression.to_owned()])
    }
}

fn checked(manifest: Manifest) -> CheckedManifest {
    validate(manifest, &BTreeMap::new(), &Names).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn steps_and_direct_features_are_read_in_their_order() {
    let users = users();
    let steps: Vec<&str> = users.sources[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["first", "a", "b", "late"]);
    let late = StepKind::Validate { expression: "paid".into(), reason: "not paid".into() };
    assert_eq!(users.sources[0].steps[3].kind, late);

    let selectors: Vec<String> = users.direct.iter().map(|feature| feature.selector()).collect();
    assert_eq!(selectors, ["ads.score", "default.seen", "default.spend"]);
    let [score, seen, spend] = users.direct.as_slice() else { panic!("three direct features") };
    assert_eq!(score.timeout, Some("2s".parse().unwrap()));
    let fetch = score.fetch.as_ref().unwrap();
    assert_eq!(fetch.headers[0], ("Authorization".to_owned(), "env:TOKEN".to_owned()));
    assert_eq!((seen.primitive, seen.keep_previous), (Primitive { item: Scalar::String, list: true }, 3));
    assert_eq!(seen.about.namespace(), "default");
    assert_eq!(spend.aggregations, [Aggregation::Sum, Aggregation::Max]);
}

#[test]
fn the_canonical_form_reads_back_to_itself() {
    let first = compile(&users());
    assert!(first.json.contains("\"over\": \"1h\""), "canonical durations:\n{}", first.json);
    let again = compile(&from_proto(parse_json(&first.json).unwrap()).unwrap());
    assert_eq!(again, first);
    let mut turned = parse_json(USERS).unwrap();
    turned.direct_features.reverse();
    turned.sources[0].steps.reverse();
    for fetch in turned.direct_features.iter_mut().filter_map(|feature| feature.fetch.as_mut()) {
        fetch.headers.reverse();
    }
    assert_eq!(compile(&from_proto(turned).unwrap()).protobuf, first.protobuf);
}

#[test]
fn what_direct_features_stand_for_is_not_written_out() {
    let declared = users();
    let expanded = checked(declared.clone());
    assert_eq!(expanded.manifest.sources.len(), 4);
    assert_eq!(to_proto(&expanded.manifest), to_proto(&declared));
    assert_eq!(compile(&expanded.manifest).hash, compile(&declared).hash);
    // Read back and checked again, it is what it was.
    let read = from_proto(parse_json(&compile(&expanded.manifest).json).unwrap()).unwrap();
    assert_eq!(checked(read), expanded);
}

#[test]
fn what_cannot_be_read_is_refused_where_it_stands() {
    let text = r#"{
      "sources": [{"name": "s", "steps": [{"name": "nothing"}]}],
      "direct_features": [
        {"name": "a", "entity": "user", "primitive": "int64"},
        {"name": "b", "entity": "user", "primitive": "int", "aggregations": ["median"], "over": "an hour",
         "about": {"namespace": "users"}}
      ]
    }"#;
    let problems = parse_request(text).unwrap_err().0;
    let found: Vec<&str> = problems.iter().map(|problem| problem.object.as_str()).collect();
    assert_eq!(found, ["source:s.steps.nothing", "direct:default.a", "direct:users.b", "direct:users.b"]);
    assert_eq!(problems[1].rule, "`int64` is not what a direct feature can hold");
    assert_eq!(problems[2].rule, "a direct feature has no aggregation `median`");
}
