//! Whether a manifest makes sense, and the types of everything in it.
//!
//! All problems are collected, so that a definition is mended in one round, and what depends on something
//! already reported stays silent. What comes out is a [`CheckedManifest`]; nothing later asks these questions again.

mod direct;
mod features;
mod fetch;
mod literals;
mod names;
mod on_demand;
mod services;
mod sources;
mod steps;
mod views;

use crate::error::{DefinitionError, Problem};
use crate::model::{Manifest, Source, SourceStep};
use crate::types::DataType;
use std::collections::BTreeMap;

/// What the definitions need to know of SQL. Whoever evaluates expressions implements it.
pub trait ExpressionTypes {
    /// The type of a row expression over `columns`, whose names may be dotted (`view.output`, `request.x`).
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String>;

    /// The identifiers an expression names, dotted when compound, in the order of first sight, each once.
    fn references(&self, expression: &str) -> Result<Vec<String>, String>;
}

/// A manifest that broke no rule, with the types of all that it computes.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedManifest {
    pub manifest: Manifest,
    /// In the order of `manifest.views`.
    pub views: Vec<CheckedView>,
    /// In the order of `manifest.on_demand`.
    pub on_demand: Vec<CheckedOnDemand>,
    /// Positions in `on_demand`, each after everything it refers to.
    pub on_demand_order: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckedView {
    /// In the order of the view's derived columns.
    pub derived_types: Vec<DataType>,
    /// In the order of the view's features.
    pub features: Vec<CheckedFeature>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckedFeature {
    /// None for `count(*)`.
    pub input_type: Option<DataType>,
    pub by_type: Option<DataType>,
    /// What a read returns, the map of `by` included.
    pub value_type: DataType,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CheckedOnDemand {
    pub data_type: DataType,
    /// `view.output`, `request.column`, or another on-demand feature.
    pub references: Vec<String>,
}

/// Checks every rule; `origins` says where each object was written.
///
/// Direct features are expanded into the source and the view that each stands for. A manifest that was expanded before
/// comes out as it was.
pub fn validate(
    mut manifest: Manifest,
    origins: &BTreeMap<String, String>,
    types: &dyn ExpressionTypes,
) -> Result<CheckedManifest, DefinitionError> {
    let mut problems = Problems { origins, found: Vec::new() };
    names::check(&manifest, &mut problems);
    let expanded = direct::expand(&mut manifest, &mut problems);
    for source in &mut manifest.sources {
        source.steps.sort_by(SourceStep::order);
    }
    for entity in &manifest.entities {
        sources::check_entity(entity, &mut problems);
    }
    for source in manifest.sources.iter().filter(|source| !expanded.made.contains(&source.name)) {
        sources::check(source, types, &mut problems);
    }
    let mut views: Vec<views::ViewTypes> = Vec::new();
    for view in &manifest.views {
        views.push(if expanded.broken.contains(&view.name) {
            views::ViewTypes::unknown(view)
        } else {
            views::check(&manifest, view, types, &mut problems)
        });
    }
    let (on_demand, on_demand_order) = on_demand::check(&manifest, &views, types, &mut problems);
    services::check(&manifest, &on_demand, &mut problems);

    if !problems.found.is_empty() {
        return Err(DefinitionError(problems.found));
    }
    // Without a problem nothing is without a type, so that flattening leaves every position where it was.
    let views = views.into_iter().map(views::ViewTypes::checked).collect();
    Ok(CheckedManifest { manifest, views, on_demand: on_demand.into_iter().flatten().collect(), on_demand_order })
}

impl CheckedManifest {
    /// The type of `view.output` or of an on-demand feature.
    pub fn output_type(&self, reference: &str) -> Option<&DataType> {
        let Some((view_name, output)) = reference.split_once('.') else {
            let position = self.manifest.on_demand.iter().position(|feature| feature.name == reference)?;
            return Some(&self.on_demand[position].data_type);
        };
        let position = self.manifest.views.iter().position(|view| view.name == view_name)?;
        let view = &self.manifest.views[position];
        view.features
            .iter()
            .zip(&self.views[position].features)
            .find(|(feature, _)| feature.windows.iter().any(|w| format!("{}{}", feature.name, w.suffix()) == output))
            .map(|(_, checked)| &checked.value_type)
    }

    /// Everything that can be read, with its type: `view.output` in order, then the on-demand features.
    pub fn outputs(&self) -> Vec<(String, DataType)> {
        let mut outputs = Vec::new();
        for (view, checked_view) in self.manifest.views.iter().zip(&self.views) {
            for (feature, checked) in view.features.iter().zip(&checked_view.features) {
                for window in &feature.windows {
                    let reference = format!("{}.{}{}", view.name, feature.name, window.suffix());
                    outputs.push((reference, checked.value_type.clone()));
                }
            }
        }
        for (feature, checked) in self.manifest.on_demand.iter().zip(&self.on_demand) {
            outputs.push((feature.name.clone(), checked.data_type.clone()));
        }
        outputs
    }
}

/// The problems found so far.
struct Problems<'a> {
    origins: &'a BTreeMap<String, String>,
    found: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, object: &str, rule: impl Into<String>, mend: impl Into<String>) {
        self.found.push(Problem::new(object, rule, mend).located(self.origins));
    }
}

/// The columns that expressions may use at one point, and those whose own problem is already reported.
struct Scope {
    columns: Vec<(String, DataType)>,
    broken: Vec<String>,
}

impl Scope {
    fn of_source(source: &Source) -> Self {
        let columns = source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect();
        Self { columns, broken: Vec::new() }
    }

    fn knows(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| column == name)
    }

    /// The type of an expression, or none after saying why not.
    fn type_of(
        &self,
        object: &str,
        role: &str,
        expression: &str,
        types: &dyn ExpressionTypes,
        problems: &mut Problems<'_>,
    ) -> Option<DataType> {
        let mend = "write a SQL expression over the columns of the row";
        let references = match types.references(expression) {
            Ok(references) => references,
            Err(reason) => {
                problems.add(object, format!("{role} `{expression}` cannot be read: {reason}"), mend);
                return None;
            }
        };
        if references.iter().any(|name| self.broken.contains(name)) {
            return None;
        }
        let mut complete = true;
        for name in references.iter().filter(|name| !self.knows(name)) {
            let known = self.columns.iter().map(|(column, _)| column.as_str());
            let mend = names::suggestion(name, known);
            problems.add(object, format!("{role} `{expression}` names the unknown column `{name}`"), mend);
            complete = false;
        }
        if !complete {
            return None;
        }
        types
            .type_of(expression, &self.columns)
            .map_err(|reason| problems.add(object, format!("{role} `{expression}` has no type: {reason}"), mend))
            .ok()
    }

    /// Says so unless the expression is a condition.
    fn check_condition(
        &self,
        object: &str,
        role: &str,
        expression: &str,
        types: &dyn ExpressionTypes,
        problems: &mut Problems<'_>,
    ) {
        match self.type_of(object, role, expression, types, problems) {
            None | Some(DataType::Bool) => {}
            Some(other) => problems.add(
                object,
                format!("{role} `{expression}` must be bool, and is {other}"),
                "write a condition, such as `amount > 0`",
            ),
        }
    }
}
