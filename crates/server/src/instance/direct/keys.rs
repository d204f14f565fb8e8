//! The key of one entity, from the JSON of a request to typed values and to the form by which the engine finds it.

use crate::nearest::nearest;
use arrow::array::ArrayRef;
use serde_json::Value as Json;
use thalweg_aggregate::{Value, array_from_values, encode_key};
use thalweg_definition::Entity;
use thalweg_engine::literal::from_json;

/// One value for each key column, in the entity's order; none is null.
pub fn typed(entity: &Entity, given: &[(String, Json)]) -> Result<Vec<Value>, String> {
    for (index, (name, _)) in given.iter().enumerate() {
        if !entity.keys.iter().any(|key| key.name == *name) {
            return Err(unexpected(entity, name));
        }
        if given[..index].iter().any(|(other, _)| other == name) {
            return Err(format!("`keys` has `{name}` twice: send it once"));
        }
    }
    entity
        .keys
        .iter()
        .map(|key| {
            let json = given.iter().find(|(name, _)| *name == key.name).map(|(_, json)| json);
            let json = json.ok_or_else(|| format!("`keys` lacks `{}`: send one {}", key.name, key.data_type))?;
            match from_json(json, &key.data_type) {
                Ok(Value::Null) => Err(format!("key `{}` is null: send one {}", key.name, key.data_type)),
                Ok(value) => Ok(value),
                Err(why) => Err(format!("key `{}`: {why}", key.name)),
            }
        })
        .collect()
}

fn unexpected(entity: &Entity, name: &str) -> String {
    let names: Vec<&str> = entity.keys.iter().map(|key| key.name.as_str()).collect();
    match nearest(name, names.iter().copied()) {
        Some(nearest) => format!("entity `{}` has no key `{name}`: did you mean `{nearest}`?", entity.name),
        None => format!("entity `{}` has no key `{name}`: its keys are {}", entity.name, names.join(", ")),
    }
}

/// The form in which the engine has keys.
pub fn encoded(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        encode_key(value.as_cell(), &mut out);
    }
    out
}

/// The key as columns of one row.
pub fn columns(entity: &Entity, values: &[Value]) -> Vec<(String, ArrayRef)> {
    let keys = entity.keys.iter().zip(values);
    keys.map(|(key, value)| (key.name.clone(), array_from_values(std::iter::once(value), &key.data_type))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use thalweg_definition::{About, Column, DataType};

    fn entity() -> Entity {
        let key = |name: &str, data_type| Column {
            name: name.into(),
            data_type,
            required: true,
            min: None,
            max: None,
            allowed: vec![],
            description: String::new(),
        };
        let keys = vec![key("shop", DataType::Int64), key("user", DataType::String)];
        Entity { name: "customer".into(), keys, about: About::default() }
    }

    fn given(keys: Json) -> Vec<(String, Json)> {
        keys.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn keys_are_in_the_order_of_the_entity() {
        let values = typed(&entity(), &given(json!({"user": "u1", "shop": 7}))).unwrap();
        assert_eq!(values, vec![Value::Int(7), Value::Bytes(b"u1".as_slice().into())]);
        let mut expected = 7i64.to_le_bytes().to_vec();
        expected.extend([2, 0, 0, 0]);
        expected.extend(b"u1");
        assert_eq!(encoded(&values), expected);
    }

    #[test]
    fn each_key_is_needed_once_and_of_its_type() {
        let error = |keys: Json| typed(&entity(), &given(keys)).unwrap_err();
        assert_eq!(error(json!({"shop": 7})), "`keys` lacks `user`: send one string");
        assert_eq!(error(json!({"shop": 7, "user": null})), "key `user` is null: send one string");
        assert!(error(json!({"shop": "x", "user": "u"})).starts_with("key `shop`: expected a whole number"));
        assert!(error(json!({"shop": 7, "usr": "u"})).contains("did you mean `user`?"));
        let twice = [("shop".to_owned(), json!(1)), ("shop".to_owned(), json!(2))];
        assert!(typed(&entity(), &twice).unwrap_err().contains("twice"));
    }
}
