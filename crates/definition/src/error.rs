//! What is wrong with a definition: which object, where it was written, the rule it breaks, and the mend.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The path of the object, such as `view:orders.total` or `source:clicks.at`.
    pub object: String,
    /// Where the object was written (`features.py:12`), where that is known.
    pub origin: Option<String>,
    pub rule: String,
    pub mend: String,
}

/// Everything that is wrong with a manifest; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct DefinitionError(pub Vec<Problem>);

impl Problem {
    pub fn new(object: impl Into<String>, rule: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { object: object.into(), origin: None, rule: rule.into(), mend: mend.into() }
    }

    /// With the place where the object was written: its own, or that of the object it belongs to.
    pub fn located(mut self, origins: &BTreeMap<String, String>) -> Self {
        let owner = self.object.split('.').next().unwrap_or_default();
        self.origin = origins.get(&self.object).or_else(|| origins.get(owner)).cloned();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}: {}; {}", self.object, self.rule, self.mend)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
