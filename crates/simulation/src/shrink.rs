//! Fewer steps that break the same promise. A step draws from numbers of its own, so leaving one out leaves the others
//! what they are.

use crate::campaign::guarded;
use crate::run::{Report, steps_of};
use std::time::Instant;

/// Leaves out steps as long as the same promise breaks, and until `deadline`; the steps that are left.
pub fn shrink(broken: &Report, deadline: Instant) -> Vec<u64> {
    let Some((at, first)) = &broken.broken else { return Vec::new() };
    let mut steps: Vec<u64> = (1..=(*at).min(steps_of(broken.seed))).collect();
    let breaks = |steps: &[u64]| {
        let report = guarded(broken.seed, Some(steps), false);
        report.broken.is_some_and(|(_, other)| other.promise == first.promise)
    };
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < steps.len() {
            if Instant::now() >= deadline {
                return steps;
            }
            let end = (start + size).min(steps.len());
            let fewer: Vec<u64> = [&steps[..start], &steps[end..]].concat();
            if breaks(&fewer) {
                steps = fewer;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    steps
}

/// `1-20,33`.
pub fn list_of(steps: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for step in steps {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *step => *last = *step,
            _ => ranges.push((*step, *step)),
        }
    }
    let text = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The steps of a list as [`list_of`] writes it.
///
/// # Errors
/// The part of the list that is none.
pub fn read_list(text: &str) -> Result<Vec<u64>, String> {
    let mut steps = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("`{part}` is no step and no range"));
        steps.extend(number(first)?..=number(last)?);
    }
    Ok(steps)
}
