//! What users declare: entities, sources, feature views, services; how it is validated, planned and compared.
//!
//! ```text
//! Python ──JSON──▶ wire ──▶ Manifest ──validate──▶ CheckedManifest ──plan against the applied one──▶ Plan
//! ```
//!
//! This crate does no I/O and knows no engine: the type of a SQL expression comes through the trait
//! [`ExpressionTypes`], which `lake` implements.

mod aggregation;
mod direct;
mod duration;
mod error;
mod literal;
mod model;
mod plan;
mod types;
mod validate;
mod window;

pub use aggregation::{Aggregation, DEFAULT_LG_K, DEFAULT_RELATIVE_ERROR, LG_K, MAX_K};
pub use direct::{DirectFeature, Fetch, MAX_PREVIOUS, Primitive, Scalar};
pub use duration::{DAY, Duration, HOUR, MINUTE, SECOND};
pub use error::{DefinitionError, Problem};
pub use literal::{Literal, parse_literal, parse_literal_ok, parse_timestamp};
pub use model::{
    About, AsOf, Column, DEFAULT_NAMESPACE, Dedup, Derived, Entity, Feature, FeatureService, FeatureView, Manifest,
    OnDemandFeature, Source, SourceKind, SourceStep, StepKind, TrainingSet,
};
pub use plan::{Change, ChangeKind, Consequence, Plan, plan, view_state_key};
pub use types::{DataType, MAX_VECTOR};
pub use validate::{CheckedFeature, CheckedManifest, CheckedOnDemand, CheckedView, ExpressionTypes, validate};
pub use window::Window;
