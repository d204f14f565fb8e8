//! The rows that clients send: good ones and bad ones, as values for the model and as JSON for the engine.

use crate::expressions::Parsed;
use crate::values::Val;
use arrow::array::RecordBatch;
use std::fmt::Write;
use thalweg_engine::{ARRIVAL, SEQUENCE};

/// The columns of every source, by their names.
pub(crate) mod column {
    pub(crate) const USER: &str = "user";
    pub(crate) const AT: &str = "at";
    pub(crate) const ID: &str = "id";
    pub(crate) const AMOUNT: &str = "amount";
    pub(crate) const UNITS: &str = "units";
    pub(crate) const STATUS: &str = "status";
    /// Of sources that declare their arrival times.
    pub(crate) const CAME: &str = "came";
    /// Of change sources.
    pub(crate) const OPERATION: &str = "op";
}

pub(crate) const USERS: [&str; 5] = ["ann", "bob", "cem", "dia", "eve"];
pub(crate) const STATUSES: [&str; 3] = ["open", "shut", "late"];
pub(crate) const INSERT: &str = "insert";
pub(crate) const UPDATE: &str = "update";
pub(crate) const DELETE: &str = "delete";
/// Of `units`, in the contract of every source.
pub(crate) const LEAST_UNITS: i64 = -1000;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoObject,
    TextInUnits,
    NoUser,
    LowUnits,
    NoTime,
    NoArrival,
    OddOperation,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) user: Option<&'static str>,
    pub(crate) id: i64,
    pub(crate) at: Option<i64>,
    /// A multiple of one eighth, so that sums are exact in any order.
    pub(crate) amount: Option<f64>,
    pub(crate) units: Option<i64>,
    pub(crate) status: Option<&'static str>,
    pub(crate) came: Option<i64>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) fault: Option<Fault>,
}

impl Fault {
    /// The column that quarantine has to name.
    pub(crate) fn column(self) -> Option<&'static str> {
        match self {
            Self::NoObject => None,
            Self::TextInUnits | Self::LowUnits => Some(column::UNITS),
            Self::NoUser => Some(column::USER),
            Self::NoTime => Some(column::AT),
            Self::NoArrival => Some(column::CAME),
            Self::OddOperation => Some(column::OPERATION),
        }
    }
}

impl Row {
    pub(crate) fn is_delete(&self) -> bool {
        self.operation == Some(DELETE)
    }

    pub(crate) fn column(&self, name: &str) -> Val {
        match name {
            column::USER => Val::text(self.user),
            column::AT => Val::int(self.at),
            column::ID => Val::Int(self.id),
            column::AMOUNT => self.amount.map_or(Val::Null, Val::Float),
            column::UNITS => Val::int(self.units),
            column::STATUS => Val::text(self.status),
            column::CAME => Val::int(self.came),
            column::OPERATION => Val::text(self.operation),
            _ => Val::Null,
        }
    }

    /// Whether a condition of the definitions is true for it.
    pub(crate) fn passes(&self, condition: Option<&Parsed>) -> bool {
        match condition {
            None => true,
            Some(Parsed::Above(name, bound)) => self.column(name).number().is_some_and(|number| number > *bound),
            Some(Parsed::Is(name, wanted)) => name == column::STATUS && self.status == Some(wanted.as_str()),
            Some(Parsed::Column(_)) => false,
        }
    }

    /// As it is sent.
    pub(crate) fn json(&self) -> String {
        if self.fault == Some(Fault::NoObject) {
            return self.id.to_string();
        }
        let mut out = format!("{{\"{}\":{}", column::ID, self.id);
        let text = |out: &mut String, name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":\"{value}\"");
            }
        };
        let number = |out: &mut String, name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":{value}");
            }
        };
        text(&mut out, column::USER, self.user.filter(|_| self.fault != Some(Fault::NoUser)));
        number(&mut out, column::AT, self.at.filter(|_| self.fault != Some(Fault::NoTime)).map(|at| at.to_string()));
        number(&mut out, column::AMOUNT, self.amount.map(|amount| amount.to_string()));
        let units = match self.fault {
            Some(Fault::TextInUnits) => Some("\"many\"".to_owned()),
            Some(Fault::LowUnits) => Some((LEAST_UNITS - 1).to_string()),
            _ => self.units.map(|units| units.to_string()),
        };
        number(&mut out, column::UNITS, units);
        text(&mut out, column::STATUS, self.status);
        let came = self.came.filter(|_| self.fault != Some(Fault::NoArrival));
        number(&mut out, column::CAME, came.map(|came| came.to_string()));
        let odd = self.fault == Some(Fault::OddOperation);
        text(&mut out, column::OPERATION, if odd { Some("upsert") } else { self.operation });
        out.push('}');
        out
    }

    /// What a row of the log or of history has otherwise.
    pub(crate) fn differs(&self, batch: &RecordBatch, index: usize) -> Option<String> {
        let schema = batch.schema();
        let own = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| {
            let name = field.name().as_str();
            name != ARRIVAL && name != SEQUENCE
        });
        for (field, values) in own {
            let (sent, kept) = (self.column(field.name()), Val::of(&**values, index));
            if sent != kept {
                return Some(format!("`{}` of the row with id {} was {sent:?} and is {kept:?}", field.name(), self.id));
            }
        }
        None
    }
}
