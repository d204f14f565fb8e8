//! Directly written features through a session. What is touched, the feature's own source and view, is in the feature's
//! namespace, so that a key for this namespace is what it takes.

use super::{Operation, Session};
use crate::access::Reach;
use crate::error::ServerError;
use crate::instance::direct::{Selector, descriptor, descriptor_of, unknown};
use crate::instance::{DirectAck, DirectAnswer, DirectDescriptor, DirectWrite};
use serde_json::Value as Json;
use thalweg_definition::DirectFeature;
use thalweg_engine::Runtime;

impl Session {
    /// The directly written features that the caller may see.
    pub fn direct_features(&self) -> Result<Vec<DirectDescriptor>, ServerError> {
        let Ok(runtime) = self.runtime() else { return Ok(Vec::new()) };
        let work = || Ok(self.visible(&runtime).map(|feature| descriptor_of(&runtime, feature)).collect());
        self.perform(Operation::Describe, "", Reach::Anywhere, |_| 0, work)
    }

    /// What the feature is that a selector names, as a whole or in part.
    pub fn direct_descriptor(&self, selector: &str) -> Result<DirectDescriptor, ServerError> {
        let runtime = self.runtime()?;
        let (object, reach) = named(&runtime, selector);
        let work = || {
            self.there(&runtime, selector)?;
            descriptor(&runtime, selector)
        };
        self.perform(Operation::Describe, &object, reach, |_| 0, work)
    }

    /// The values of a feature for one entity, now or as of a time in microseconds. Blocks where the feature is fetched
    /// from a service.
    pub fn direct_get(
        &self,
        selector: &str,
        keys: &[(String, Json)],
        as_of: Option<i64>,
    ) -> Result<DirectAnswer, ServerError> {
        Ok(self.direct_get_typed(selector, keys, as_of)?.0)
    }

    /// As [`Session::direct_get`], with the type of each value.
    pub(crate) fn direct_get_typed(
        &self,
        selector: &str,
        keys: &[(String, Json)],
        as_of: Option<i64>,
    ) -> Result<(DirectAnswer, Vec<String>), ServerError> {
        let runtime = self.runtime()?;
        let (object, reach) = named(&runtime, selector);
        let values = |(answer, _): &(DirectAnswer, Vec<String>)| answer.values.len() as u64;
        self.perform(Operation::DirectGet, &object, reach, values, || {
            self.there(&runtime, selector)?;
            self.instance.direct_get(&runtime, selector, keys, as_of)
        })
    }

    /// Writes a value of a feature for one entity; returns when it is durable and visible. Blocks, at most for the
    /// feature's timeout.
    pub fn direct_write(&self, write: DirectWrite) -> Result<DirectAck, ServerError> {
        let runtime = self.runtime()?;
        let (object, reach) = named(&runtime, &write.selector);
        self.perform(
            Operation::DirectWrite,
            &object,
            reach,
            |_| 1,
            || {
                self.there(&runtime, &write.selector)?;
                self.instance.direct_write(&runtime, &write)
            },
        )
    }

    /// Refuses a selector that names nothing, with what the caller may have meant.
    fn there(&self, runtime: &Runtime, selector: &str) -> Result<(), ServerError> {
        let feature = Selector::parse(selector).map_err(ServerError::Invalid)?.feature;
        if runtime.checked.manifest.direct(feature).is_some() {
            return Ok(());
        }
        let known: Vec<String> = self.visible(runtime).map(DirectFeature::selector).collect();
        Err(ServerError::NotFound(unknown(feature, &known)))
    }

    fn visible<'a>(&'a self, runtime: &'a Runtime) -> impl Iterator<Item = &'a DirectFeature> {
        let all = runtime.checked.manifest.direct.iter();
        all.filter(|feature| self.caller.may_reach(feature.about.namespace()))
    }
}

/// The feature's name for the record, and what a caller must reach. What is not there is refused later, by its name.
fn named<'a>(runtime: &'a Runtime, selector: &str) -> (String, Reach<'a>) {
    let feature = Selector::parse(selector).ok().and_then(|parsed| runtime.checked.manifest.direct(parsed.feature));
    match feature {
        Some(feature) => (feature.selector(), Reach::Namespace(feature.about.namespace())),
        None => (String::new(), Reach::Anywhere),
    }
}
