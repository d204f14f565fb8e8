//! What a service or a direct feature looks like at this door: the types of its keys, and its fields by their names.
//! Made once for each manifest, since nothing of it changes between two reads.

use crate::nearest::nearest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_definition::{DataType, Primitive};
use thalweg_engine::{Runtime, Wanted};

/// What a key's name stands for.
#[derive(Clone)]
pub enum Face {
    Service(Arc<ServiceFace>),
    Direct(Arc<DirectFace>),
}

pub struct ServiceFace {
    pub name: String,
    /// The key columns, in the order of a key's parts.
    pub keys: Vec<(String, DataType)>,
    /// The request values that on-demand features need.
    pub request: Vec<(String, DataType)>,
    /// The features' names in the order of the service.
    pub features: Vec<String>,
    /// By `view.output`, by the name of an on-demand feature, and by `output` where only one feature has it.
    fields: HashMap<String, usize>,
}

pub struct DirectFace {
    /// `namespace.name`.
    pub selector: String,
    pub keys: Vec<(String, DataType)>,
    pub primitive: Primitive,
    pub windowed: bool,
    /// The outputs of its view, by which it is known whether a read may block.
    pub wanted: Wanted,
}

/// Which side of a feature a field shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    Value,
    Status,
    /// Why there is none, where the status is `ERROR`.
    Error,
    EventTime,
}

/// The names of fields that show another side of a feature than its value.
const ASPECTS: [(&str, Aspect); 3] =
    [("__status", Aspect::Status), ("__error", Aspect::Error), ("__event_time", Aspect::EventTime)];

impl ServiceFace {
    fn of(runtime: &Runtime, name: &str) -> Option<Self> {
        let plan = &runtime.services.get(name)?.plan;
        let features: Vec<String> = plan.features.iter().map(|feature| feature.name.clone()).collect();
        let (keys, request) = (plan.keys.clone(), plan.request.clone());
        Some(Self { name: name.to_owned(), keys, request, fields: fields(&features), features })
    }

    /// Which of the features a field shows, and what of it.
    pub fn field(&self, name: &[u8]) -> Option<(usize, Aspect)> {
        let name = std::str::from_utf8(name).ok()?;
        if let Some(feature) = self.fields.get(name) {
            return Some((*feature, Aspect::Value));
        }
        let (name, aspect) = ASPECTS.iter().find_map(|(end, aspect)| Some((name.strip_suffix(end)?, *aspect)))?;
        Some((*self.fields.get(name)?, aspect))
    }
}

/// The features' places by all their names. A short name is never one that a feature has in full.
fn fields(features: &[String]) -> HashMap<String, usize> {
    let mut short: HashMap<&str, Option<usize>> = HashMap::new();
    for (index, feature) in features.iter().enumerate() {
        if let Some((_, output)) = feature.split_once('.') {
            short.entry(output).and_modify(|taken| *taken = None).or_insert(Some(index));
        }
    }
    let mut fields: HashMap<String, usize> =
        short.into_iter().filter_map(|(output, index)| Some((output.to_owned(), index?))).collect();
    fields.extend(features.iter().enumerate().map(|(index, feature)| (feature.clone(), index)));
    fields
}

impl DirectFace {
    fn of(runtime: &Runtime, selector: &str) -> Option<Self> {
        let manifest = &runtime.checked.manifest;
        let feature = manifest.direct(selector)?;
        let keys = manifest.entity(&feature.entity)?.keys.iter();
        let object = feature.object_name();
        let outputs = manifest.view(&object)?.outputs().map(|(_, _, output)| format!("{object}.{output}")).collect();
        Some(Self {
            selector: selector.to_owned(),
            keys: keys.map(|key| (key.name.clone(), key.data_type.clone())).collect(),
            primitive: feature.primitive,
            windowed: feature.is_windowed(),
            wanted: Wanted::Features(outputs),
        })
    }
}

impl Face {
    /// The name under which it is found again.
    pub fn name(&self) -> &str {
        match self {
            Self::Service(face) => &face.name,
            Self::Direct(face) => &face.selector,
        }
    }
}

/// The faces that were asked for under the manifest in force; no more than it has services and direct features.
#[derive(Default)]
pub struct Faces {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    manifest: String,
    faces: HashMap<String, Face>,
}

impl Faces {
    /// The face of a service, or of a direct feature by `namespace.name`; none where there is no such thing.
    fn get(&self, runtime: &Runtime, name: &str) -> Option<Face> {
        let mut known = self.known.lock();
        if known.manifest != runtime.hash {
            *known = Known { manifest: runtime.hash.clone(), faces: HashMap::new() };
        }
        if let Some(face) = known.faces.get(name) {
            return Some(face.clone());
        }
        let face = if name.contains('.') {
            Face::Direct(Arc::new(DirectFace::of(runtime, name)?))
        } else {
            Face::Service(Arc::new(ServiceFace::of(runtime, name)?))
        };
        known.faces.insert(name.to_owned(), face.clone());
        Some(face)
    }
}

/// Finds faces for the commands of one pipeline, under the manifest that was in force when it came. Most ask for the
/// same one.
pub struct Finder<'f> {
    faces: &'f Faces,
    runtime: Arc<Runtime>,
    recent: Option<Face>,
}

impl<'f> Finder<'f> {
    pub fn new(faces: &'f Faces, runtime: Arc<Runtime>) -> Self {
        Self { faces, runtime, recent: None }
    }

    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub fn find(&mut self, name: &[u8]) -> Option<Face> {
        if let Some(recent) = self.recent.as_ref().filter(|face| face.name().as_bytes() == name) {
            return Some(recent.clone());
        }
        let face = self.faces.get(&self.runtime, std::str::from_utf8(name).ok()?)?;
        self.recent = Some(face.clone());
        Some(face)
    }

    /// What is said of a name that nothing has.
    pub fn unknown(&self, name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        if name.contains('.') {
            return format!("there is no direct feature `{name}`: write namespace.name");
        }
        let known = self.runtime.checked.manifest.services.iter().map(|service| service.name.as_str());
        match nearest(&name, known) {
            Some(nearest) => format!("there is no service `{name}`: did you mean `{nearest}`?"),
            None => format!("there is no service `{name}`: a key is written service:key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_full_name_and_by_a_short_one_that_is_clear() {
        let features: Vec<String> = ["a.mean_7d", "b.mean_7d", "b.count_7d", "ratio"].map(str::to_owned).into();
        let face = ServiceFace {
            name: "s".to_owned(),
            keys: Vec::new(),
            request: Vec::new(),
            fields: fields(&features),
            features,
        };
        assert_eq!(face.field(b"a.mean_7d"), Some((0, Aspect::Value)));
        assert_eq!(face.field(b"count_7d"), Some((2, Aspect::Value)));
        assert_eq!(face.field(b"ratio"), Some((3, Aspect::Value)));
        assert_eq!(face.field(b"mean_7d"), None);
        assert_eq!(face.field(b"count_7d__status"), Some((2, Aspect::Status)));
        assert_eq!(face.field(b"b.mean_7d__error"), Some((1, Aspect::Error)));
        assert_eq!(face.field(b"ratio__event_time"), Some((3, Aspect::EventTime)));
        assert_eq!(face.field(b"\xff"), None);
    }
}
