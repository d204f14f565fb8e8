//! What is behind a feature, and a manifest as a key of some namespaces sees it: what is theirs, and of the rest what
//! requests for that are written with.

use std::collections::BTreeSet;
use thalweg_definition::{About, CheckedManifest, FeatureView, Manifest, OnDemandFeature};

/// What features are computed from, themselves included.
pub struct Behind<'a> {
    pub views: Vec<&'a FeatureView>,
    pub on_demand: Vec<&'a OnDemandFeature>,
}

impl<'a> Behind<'a> {
    /// Of features by their references; those that are not there are passed over.
    pub fn of(checked: &'a CheckedManifest, features: Vec<&str>) -> Self {
        let manifest = &checked.manifest;
        let mut left: Vec<&str> = features;
        let mut seen = BTreeSet::new();
        let mut behind = Self { views: Vec::new(), on_demand: Vec::new() };
        while let Some(reference) = left.pop() {
            if let Some((view, _)) = reference.split_once('.') {
                behind.views.extend(manifest.view(view));
                continue;
            }
            let at = manifest.on_demand.iter().position(|feature| feature.name == reference);
            if let Some(at) = at.filter(|at| seen.insert(*at)) {
                behind.on_demand.push(&manifest.on_demand[at]);
                left.extend(checked.on_demand[at].references.iter().map(String::as_str));
            }
        }
        behind
    }

    /// Whose they are; names come several times where several are of one namespace.
    pub fn namespaces(&self) -> Vec<&'a str> {
        let views = self.views.iter().map(|view| view.about.namespace());
        views.chain(self.on_demand.iter().map(|feature| feature.about.namespace())).collect()
    }
}

/// The part of a manifest that is shown to whoever reaches only some namespaces: the objects in them, and, so that
/// requests for their services and features can be written, the entities and on-demand features behind those.
pub fn visible(checked: &CheckedManifest, reaches: impl Fn(&str) -> bool) -> Manifest {
    let all = &checked.manifest;
    let own = |about: &About| reaches(about.namespace());
    let services = all.services.iter().filter(|service| own(&service.about));
    let mut asked: Vec<&str> = services.flat_map(|service| &service.features).map(String::as_str).collect();
    asked.extend(all.on_demand.iter().filter(|feature| own(&feature.about)).map(|feature| feature.name.as_str()));
    let behind = Behind::of(checked, asked);
    let views = all.views.iter().filter(|view| own(&view.about)).chain(behind.views);
    let entities: BTreeSet<&str> = views.map(|view| view.entity.as_str()).collect();
    let on_demand: BTreeSet<&str> = behind.on_demand.iter().map(|feature| feature.name.as_str()).collect();
    Manifest {
        project: all.project.clone(),
        entities: kept(&all.entities, |entity| own(&entity.about) || entities.contains(entity.name.as_str())),
        sources: kept(&all.sources, |source| own(&source.about)),
        views: kept(&all.views, |view| own(&view.about)),
        on_demand: kept(&all.on_demand, |feature| on_demand.contains(feature.name.as_str())),
        services: kept(&all.services, |service| own(&service.about)),
        training_sets: kept(&all.training_sets, |set| own(&set.about)),
        direct: kept(&all.direct, |feature| own(&feature.about)),
    }
}

fn kept<T: Clone>(all: &[T], keep: impl Fn(&T) -> bool) -> Vec<T> {
    all.iter().filter(|one| keep(one)).cloned().collect()
}
