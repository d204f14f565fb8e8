//! How large what an expression makes can become, told before anything is computed: parts without a column are
//! computed when the expression is compiled, and all others for every row.
//!
//! Counts (of `repeat`, `lpad`) and what is put in many times over (by `replace`) have to be literals, so that no row
//! decides how large another value becomes; and what they come to, one within the other, is bounded.

use crate::limits::{MAX_CONSTANT_BYTES, MAX_EXPRESSION_GROWTH, MAX_EXPRESSION_REPEATS, MAX_TYPE_DEPTH};
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Operator};
use thalweg_definition::MAX_VECTOR;

/// Bytes of a value that is no text, no bytes and no list; about.
const PLAIN: u64 = 16;
/// Bytes of one character, at most.
const CHARACTER: u64 = 4;
/// Bytes that one letter of a date's format becomes, at most; about.
const DATE_PART: u64 = 40;

/// Refuses an expression that could make too much of too little.
pub(super) fn check(expression: &Expr) -> Result<(), String> {
    growth(expression).map(|_| ())
}

/// At most `fixed` bytes, and `times` those of the columns it reads.
#[derive(Clone, Copy)]
struct Growth {
    fixed: u64,
    times: u64,
}

impl Growth {
    const PLAIN: Self = Self { fixed: PLAIN, times: 0 };

    fn fixed(bytes: u64) -> Self {
        Self { fixed: bytes, times: 0 }
    }

    fn and(self, other: Self) -> Self {
        Self { fixed: self.fixed.saturating_add(other.fixed), times: self.times.saturating_add(other.times) }
    }

    fn or(self, other: Self) -> Self {
        Self { fixed: self.fixed.max(other.fixed), times: self.times.max(other.times) }
    }

    fn repeated(self, times: u64) -> Self {
        Self { fixed: self.fixed.saturating_mul(times), times: self.times.saturating_mul(times) }
    }

    fn bounded(self) -> Result<Self, String> {
        if self.times > MAX_EXPRESSION_GROWTH {
            let rule =
                format!("its value can be more than {MAX_EXPRESSION_GROWTH} times as large as the columns it reads");
            return Err(format!("{rule}; repeat or replace less"));
        }
        if self.fixed > MAX_CONSTANT_BYTES {
            return Err(format!(
                "it makes more than {MAX_CONSTANT_BYTES} bytes of its literals; repeat them less often"
            ));
        }
        Ok(self)
    }
}

fn growth(expression: &Expr) -> Result<Growth, String> {
    let found = match expression {
        Expr::Literal(value, _) => Growth::fixed(text_of(value).map_or(PLAIN, |text| text.len() as u64)),
        Expr::Column(_) => Growth { fixed: PLAIN, times: 1 },
        Expr::Alias(alias) => growth(&alias.expr)?,
        Expr::Cast(cast) => cast_to(growth(&cast.expr)?, cast.field.data_type())?,
        Expr::TryCast(cast) => cast_to(growth(&cast.expr)?, cast.field.data_type())?,
        Expr::Negative(inner) => growth(inner)?,
        Expr::BinaryExpr(binary) => {
            let both = growth(&binary.left)?.and(growth(&binary.right)?);
            if binary.op == Operator::StringConcat { both } else { Growth::PLAIN }
        }
        Expr::Case(case) => {
            let mut widest = Growth::PLAIN;
            case.expr.iter().try_for_each(|expr| growth(expr).map(|_| ()))?;
            for (when, then) in &case.when_then_expr {
                growth(when)?;
                widest = widest.or(growth(then)?);
            }
            case.else_expr.iter().try_fold(widest, |widest, expr| growth(expr).map(|own| widest.or(own)))?
        }
        Expr::ScalarFunction(function) => of_function(function)?,
        Expr::Like(like) | Expr::SimilarTo(like) => of_conditions([&*like.expr, &*like.pattern])?,
        Expr::Between(between) => of_conditions([&*between.expr, &*between.low, &*between.high])?,
        Expr::InList(list) => of_conditions(std::iter::once(&*list.expr).chain(&list.list))?,
        Expr::Not(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsNotUnknown(inner) => of_conditions([&**inner])?,
        // All others are refused before.
        _ => Growth::PLAIN,
    };
    found.bounded()
}

/// What is made of parts on the way to a condition.
fn of_conditions<'e>(parts: impl IntoIterator<Item = &'e Expr>) -> Result<Growth, String> {
    parts.into_iter().try_for_each(|part| growth(part).map(|_| ()))?;
    Ok(Growth::PLAIN)
}

fn of_function(function: &ScalarFunction) -> Result<Growth, String> {
    let (name, args) = (function.func.name(), function.args.as_slice());
    let parts: Vec<Growth> = args.iter().map(growth).collect::<Result<_, _>>()?;
    let part = |at: usize| parts.get(at).copied().unwrap_or(Growth::PLAIN);
    let together = || parts.iter().fold(Growth::PLAIN, |all, part| all.and(*part));
    let count = |at: usize| args.get(at).map_or(Ok(0), |arg| count(name, arg));
    let text = |at: usize| args.get(at).map_or(Ok(""), |arg| piece(name, arg));
    Ok(match name {
        "repeat" | "array_repeat" => part(0).repeated(count(1)?).and(Growth::PLAIN),
        "lpad" | "rpad" => part(0).and(Growth::fixed(CHARACTER * count(1)?)),
        "array_resize" => part(0).and(part(2).repeated(count(1)?)),
        "range" | "generate_series" => Growth::fixed(PLAIN * elements(name, args)?),
        "replace" => {
            let (from, to) = (args.get(1).and_then(literal_text).map_or(0, str::len), text(2)?.len());
            // Nothing is between any two letters.
            let times = if from == 0 { 1 + to } else { to.div_ceil(from).max(1) };
            part(0).repeated(times as u64).and(Growth::fixed(to as u64))
        }
        "regexp_replace" => {
            let to = text(2)?;
            // Each brings the match back, or a part of it.
            let references = to.matches(['\\', '$']).count();
            let times = references.max(1) + (to.len() - references);
            part(0).repeated(times as u64).and(Growth::fixed(to.len() as u64))
        }
        "array_to_string" => {
            let between = (text(1)?.len() + text(2)?.len()) as u64;
            part(0).repeated(2 + between)
        }
        "array_replace_all" | "array_replace_n" => part(0).repeated(1 + text(2)?.len() as u64),
        "concat_ws" => together().and(part(0).repeated(args.len() as u64)),
        "to_char" => together().repeated(DATE_PART),
        "arrow_cast" | "arrow_try_cast" => match args.get(1).and_then(literal_text) {
            Some(wanted) if wanted.matches('(').count() > MAX_TYPE_DEPTH => return Err(too_deep(name)),
            Some(wanted) => match wanted.parse::<ArrowType>() {
                Ok(wanted) => cast_to(part(0), &wanted)?,
                // What is no type is refused by whoever casts.
                Err(_) => part(0),
            },
            None => part(0),
        },
        _ => together(),
    })
}

fn cast_to(from: Growth, wanted: &ArrowType) -> Result<Growth, String> {
    let length = fixed_length(wanted);
    if length > u64::from(MAX_VECTOR) {
        return Err(format!("a value of its type has {length} elements or bytes; cast to at most {MAX_VECTOR}"));
    }
    Ok(from.and(Growth::fixed(PLAIN + length)))
}

/// How many elements or bytes each value of a type has, null or not.
fn fixed_length(arrow: &ArrowType) -> u64 {
    let length = |length: i32| u64::try_from(length).unwrap_or(0);
    match arrow {
        ArrowType::FixedSizeBinary(bytes) => length(*bytes),
        ArrowType::FixedSizeList(item, items) => fixed_length(item.data_type()).max(1).saturating_mul(length(*items)),
        ArrowType::List(item) | ArrowType::LargeList(item) => fixed_length(item.data_type()),
        _ => 0,
    }
}

/// How often a function does something, which has to be a number in the text of the expression.
fn count(name: &str, arg: &Expr) -> Result<u64, String> {
    let Some(count) = whole_number(arg) else {
        let mend = "write how often as a number, and shorten the result where it depends on the row, as by `left`";
        return Err(format!("`{name}` takes no count that is computed; {mend}"));
    };
    let count = u64::try_from(count).unwrap_or(0);
    if count > MAX_EXPRESSION_REPEATS {
        return Err(format!("`{name}` has the count {count}; use at most {MAX_EXPRESSION_REPEATS}"));
    }
    Ok(count)
}

/// The elements of a range of whole numbers that are in the text of the expression.
fn elements(name: &str, args: &[Expr]) -> Result<u64, String> {
    let numbers: Option<Vec<i128>> = args.iter().map(whole_number).collect();
    let Some(numbers) = numbers else {
        return Err(format!("`{name}` takes whole numbers that are written out, such as `{name}(1, 10)`; write them"));
    };
    let (from, to, step) = match numbers.as_slice() {
        [to] => (0, *to, 1),
        [from, to] => (*from, *to, 1),
        [from, to, step, ..] => (*from, *to, *step),
        [] => (0, 0, 1),
    };
    let elements = if step == 0 { 0 } else { ((to - from) / step).max(0).unsigned_abs() + 1 };
    match u64::try_from(elements) {
        Ok(elements) if elements <= MAX_EXPRESSION_REPEATS => Ok(elements),
        _ => Err(format!("`{name}` has {elements} elements; use at most {MAX_EXPRESSION_REPEATS}")),
    }
}

/// What a function may put in many times over, which has to be in the text of the expression.
fn piece<'e>(name: &str, arg: &'e Expr) -> Result<&'e str, String> {
    match arg {
        Expr::Literal(value, _) => Ok(text_of(value).unwrap_or_default()),
        _ if whole_number(arg).is_some() => Ok(""),
        _ => {
            let rule = format!("`{name}` takes nothing computed as what it puts in, for it may do so many times");
            Err(format!("{rule}; write it as a literal, such as `'-'`"))
        }
    }
}

/// The number that a literal is; nought for null.
fn whole_number(expression: &Expr) -> Option<i128> {
    match expression {
        Expr::Literal(value, _) if value.is_null() => Some(0),
        Expr::Literal(ScalarValue::Int8(Some(value)), _) => Some((*value).into()),
        Expr::Literal(ScalarValue::Int16(Some(value)), _) => Some((*value).into()),
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some((*value).into()),
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some((*value).into()),
        Expr::Literal(ScalarValue::UInt64(Some(value)), _) => Some((*value).into()),
        Expr::Negative(inner) => whole_number(inner).map(|value| -value),
        _ => None,
    }
}

fn literal_text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Literal(value, _) => text_of(value),
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

fn too_deep(name: &str) -> String {
    format!("`{name}` casts to a type of more than {MAX_TYPE_DEPTH} levels; cast to one of a feature")
}
