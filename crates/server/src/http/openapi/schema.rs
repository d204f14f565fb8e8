//! As much of JSON Schema as the document uses, for the tests that hold examples and answers against it.

use serde_json::Value as Json;
use thalweg_engine::literal::timestamp;

/// What of a value is not as a schema has it.
pub fn faults(document: &Json, schema: &Json, value: &Json) -> Vec<String> {
    let mut checker = Checker { document, faults: Vec::new() };
    checker.check(schema, value, "$");
    checker.faults
}

/// What stands in the document's place that is referred to; or the thing itself.
pub fn resolved<'a>(document: &'a Json, thing: &'a Json) -> &'a Json {
    let Some(reference) = thing["$ref"].as_str() else { return thing };
    let place = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is in another document"));
    document.pointer(place).unwrap_or_else(|| panic!("{reference} refers to nothing"))
}

struct Checker<'a> {
    document: &'a Json,
    faults: Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Json, value: &Json, place: &str) {
        let document = self.document;
        let schema = resolved(document, schema);
        let rules = schema.as_object().unwrap_or_else(|| panic!("{schema} is no schema"));
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "allOf" => items(rule).for_each(|one| self.check(one, value, place)),
                "anyOf" | "oneOf" => {
                    let fitting = items(rule).filter(|one| faults(document, one, value).is_empty()).count();
                    self.hold(fitting == 1 || fitting > 1 && keyword == "anyOf", keyword, rule, value, place);
                }
                "items" => {
                    for (index, item) in items(value).enumerate() {
                        self.check(rule, item, &format!("{place}[{index}]"));
                    }
                }
                "properties" => {
                    for (name, rule) in rule.as_object().into_iter().flatten() {
                        value.get(name).into_iter().for_each(|own| self.check(rule, own, &format!("{place}.{name}")));
                    }
                }
                "additionalProperties" => {
                    for (name, own) in value.as_object().into_iter().flatten() {
                        if schema["properties"].get(name).is_none() {
                            self.check_additional(rule, own, &format!("{place}.{name}"));
                        }
                    }
                }
                _ => self.hold(fits(keyword, rule, value), keyword, rule, value, place),
            }
        }
    }

    fn check_additional(&mut self, rule: &Json, own: &Json, place: &str) {
        match rule {
            Json::Bool(allowed) => self.hold(*allowed, "additionalProperties", rule, own, place),
            schema => self.check(schema, own, place),
        }
    }

    fn hold(&mut self, fits: bool, keyword: &str, rule: &Json, value: &Json, place: &str) {
        if !fits {
            self.faults.push(format!("{place} is {value}, against {keyword} {rule}"));
        }
    }
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

/// Whether a value keeps a rule that is about itself and not about what is in it. A keyword that is not known here is
/// a mistake in the document, or wants to be known here.
fn fits(keyword: &str, rule: &Json, value: &Json) -> bool {
    let number = |holds: fn(f64, f64) -> bool| {
        value.as_f64().is_none_or(|value| holds(value, rule.as_f64().expect("a bound is a number")))
    };
    let length = |length: Option<usize>, holds: fn(u64, u64) -> bool| {
        length.is_none_or(|length| holds(length as u64, rule.as_u64().expect("a length is a number")))
    };
    let text = value.as_str().map(|text| text.chars().count());
    let list = value.as_array().map(Vec::len);
    match keyword {
        "type" if rule.is_array() => items(rule).any(|kind| is_a(kind, value)),
        "type" => is_a(rule, value),
        "enum" => items(rule).any(|one| one == value),
        "const" => rule == value,
        "required" => !value.is_object() || items(rule).all(|name| value.get(name.as_str().expect("a name")).is_some()),
        "minimum" => number(|value, least| value >= least),
        "maximum" => number(|value, most| value <= most),
        "minLength" => length(text, |length, least| length >= least),
        "maxLength" => length(text, |length, most| length <= most),
        "minItems" => length(list, |length, least| length >= least),
        "maxItems" => length(list, |length, most| length <= most),
        "minProperties" => length(value.as_object().map(|object| object.len()), |length, least| length >= least),
        "format" if rule == "date-time" => value.as_str().is_none_or(|text| timestamp(text).is_some()),
        "format" => rule == "binary",
        "description" | "default" | "examples" | "pattern" | "contentMediaType" => true,
        other => panic!("the keyword `{other}` is not known to the tests"),
    }
}

fn is_a(kind: &Json, value: &Json) -> bool {
    match kind.as_str().expect("a type is text") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type `{other}`"),
    }
}
