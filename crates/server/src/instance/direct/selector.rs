//! Selectors: how a directly written feature, one of its aggregations or a value before the newest is named.
//!
//! ```text
//! namespace.name        the newest value; of a windowed feature, every aggregation
//! namespace.name+fn     one aggregation of a windowed feature
//! namespace.name@-n     the value n writes before the newest
//! ```

use super::limits::{MAX_LISTED, MAX_SELECTOR_BYTES};
use crate::nearest::nearest;
use thalweg_definition::{DirectFeature, Window};

/// A selector, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selector<'a> {
    /// `namespace.name`.
    pub feature: &'a str,
    pub part: Part<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    Whole,
    Aggregation(&'a str),
    /// How many writes before the newest; at least one.
    Previous(u32),
}

/// An output of the feature's view that a selector means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    pub aggregation: Option<&'static str>,
    /// Within the view.
    pub output: String,
}

impl<'a> Selector<'a> {
    /// The error says which rule is broken and how to mend it.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        if text.len() > MAX_SELECTOR_BYTES {
            return Err(format!("a selector has at most {MAX_SELECTOR_BYTES} bytes: write `namespace.name`"));
        }
        let (feature, part) = match (text.find('+'), text.find('@')) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "selector `{text}` asks for an aggregation and for a value before the newest, and a feature has \
                     either windows or previous values: write one of `+fn` and `@-n`"
                ));
            }
            (Some(at), None) => (&text[..at], Part::Aggregation(&text[at + 1..])),
            (None, Some(at)) => (&text[..at], Part::Previous(previous(text, &text[at + 1..])?)),
            (None, None) => (text, Part::Whole),
        };
        if part == Part::Aggregation("") {
            return Err(format!("selector `{text}` names no aggregation: write one after the `+`, such as `+sum`"));
        }
        match feature.split_once('.') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('.') => {
                Ok(Self { feature, part })
            }
            None if !feature.is_empty() => Err(format!(
                "selector `{text}` names no namespace: write `namespace.name`, such as `default.{feature}`"
            )),
            _ => Err(format!("selector `{text}` is not `namespace.name`: write both names, with one dot between them")),
        }
    }

    /// The outputs that are meant, of the feature that was found by its name.
    pub fn outputs(&self, feature: &DirectFeature) -> Result<Vec<Selected>, String> {
        let name = feature.selector();
        let suffix = feature.over.map(|over| Window::Sliding { over, hop: None }.suffix()).unwrap_or_default();
        let windowed = |aggregation: &'static str| Selected {
            aggregation: Some(aggregation),
            output: format!("{aggregation}{suffix}"),
        };
        match self.part {
            Part::Whole if feature.is_windowed() => {
                Ok(feature.aggregations.iter().map(|aggregation| windowed(aggregation.name())).collect())
            }
            Part::Whole => Ok(vec![Selected { aggregation: None, output: DirectFeature::VALUE.to_owned() }]),
            Part::Aggregation(wanted) if !feature.is_windowed() => Err(format!(
                "`{name}` has no windows, and so no aggregation `{wanted}`: read it as `{name}`, or declare some"
            )),
            Part::Aggregation(wanted) => {
                let names: Vec<&'static str> = feature.aggregations.iter().map(|one| one.name()).collect();
                match names.iter().copied().find(|known| *known == wanted) {
                    Some(known) => Ok(vec![windowed(known)]),
                    None => Err(format!("`{name}` has no aggregation `{wanted}`: it has {}", names.join(", "))),
                }
            }
            Part::Previous(_) if feature.is_windowed() => Err(format!(
                "`{name}` is windowed and keeps no values before the newest: read it as `{name}`, or with `+fn`"
            )),
            Part::Previous(count) if count > feature.keep_previous => Err(format!(
                "`{name}@-{count}`: it keeps {} values before the newest: declare a larger keep_previous",
                feature.keep_previous
            )),
            Part::Previous(count) => Ok(vec![Selected { aggregation: None, output: DirectFeature::previous(count) }]),
        }
    }

    /// Refuses what is no feature as a whole: that is all that can be written.
    pub fn whole(self) -> Result<Self, String> {
        match self.part {
            Part::Whole => Ok(self),
            Part::Aggregation(_) | Part::Previous(_) => {
                Err(format!("a write goes to the feature as a whole: write to `{}`", self.feature))
            }
        }
    }
}

/// How far before the newest: what stands after the `@`.
fn previous(text: &str, written: &str) -> Result<u32, String> {
    let mend = "write `@-1` for the value before the newest, `@-2` for the one before that";
    match written.strip_prefix('-').map(str::parse::<u32>) {
        Some(Ok(0)) => Err(format!("selector `{text}`: the newest value has no `@`: {mend}")),
        Some(Ok(count)) => Ok(count),
        _ => Err(format!("selector `{text}`: `@{written}` is no number of values back: {mend}")),
    }
}

/// That there is no such feature; `known` are those that the caller may see.
pub fn unknown(selector: &str, known: &[String]) -> String {
    if let Some(nearest) = nearest(selector, known.iter().map(String::as_str)) {
        return format!("there is no directly written feature `{selector}`: did you mean `{nearest}`?");
    }
    if known.is_empty() {
        return format!("there is no directly written feature `{selector}`: declare one");
    }
    let more = if known.len() > MAX_LISTED { ", ..." } else { "" };
    let listed: Vec<&str> = known.iter().take(MAX_LISTED).map(String::as_str).collect();
    format!("there is no directly written feature `{selector}`; there are: {}{more}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_taken_apart() {
        let parsed = |text| Selector::parse(text).unwrap();
        assert_eq!(parsed("users.clicks"), Selector { feature: "users.clicks", part: Part::Whole });
        assert_eq!(parsed("users.spend+sum"), Selector { feature: "users.spend", part: Part::Aggregation("sum") });
        assert_eq!(parsed("users.clicks@-2"), Selector { feature: "users.clicks", part: Part::Previous(2) });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_mend() {
        let error = |text: &str| Selector::parse(text).unwrap_err();
        assert!(error("clicks").contains("such as `default.clicks`"), "{}", error("clicks"));
        assert!(error("clicks@-1").contains("such as `default.clicks`"), "{}", error("clicks@-1"));
        for text in ["", ".", "users.", ".clicks", "a.b.c"] {
            assert!(error(text).contains("with one dot between them"), "{}", error(text));
        }
        assert!(error("users.spend+sum@-1").contains("either windows or previous values"));
        assert!(error("users.spend+").contains("such as `+sum`"));
        assert!(error("users.clicks@-0").contains("the newest value has no `@`"));
        for text in ["users.clicks@", "users.clicks@1", "users.clicks@-", "users.clicks@-x", "users.clicks@--1"] {
            assert!(error(text).contains("write `@-1`"), "{}", error(text));
        }
        assert!(error(&"x".repeat(600)).contains("at most 512 bytes"));
    }

    #[test]
    fn only_the_whole_is_written() {
        assert!(Selector::parse("a.b").unwrap().whole().is_ok());
        assert!(Selector::parse("a.b+sum").unwrap().whole().unwrap_err().contains("write to `a.b`"));
        assert!(Selector::parse("a.b@-1").unwrap().whole().is_err());
    }

    #[test]
    fn the_unknown_names_what_was_meant() {
        let known = ["users.clicks".to_owned()];
        assert!(unknown("users.click", &known).contains("did you mean `users.clicks`?"));
        assert!(unknown("shop.total", &known).contains("there are: users.clicks"));
        assert!(unknown("shop.total", &[]).contains("declare one"));
    }
}
