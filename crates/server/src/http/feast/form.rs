//! The fields of a request's body, read as Feast's server reads them: unknown ones are passed over, and everything that
//! is wrong is said at once, in the form of FastAPI's `detail`. Values stay as text until their types are known.

use super::errors::Refused;
use super::limits::{MAX_ECHO_BYTES, MAX_FAULTS};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use std::fmt;

/// The members of a JSON object, in their order.
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Members<'a> {
    /// Of several with one name it is the last that counts.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// A body whose fields are taken one by one; [`Form::done`] says what was wrong with them.
pub struct Form<'a> {
    body: &'a [u8],
    members: Members<'a>,
    faults: Vec<Json>,
}

impl<'a> Form<'a> {
    /// Takes a body apart.
    pub fn read(body: &'a [u8]) -> Result<Self, Refused> {
        if body.trim_ascii().is_empty() {
            return Err(Refused::fields(vec![fault("missing", &["body".into()], "Field required", Json::Null)]));
        }
        let members = serde_json::from_slice(body).map_err(|error| unreadable(body, &error))?;
        Ok(Self { body, members, faults: Vec::new() })
    }

    /// Says what was wrong with the fields that were taken.
    pub fn done(self) -> Result<(), Refused> {
        if self.faults.is_empty() { Ok(()) } else { Err(Refused::fields(self.faults)) }
    }

    /// Text that must be there.
    pub fn text(&mut self, name: &str) -> String {
        match self.members.get(name) {
            Some(value) => self.text_of(&["body".into(), name.into()], value),
            None => self.missing(name),
        }
    }

    /// Text, or what stands for it when it is left out.
    pub fn text_or(&mut self, name: &str, default: &str) -> String {
        match self.members.get(name) {
            Some(value) => self.text_of(&["body".into(), name.into()], value),
            None => default.to_owned(),
        }
    }

    /// Text that may be left out, or null.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        let value = self.members.get(name).filter(|value| value.get() != "null")?;
        Some(self.text_of(&["body".into(), name.into()], value))
    }

    /// A list of text; left out, it is empty.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.members.get(name) else { return Vec::new() };
        if let Ok(texts) = serde_json::from_str(value.get()) {
            return texts;
        }
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(items) => {
                let place = |index: usize| -> [Json; 3] { ["body".into(), name.into(), index.into()] };
                items.into_iter().enumerate().map(|(index, item)| self.text_of(&place(index), item)).collect()
            }
            Err(_) => {
                self.fault("list_type", &["body".into(), name.into()], "Input should be a valid list", value);
                Vec::new()
            }
        }
    }

    /// True or false, in any of the ways in which Feast's server takes it.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = self.members.get(name) else { return default };
        match value.get().trim_matches('"').to_ascii_lowercase().as_str() {
            "true" | "1" | "1.0" | "on" | "t" | "y" | "yes" => true,
            "false" | "0" | "0.0" | "off" | "f" | "n" | "no" => false,
            _ => {
                let why = "Input should be a valid boolean, unable to interpret input";
                self.fault("bool_parsing", &["body".into(), name.into()], why, value);
                default
            }
        }
    }

    /// An object that must be there: its members.
    pub fn members(&mut self, name: &str) -> Members<'a> {
        let Some(value) = self.members.get(name) else { return Members(self.missing(name)) };
        serde_json::from_str(value.get()).unwrap_or_else(|_| {
            self.fault("dict_type", &["body".into(), name.into()], "Input should be a valid dictionary", value);
            Members(Vec::new())
        })
    }

    /// An object of lists that must be there.
    pub fn lists(&mut self, name: &str) -> Members<'a> {
        let members = self.members(name);
        for (own, value) in members.0.iter().filter(|(_, value)| !value.get().starts_with('[')) {
            let place: [Json; 3] = ["body".into(), name.into(), own.as_str().into()];
            self.fault("list_type", &place, "Input should be a valid list", value);
        }
        members
    }

    fn text_of(&mut self, place: &[Json], value: &RawValue) -> String {
        serde_json::from_str(value.get()).unwrap_or_else(|_| {
            self.fault("string_type", place, "Input should be a valid string", value);
            String::new()
        })
    }

    fn missing<T: Default>(&mut self, name: &str) -> T {
        let place: [Json; 2] = ["body".into(), name.into()];
        self.faults.push(fault("missing", &place, "Field required", echo(self.body)));
        T::default()
    }

    fn fault(&mut self, kind: &str, place: &[Json], why: &str, value: &RawValue) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault(kind, place, why, echo(value.get().as_bytes())));
        }
    }
}

fn fault(kind: &str, place: &[Json], why: &str, input: Json) -> Json {
    json!({ "type": kind, "loc": place, "msg": why, "input": input })
}

/// What was sent, where it is short enough to be shown.
fn echo(value: &[u8]) -> Json {
    if value.len() > MAX_ECHO_BYTES { Json::Null } else { serde_json::from_slice(value).unwrap_or(Json::Null) }
}

fn unreadable(body: &[u8], error: &serde_json::Error) -> Refused {
    if error.classify() == Category::Data {
        let why = "Input should be a valid dictionary or object to extract fields from";
        return Refused::fields(vec![fault("model_attributes_type", &["body".into()], why, echo(body))]);
    }
    let lines = body.split(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let at = lines.map(|line| line.len() + 1).sum::<usize>() + error.column().saturating_sub(1);
    let mut fault = fault("json_invalid", &["body".into(), at.into()], "JSON decode error", json!({}));
    fault["ctx"] = json!({ "error": error.to_string() });
    Refused::fields(vec![fault])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_pydantic_does() {
        let body =
            br#"{"name": "a\"b", "to": null, "list": ["x", "y"], "df": {"b": [1], "a": 2}, "yes": "On", "no": 0}"#;
        let mut form = Form::read(body).unwrap();
        assert_eq!(form.text("name"), "a\"b");
        assert_eq!(form.optional_text("to"), None);
        assert_eq!(form.text_or("other", "online"), "online");
        assert_eq!(form.texts("list"), ["x", "y"]);
        assert!(form.texts("nothing").is_empty());
        assert!(form.flag("yes", false) && !form.flag("no", true) && form.flag("left_out", true));
        let members = form.members("df");
        let names: Vec<&str> = members.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(members.get("b").unwrap().get(), "[1]");
        assert!(form.done().is_ok());
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut form =
            Form::read(br#"{"name": 3, "list": "x", "mixed": ["x", 1], "entities": {"k": 1}, "flag": "maybe"}"#)
                .unwrap();
        form.text("name");
        form.texts("list");
        form.texts("mixed");
        form.lists("entities");
        form.flag("flag", true);
        form.members("df");
        let told: Vec<(String, Json)> = form
            .faults
            .iter()
            .map(|fault| (fault["type"].as_str().unwrap().to_owned(), fault["loc"].clone()))
            .collect();
        let expected = [
            ("string_type", json!(["body", "name"])),
            ("list_type", json!(["body", "list"])),
            ("string_type", json!(["body", "mixed", 1])),
            ("list_type", json!(["body", "entities", "k"])),
            ("bool_parsing", json!(["body", "flag"])),
            ("missing", json!(["body", "df"])),
        ];
        assert_eq!(told, expected.map(|(kind, place)| (kind.to_owned(), place)));
        assert!(form.done().is_err());
    }

    #[test]
    fn what_is_no_json_is_told_by_its_place() {
        let told = |body: &[u8]| format!("{:?}", Form::read(body).err().expect("it is refused"));
        assert!(told(b"").contains("missing"));
        assert!(told(b"[1]").contains("model_attributes_type"));
        assert!(told(b"{bad").contains("json_invalid"));
    }
}
