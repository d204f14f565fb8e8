//! Literals in a column's contract (`min`, `max`, `allowed`): whether they are values of the column's type.

use super::{Problems, names};
use crate::literal::parse_literal_ok;
use crate::model::Column;
use crate::types::DataType;

/// The rules of a column wherever one is declared; `owner` is the object it belongs to.
pub(super) fn check_columns(owner: &str, columns: &[Column], problems: &mut Problems<'_>) {
    let mut seen = Vec::new();
    for column in columns {
        let object = format!("{owner}.{}", column.name);
        names::check_name(&object, &column.name, problems);
        names::check_unique(&object, &column.name, &mut seen, problems);
        if matches!(column.data_type, DataType::Map(..)) {
            problems.add(&object, "a column cannot be a map", "use a list, or one column per key");
        }
        check_contract(&object, column, problems);
    }
}

fn check_contract(object: &str, column: &Column, problems: &mut Problems<'_>) {
    let data_type = &column.data_type;
    let bounds = [("min", column.min.as_ref()), ("max", column.max.as_ref())];
    let literals = bounds.into_iter().filter_map(|(role, bound)| bound.map(|bound| (role, bound)));
    for (role, literal) in literals.chain(column.allowed.iter().map(|literal| ("allowed", literal))) {
        if !data_type.is_ordered() {
            let rule = format!("`{role}` needs a plain type, and the column is {data_type}");
            problems.add(object, rule, format!("remove `{role}`"));
            return;
        }
        if !parse_literal_ok(data_type, literal) {
            let rule = format!("`{role}` is `{literal}`, which is not a {data_type}");
            problems.add(object, rule, format!("write a literal of type {data_type}"));
        }
    }
    if let (Some(min), Some(max)) = (&column.min, &column.max)
        && data_type.is_numeric()
        && let (Ok(low), Ok(high)) = (min.parse::<f64>(), max.parse::<f64>())
        && low > high
    {
        problems.add(object, format!("`min` {min} is above `max` {max}"), "swap the two");
    }
}
