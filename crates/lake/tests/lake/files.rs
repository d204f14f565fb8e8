//! The columns and rows of files as they lie about.

use arrow::array::{Array, RecordBatch};
use std::path::Path;
use tempfile::TempDir;
use thalweg_lake::{infer_schema, read_file};

fn inferred(path: &Path) -> Vec<(String, String, bool)> {
    let columns = infer_schema(path).unwrap();
    columns.into_iter().map(|column| (column.name, column.data_type.to_string(), column.required)).collect()
}

#[test]
fn files_show_their_columns() {
    let directory = TempDir::new().unwrap();
    let csv = directory.path().join("flights.csv");
    std::fs::write(&csv, "carrier,delay,at\nUA,2,2013-01-01T10:00:00Z\nAA,NA,2013-01-01T11:00:00.5Z\n").unwrap();
    let own = |name: &str, data_type: &str, required| (name.to_owned(), data_type.to_owned(), required);
    let expected = vec![own("carrier", "string", false), own("delay", "int64", false), own("at", "timestamp", false)];
    assert_eq!(inferred(&csv), expected);
    let batches: Vec<RecordBatch> = read_file(&csv, 10).unwrap().map(|batch| batch.unwrap()).collect();
    assert_eq!(batches[0].column(1).null_count(), 1);

    let json = directory.path().join("events.ndjson");
    let lines =
        "{\"id\":1,\"at\":\"2013-01-01T10:00:00Z\",\"v\":1}\n{\"id\":2,\"at\":null,\"v\":1.5,\"tags\":[\"x\"]}\n";
    std::fs::write(&json, lines).unwrap();
    let expected = vec![
        own("id", "int64", true),
        own("at", "timestamp", false),
        own("v", "float64", true),
        own("tags", "list<string>", false),
    ];
    assert_eq!(inferred(&json), expected);
    assert!(infer_schema(Path::new("events.xlsx")).is_err());
}
