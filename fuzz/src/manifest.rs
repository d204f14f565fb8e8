//! Manifests from outside, as JSON and as protobuf: what is read has one canonical form, the same by both ways and when
//! it is read again; what is valid can be computed.

use prost::Message;
use std::collections::BTreeMap;
use thalweg_aggregate::{EntityState, ViewPlan};
use thalweg_definition::{Aggregation, DataType, ExpressionTypes, Manifest, validate};
use thalweg_engine::limits::TIMES;
use thalweg_wire::{compile, from_proto, parse_json, parse_request, v1};

pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok((manifest, _)) = parse_request(text) {
        stands(manifest);
    }
}

pub fn protobuf(data: &[u8]) {
    let Ok(proto) = v1::Manifest::decode(data) else { return };
    if let Ok(manifest) = from_proto(proto) {
        stands(manifest);
    }
}

fn stands(manifest: Manifest) {
    if has_odd_numbers(&manifest) {
        return;
    }
    let compiled = compile(&manifest);
    let by_json = parse_json(&compiled.json).expect("canonical JSON is read");
    let by_bytes = v1::Manifest::decode(compiled.protobuf.as_slice()).expect("canonical bytes are read");
    for (way, proto) in [("JSON", by_json), ("protobuf", by_bytes)] {
        let again = compile(&from_proto(proto).unwrap_or_else(|problems| panic!("{way}: {problems:?}")));
        assert_eq!(again.json, compiled.json, "by {way}");
        assert_eq!(again.protobuf, compiled.protobuf, "by {way}");
        assert_eq!(again.hash, compiled.hash, "by {way}");
    }
    let Ok(checked) = validate(manifest, &BTreeMap::new(), &ColumnNames) else { return };
    for (view, types) in checked.manifest.views.iter().zip(&checked.views) {
        let changes = |source: &String| checked.manifest.source(source).is_some_and(|source| source.is_change());
        let plan = ViewPlan::new(view, types, view.sources.iter().any(changes));
        for q in [*TIMES.start(), 0, *TIMES.end()] {
            assert_eq!(EntityState::default().read(&plan, q, q).len(), plan.outputs.len());
        }
    }
    let names: Vec<String> = checked.outputs().into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| checked.output_type(name).is_some()), "{names:?}");
}

/// Numbers that are no shares and no quantiles, which `validate` refuses: NaN has many forms, and of the zeros one is
/// as good as none.
fn has_odd_numbers(manifest: &Manifest) -> bool {
    let odd = |number: f64| !number.is_finite() || (number == 0.0 && number.is_sign_negative());
    let features = manifest.views.iter().flat_map(|view| &view.features);
    let mut quantiles = features.filter_map(|feature| match feature.aggregation {
        Aggregation::ApproxQuantile { quantile, relative_error } => Some((quantile, relative_error)),
        _ => None,
    });
    manifest.services.iter().any(|service| odd(service.log_sample))
        || quantiles.any(|(quantile, error)| odd(quantile) || odd(error))
}

/// Expressions that are the name of a column, which is as much of SQL as can be told here.
struct ColumnNames;

impl ExpressionTypes for ColumnNames {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        let found = columns.iter().find(|(name, _)| name == expression);
        found.map(|(_, data_type)| data_type.clone()).ok_or_else(|| "it is no column".to_owned())
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        Ok(vec![expression.to_owned()])
    }
}
