//! A manifest, made ready to run: sources with their contracts, views with their plans and states, services.

use crate::contract::Contract;
use crate::decode::source_schema;
use crate::error::EngineError;
use crate::pipeline::Pipeline;
use crate::serve::Wanted;
use crate::steps::declared_steps;
use crate::view::ViewState;
use arrow::datatypes::SchemaRef;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use thalweg_aggregate::{Expressions, FeaturePlan, Reducer, RowExpression, ViewPlan};
use thalweg_definition::{CheckedManifest, DataType, Entity, FeatureView, Source};

/// A source, ready to take rows.
pub struct SourceRuntime {
    pub definition: Source,
    pub schema: SchemaRef,
    pub columns: Vec<(String, DataType)>,
    pub contract: Contract,
    pub filter: Option<RowExpression>,
    /// Its declared steps, and the middlewares that take part in its pushes.
    pub pipeline: Pipeline,
    /// The views that read it.
    pub views: Vec<Arc<ViewRuntime>>,
}

/// A view, ready to be applied to and read.
pub struct ViewRuntime {
    pub definition: FeatureView,
    pub entity: Entity,
    pub plan: ViewPlan,
    /// By source.
    pub reducers: BTreeMap<String, Reducer>,
    pub state: Arc<ViewState>,
    pub state_key: String,
}

/// A list of features, ready to be answered.
pub struct ServiceRuntime {
    pub plan: FeaturePlan,
    pub views: Vec<ServiceView>,
    pub log_sample: f64,
    /// The middlewares that take part in its reads.
    pub pipeline: Pipeline,
}

pub struct ServiceView {
    pub view: Arc<ViewRuntime>,
    /// The view's plan with the needed outputs only.
    pub plan: ViewPlan,
    /// Which of the feature plan's keys make the entity's.
    pub keys: Vec<usize>,
}

/// Everything of one version of the manifest.
pub struct Runtime {
    pub version: u64,
    pub hash: String,
    pub checked: Arc<CheckedManifest>,
    pub sources: BTreeMap<String, Arc<SourceRuntime>>,
    pub views: BTreeMap<String, Arc<ViewRuntime>>,
    pub services: BTreeMap<String, Arc<ServiceRuntime>>,
    /// Every middleware there is, whomever it concerns.
    middlewares: Pipeline,
}

/// A view's state and the key of the definition it was built for.
pub type StateOf = (String, Arc<ViewState>);

impl Runtime {
    /// `states` has one entry per view, by name.
    pub fn new(
        version: u64,
        hash: String,
        checked: Arc<CheckedManifest>,
        states: &HashMap<String, StateOf>,
        expressions: &dyn Expressions,
        middlewares: &Pipeline,
    ) -> Result<Self, EngineError> {
        let invalid = |what: &str, name: &str| {
            let subject = format!("{what} `{name}`");
            move |why: String| EngineError::Invalid(format!("{subject}: {why}"))
        };
        let mut views = BTreeMap::new();
        for index in 0..checked.manifest.views.len() {
            let view = view_runtime(&checked, index, states, expressions)
                .map_err(invalid("view", &checked.manifest.views[index].name))?;
            views.insert(view.definition.name.clone(), Arc::new(view));
        }
        let mut sources = BTreeMap::new();
        for definition in &checked.manifest.sources {
            let source = source_runtime(definition, &views, expressions, middlewares)
                .map_err(invalid("source", &definition.name))?;
            sources.insert(definition.name.clone(), Arc::new(source));
        }
        let (services, middlewares) = (BTreeMap::new(), middlewares.clone());
        let mut runtime = Self { version, hash, checked, sources, views, services, middlewares };
        for service in &runtime.checked.manifest.services {
            let ready = runtime
                .features(&service.features, service.log_sample, expressions)
                .map_err(invalid("service", &service.name))?;
            runtime.services.insert(service.name.clone(), Arc::new(ready));
        }
        Ok(runtime)
    }

    /// Resolves a list of features.
    pub fn features(
        &self,
        features: &[String],
        log_sample: f64,
        expressions: &dyn Expressions,
    ) -> Result<ServiceRuntime, String> {
        let plan = FeaturePlan::new(&self.checked, features, expressions)?;
        let views = plan
            .views
            .iter()
            .map(|used| {
                let view = self.views[&self.checked.manifest.views[used.view].name].clone();
                let outputs: Option<Vec<usize>> = used.outputs.iter().map(|output| view.plan.output(output)).collect();
                let selected = view.plan.select(&outputs.ok_or("a checked output is in its plan")?);
                let keys = view.entity.keys.iter();
                let keys = keys.filter_map(|key| plan.keys.iter().position(|(name, _)| *name == key.name)).collect();
                Ok(ServiceView { plan: selected, keys, view })
            })
            .collect::<Result<_, String>>()?;
        let pipeline = self.middlewares.of_read(&self.checked, features);
        Ok(ServiceRuntime { plan, views, log_sample, pipeline })
    }

    /// Whether reading this may block in a middleware, on the network or on a push. A door that answers reads on a
    /// thread that must not be held up calls such a read on one that may.
    pub fn may_block(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Service(name) => self.services.get(name).is_some_and(|service| service.pipeline.may_block()),
            Wanted::Features(features) => self.middlewares.may_block_reading(&self.checked, features),
        }
    }
}

fn view_runtime(
    checked: &CheckedManifest,
    index: usize,
    states: &HashMap<String, StateOf>,
    expressions: &dyn Expressions,
) -> Result<ViewRuntime, String> {
    let manifest = &checked.manifest;
    let (definition, types) = (&manifest.views[index], &checked.views[index]);
    let entity = manifest.entity(&definition.entity).ok_or("its entity is not declared")?;
    let sources: Vec<&Source> = definition.sources.iter().filter_map(|name| manifest.source(name)).collect();
    let plan = ViewPlan::new(definition, types, sources.iter().any(|source| source.is_change()));
    let mut reducers = BTreeMap::new();
    for source in sources {
        let reducer = Reducer::new(expressions, definition, types, entity, &plan, &columns_of(source))?;
        reducers.insert(source.name.clone(), reducer);
    }
    let (state_key, state) = states.get(&definition.name).ok_or("it has no state")?.clone();
    Ok(ViewRuntime { definition: definition.clone(), entity: entity.clone(), plan, reducers, state, state_key })
}

fn source_runtime(
    definition: &Source,
    views: &BTreeMap<String, Arc<ViewRuntime>>,
    expressions: &dyn Expressions,
    middlewares: &Pipeline,
) -> Result<SourceRuntime, String> {
    let columns = columns_of(definition);
    let filter = definition
        .filter
        .as_ref()
        .map(|filter| RowExpression::compile(expressions, filter, &columns, DataType::Bool))
        .transpose()?;
    let mut readers: Vec<Arc<ViewRuntime>> =
        views.values().filter(|view| view.reducers.contains_key(&definition.name)).cloned().collect();
    readers.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
    let steps = declared_steps(definition, &columns, expressions)?;
    Ok(SourceRuntime {
        schema: source_schema(definition),
        contract: Contract::new(definition)?,
        pipeline: middlewares.of_source(definition, steps),
        definition: definition.clone(),
        columns,
        filter,
        views: readers,
    })
}

fn columns_of(source: &Source) -> Vec<(String, DataType)> {
    source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect()
}
