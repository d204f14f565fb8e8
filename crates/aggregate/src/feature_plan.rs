//! What an ordered list of features needs: which outputs of which views, which on-demand expressions, which keys
//! and request values. Serving and training sets both follow it.

use crate::arrays::arrow_field;
use crate::reduce::{Expressions, RowExpression};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_definition::{CheckedManifest, DataType};

/// The outputs of one view that are needed.
#[derive(Debug, Clone)]
pub struct ViewUse {
    /// Index among the manifest's views.
    pub view: usize,
    /// Output names within the view, in the order in which they are computed.
    pub outputs: Vec<String>,
    /// Index in the working columns of the first of them.
    pub first: usize,
}

/// A feature of the answer.
#[derive(Debug, Clone)]
pub struct FeatureColumn {
    /// As asked for: `view.output`, or an on-demand feature's name.
    pub name: String,
    pub data_type: DataType,
    /// Index among the working columns.
    pub working: usize,
}

/// What [`FeaturePlan::evaluate`] gives.
pub struct Evaluated {
    /// The view columns, and the on-demand features after them.
    pub working: Vec<ArrayRef>,
    /// For each on-demand feature, the rows in which a feature that it is made from could not be given.
    pub failures: Vec<BooleanArray>,
}

struct OnDemandUse {
    expression: RowExpression,
    /// Working columns it is made from.
    inputs: Vec<usize>,
    data_type: DataType,
    name: String,
    /// What it was compiled with: working columns and request values, by name.
    columns: Vec<Input>,
}

enum Input {
    Working(usize),
    Request(usize),
}

/// A list of features, resolved.
pub struct FeaturePlan {
    pub views: Vec<ViewUse>,
    pub features: Vec<FeatureColumn>,
    /// Values that the caller has to bring.
    pub request: Vec<(String, DataType)>,
    /// Key columns of all entities involved, without repetition.
    pub keys: Vec<(String, DataType)>,
    /// Names and types of the working columns: view outputs first, then on-demand features in order of dependency.
    working: Vec<(String, DataType)>,
    on_demand: Vec<OnDemandUse>,
}

impl FeaturePlan {
    /// Resolves features by reference. The error names the one that is not there.
    pub fn new(checked: &CheckedManifest, features: &[String], expressions: &dyn Expressions) -> Result<Self, String> {
        let mut builder =
            Builder { checked, outputs: vec![Vec::new(); checked.manifest.views.len()], on_demand: vec![] };
        for feature in features {
            builder.require(feature)?;
        }
        builder.finish(features, expressions)
    }

    /// How many columns the views fill.
    pub fn view_columns(&self) -> usize {
        self.working.len() - self.on_demand.len()
    }

    pub fn working_type(&self, index: usize) -> &DataType {
        &self.working[index].1
    }

    /// The working columns from which an on-demand feature at a working index is made; empty for a view's output.
    pub fn inputs(&self, working: usize) -> &[usize] {
        working.checked_sub(self.view_columns()).map_or(&[], |index| &self.on_demand[index].inputs)
    }

    /// Computes the on-demand features after the views' columns; `request` has one array per request value. Where a
    /// feature that one is made from could not be given (`failed`, by view column and row), it cannot be given either.
    pub fn evaluate(
        &self,
        mut working: Vec<ArrayRef>,
        failed: &dyn Fn(usize, usize) -> bool,
        request: &[ArrayRef],
        rows: usize,
    ) -> Result<Evaluated, String> {
        let views = working.len();
        let mut failures: Vec<BooleanArray> = Vec::with_capacity(self.on_demand.len());
        for feature in &self.on_demand {
            let mut fields = Vec::with_capacity(feature.columns.len());
            let mut arrays = Vec::with_capacity(feature.columns.len());
            for input in &feature.columns {
                let (name, data_type, array) = match input {
                    Input::Working(index) => {
                        (self.working[*index].0.clone(), &self.working[*index].1, &working[*index])
                    }
                    Input::Request(index) => {
                        (format!("request.{}", self.request[*index].0), &self.request[*index].1, &request[*index])
                    }
                };
                fields.push(arrow_field(&name, data_type));
                arrays.push(array.clone());
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
                .map_err(|error| format!("on-demand feature `{}`: {error}", feature.name))?;
            let values = feature.expression.evaluate(&batch);
            let wanted = crate::arrow_type(&feature.data_type);
            let values = if values.data_type() == &wanted {
                values
            } else {
                arrow::compute::cast(&values, &wanted).map_err(|error| error.to_string())?
            };
            let fails = |row: usize| {
                let one = |input: &usize| match input.checked_sub(views) {
                    None => failed(*input, row),
                    Some(on_demand) => failures[on_demand].value(row),
                };
                feature.inputs.iter().any(one)
            };
            let fails: BooleanArray = (0..rows).map(|row| Some(fails(row))).collect();
            working.push(if fails.true_count() == 0 {
                values
            } else {
                arrow::compute::nullif(&values, &fails).map_err(|error| error.to_string())?
            });
            failures.push(fails);
        }
        Ok(Evaluated { working, failures })
    }
}

struct Builder<'a> {
    checked: &'a CheckedManifest,
    /// Outputs required of each view.
    outputs: Vec<Vec<String>>,
    /// On-demand features required, dependencies first.
    on_demand: Vec<usize>,
}

impl Builder<'_> {
    fn require(&mut self, reference: &str) -> Result<(), String> {
        if let Some((view, output)) = reference.split_once('.') {
            let unknown = || format!("there is no feature `{reference}`: name a feature as `view.feature`");
            let index = self.checked.manifest.views.iter().position(|own| own.name == view).ok_or_else(unknown)?;
            if !self.checked.manifest.views[index].outputs().any(|(_, _, name)| name == output) {
                return Err(unknown());
            }
            if !self.outputs[index].iter().any(|own| own == output) {
                self.outputs[index].push(output.to_owned());
            }
            return Ok(());
        }
        let index = self
            .checked
            .manifest
            .on_demand
            .iter()
            .position(|own| own.name == reference)
            .ok_or_else(|| format!("there is no on-demand feature `{reference}`; a view's are `view.feature`"))?;
        if self.on_demand.contains(&index) {
            return Ok(());
        }
        for dependency in &self.checked.on_demand[index].references {
            if !dependency.starts_with("request.") {
                self.require(dependency)?;
            }
        }
        self.on_demand.push(index);
        Ok(())
    }

    fn finish(self, features: &[String], expressions: &dyn Expressions) -> Result<FeaturePlan, String> {
        let manifest = &self.checked.manifest;
        let mut plan = FeaturePlan {
            views: Vec::new(),
            features: Vec::new(),
            request: Vec::new(),
            keys: Vec::new(),
            working: Vec::new(),
            on_demand: Vec::new(),
        };
        for (view, outputs) in self.outputs.into_iter().enumerate().filter(|(_, outputs)| !outputs.is_empty()) {
            let first = plan.working.len();
            let definition = &manifest.views[view];
            for output in &outputs {
                let name = format!("{}.{output}", definition.name);
                let data_type = self.checked.output_type(&name).ok_or_else(|| format!("no feature `{name}`"))?;
                plan.working.push((name.clone(), data_type.clone()));
            }
            let entity = manifest.entity(&definition.entity).ok_or("a checked view has its entity")?;
            for key in &entity.keys {
                if !plan.keys.iter().any(|(name, _)| *name == key.name) {
                    plan.keys.push((key.name.clone(), key.data_type.clone()));
                }
            }
            plan.views.push(ViewUse { view, outputs, first });
        }
        for index in self.on_demand {
            plan.add_on_demand(self.checked, index, expressions)?;
        }
        let places: HashMap<&str, usize> =
            plan.working.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let columns = features
            .iter()
            .map(|feature| {
                let working = places[feature.as_str()];
                FeatureColumn { name: feature.clone(), data_type: plan.working[working].1.clone(), working }
            })
            .collect();
        plan.features = columns;
        Ok(plan)
    }
}

impl FeaturePlan {
    fn add_on_demand(
        &mut self,
        checked: &CheckedManifest,
        index: usize,
        expressions: &dyn Expressions,
    ) -> Result<(), String> {
        let definition = &checked.manifest.on_demand[index];
        let types = &checked.on_demand[index];
        let (mut columns, mut named, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        for reference in &types.references {
            if let Some(value) = reference.strip_prefix("request.") {
                let column = definition
                    .request
                    .iter()
                    .find(|column| column.name == value)
                    .ok_or_else(|| format!("`{}` has no request value `{value}`", definition.name))?;
                let place = self.request.iter().position(|(name, _)| *name == column.name).unwrap_or_else(|| {
                    self.request.push((column.name.clone(), column.data_type.clone()));
                    self.request.len() - 1
                });
                columns.push(Input::Request(place));
                named.push((reference.clone(), column.data_type.clone()));
            } else {
                let place = self
                    .working
                    .iter()
                    .position(|(name, _)| name == reference)
                    .ok_or_else(|| format!("`{}` needs `{reference}` first", definition.name))?;
                columns.push(Input::Working(place));
                inputs.push(place);
                named.push((reference.clone(), self.working[place].1.clone()));
            }
        }
        let data_type = types.data_type.clone();
        let expression = RowExpression::compile(expressions, &definition.expression, &named, data_type.clone())
            .map_err(|why| format!("on-demand feature `{}`: {why}", definition.name))?;
        self.working.push((definition.name.clone(), data_type.clone()));
        self.on_demand.push(OnDemandUse { expression, inputs, data_type, name: definition.name.clone(), columns });
        Ok(())
    }
}
