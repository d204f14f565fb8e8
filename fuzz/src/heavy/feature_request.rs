//! Requests for features as JSON: what is read is the same request as the same columns in a table, and is answered with
//! JSON.

use super::world::{table, with};
use arrow::array::Array;
use serde_json::Value as Json;
use thalweg_engine::FeatureRequest;
use thalweg_server::{Session, columnar_request, feature_response, parse_feature_request};

pub fn run(data: &[u8]) {
    with(|world| {
        let session = Session::embedded(&world.instance);
        let runtime = session.runtime().expect("something is defined");
        let Ok(request) = parse_feature_request(&runtime, data) else { return };
        let columns = [request.entities.clone(), request.request.clone()].concat();
        // A name that is both a key and a request value is one column of a table.
        if let Some(batch) = table(&columns) {
            let (wanted, as_of) = (request.wanted.clone(), request.as_of);
            let again = columnar_request(&runtime, wanted, as_of, (batch.schema(), vec![batch]));
            same(&request, &again.expect("the columns are those that were asked for"));
        }
        if let Ok(response) = session.read(request) {
            let text = feature_response(&response);
            let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(json["results"].as_array().map(Vec::len), Some(response.results.len()));
        }
    });
}

fn same(one: &FeatureRequest, other: &FeatureRequest) {
    let data = |request: &FeatureRequest| {
        let columns = request.entities.iter().chain(&request.request);
        columns.map(|(name, column)| (name.clone(), column.to_data())).collect::<Vec<_>>()
    };
    assert_eq!((&one.wanted, one.as_of, data(one)), (&other.wanted, other.as_of, data(other)));
}
