//! Data frames of Feast's pushes: what is read comes out as rows that the engine takes apart again, one for each.

use serde_json::value::RawValue;
use thalweg_definition::DataType;
use thalweg_engine::{Input, decode, source_schema};
use thalweg_server::fuzzing::{Form, Target, feast_rows};

pub fn run(data: &[u8]) {
    let Ok(mut form) = Form::read(data) else { return };
    let (_, frame) = (form.text("push_source_name"), form.members("df"));
    let _ = (form.text_or("to", "online"), form.texts("features"), form.optional_text("feature_service"));
    let _ = (form.flag("allow_registry_cache", true), form.lists("entities").0.len());
    let _ = form.done();
    let source = &crate::push::sources()[0];
    let columns: Vec<(String, DataType)> =
        source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect();
    let target = Target { source: &source.name, columns: &columns, timestamp: &source.timestamp };
    let Ok(rows) = feast_rows(&target, &frame) else { return };
    let read: Vec<&RawValue> = serde_json::from_str(&rows).unwrap_or_else(|error| panic!("{error}: {rows}"));
    let decoded = decode(source, &source_schema(source), Input::Json(rows.as_bytes())).expect("a list of rows");
    assert_eq!(decoded.read as usize, read.len());
}
