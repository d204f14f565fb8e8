//! The rules of on-demand features: what they refer to exists, none refers to itself in a circle, and chains of them
//! are short enough to be followed.

use super::literals::check_columns;
use super::views::ViewTypes;
use super::{CheckedOnDemand, ExpressionTypes, Problems, names};
use crate::model::{Manifest, OnDemandFeature};
use crate::types::DataType;

/// Most on-demand features in a chain, each of which needs the next: whoever computes them goes down it.
const MAX_CHAIN: usize = 64;

/// What a name in an on-demand expression stands for.
enum Referent {
    Typed(DataType),
    /// It exists, and its own problem is reported.
    Broken,
    Unknown,
}

/// The types in the order of the manifest, and the positions in an order in which they can be computed.
pub(super) fn check(
    manifest: &Manifest,
    views: &[ViewTypes],
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) -> (Vec<Option<CheckedOnDemand>>, Vec<usize>) {
    let features = &manifest.on_demand;
    let mut references = Vec::new();
    for feature in features {
        let object = format!("on_demand:{}", feature.name);
        check_columns(&object, &feature.request, problems);
        let found = types.references(&feature.expression).map_err(|reason| {
            let rule = format!("the expression `{}` cannot be read: {reason}", feature.expression);
            problems.add(&object, rule, "write a SQL expression over `view.output` and `request.column`");
        });
        references.push(found.ok());
    }

    let edges: Vec<Vec<usize>> = references.iter().map(|names| needs(features, names.as_deref())).collect();
    let mut walk = Walk {
        edges: &edges,
        states: vec![State::Unseen; features.len()],
        path: vec![],
        order: vec![],
        cycles: vec![],
        chains: vec![0; features.len()],
        too_long: vec![],
    };
    for position in 0..features.len() {
        walk.visit(position);
    }
    for cycle in &walk.cycles {
        let path: Vec<&str> = cycle.iter().map(|position| features[*position].name.as_str()).collect();
        let object = format!("on_demand:{}", path[0]);
        problems.add(&object, format!("it needs itself: {}", path.join(" -> ")), "break the circle");
    }

    for position in &walk.too_long {
        let rule = format!("it begins a chain of more than {MAX_CHAIN} on-demand features");
        let mend = "write what the chain computes in fewer expressions";
        problems.add(&format!("on_demand:{}", features[*position].name), rule, mend);
    }

    let mut checked: Vec<Option<CheckedOnDemand>> = vec![None; features.len()];
    for position in &walk.order {
        let Some(names) = &references[*position] else { continue };
        checked[*position] = check_one(manifest, views, &checked, &features[*position], names, types, problems);
    }
    (checked, walk.order)
}

/// The positions of the on-demand features among the names.
fn needs(features: &[OnDemandFeature], names: Option<&[String]>) -> Vec<usize> {
    let names = names.unwrap_or_default();
    names.iter().filter_map(|name| features.iter().position(|feature| feature.name == *name)).collect()
}

fn check_one(
    manifest: &Manifest,
    views: &[ViewTypes],
    checked: &[Option<CheckedOnDemand>],
    feature: &OnDemandFeature,
    references: &[String],
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) -> Option<CheckedOnDemand> {
    let object = format!("on_demand:{}", feature.name);
    let mut columns = Vec::new();
    let mut complete = true;
    for name in references {
        match referent(manifest, views, checked, feature, name) {
            Referent::Typed(data_type) => columns.push((name.clone(), data_type)),
            Referent::Broken => complete = false,
            Referent::Unknown => {
                complete = false;
                let mut known = names::readable(manifest);
                known.extend(feature.request.iter().map(|column| format!("request.{}", column.name)));
                let mend = names::suggestion(name, known.iter().map(String::as_str));
                problems.add(&object, format!("unknown feature or request column `{name}`"), mend);
            }
        }
    }
    if !complete {
        return None;
    }
    match types.type_of(&feature.expression, &columns) {
        Ok(data_type) => Some(CheckedOnDemand { data_type, references: references.to_vec() }),
        Err(reason) => {
            let rule = format!("the expression `{}` has no type: {reason}", feature.expression);
            problems.add(&object, rule, "write a SQL expression over `view.output` and `request.column`");
            None
        }
    }
}

fn referent(
    manifest: &Manifest,
    views: &[ViewTypes],
    checked: &[Option<CheckedOnDemand>],
    feature: &OnDemandFeature,
    name: &str,
) -> Referent {
    let known = |data_type: Option<DataType>| data_type.map_or(Referent::Broken, Referent::Typed);
    let Some((owner, member)) = name.split_once('.') else {
        return match manifest.on_demand.iter().position(|other| other.name == name) {
            Some(position) => known(checked[position].as_ref().map(|other| other.data_type.clone())),
            None => Referent::Unknown,
        };
    };
    if owner == "request" {
        let column = feature.request.iter().find(|column| column.name == member);
        return column.map_or(Referent::Unknown, |column| Referent::Typed(column.data_type.clone()));
    }
    let Some(position) = manifest.views.iter().position(|view| view.name == owner) else {
        return Referent::Unknown;
    };
    let features = manifest.views[position].features.iter().zip(&views[position].features);
    for (candidate, checked) in features {
        if candidate.windows.iter().any(|window| format!("{}{}", candidate.name, window.suffix()) == member) {
            return known(checked.as_ref().map(|checked| checked.value_type.clone()));
        }
    }
    Referent::Unknown
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Unseen,
    /// Among those whose needs are being visited: meeting it again is a circle.
    OnPath,
    Done,
}

/// A walk in depth: what a feature needs comes before it in `order`.
struct Walk<'a> {
    edges: &'a [Vec<usize>],
    states: Vec<State>,
    path: Vec<usize>,
    order: Vec<usize>,
    /// Each begins and ends with the same position.
    cycles: Vec<Vec<usize>>,
    /// For each feature that is done, how many are in the longest chain that it begins, itself included.
    chains: Vec<usize>,
    /// Where a chain first becomes longer than it may be.
    too_long: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, position: usize) {
        if self.states[position] != State::Unseen {
            return;
        }
        if self.path.len() == MAX_CHAIN {
            // Not gone down any further. What is met again from nearer by is then walked from there.
            if self.too_long.last() != Some(&self.path[0]) {
                self.too_long.push(self.path[0]);
            }
            return;
        }
        self.states[position] = State::OnPath;
        self.path.push(position);
        let edges = self.edges;
        for next in &edges[position] {
            if self.states[*next] == State::OnPath {
                let mut cycle: Vec<usize> = self.path.iter().copied().skip_while(|seen| seen != next).collect();
                cycle.push(*next);
                self.cycles.push(cycle);
            } else {
                self.visit(*next);
            }
        }
        self.path.pop();
        let longest = edges[position].iter().map(|next| self.chains[*next]).max().unwrap_or(0);
        self.chains[position] = longest + 1;
        if longest == MAX_CHAIN {
            self.too_long.push(position);
        }
        self.states[position] = State::Done;
        self.order.push(position);
    }
}
