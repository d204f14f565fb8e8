//! Counts by the name of a service or a source. A look-up waits for nobody and allocates nothing; a name is added only
//! where a request succeeded, so that names come from definitions alone, and only up to a bound.

use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// Names counted apart from each other; what comes past them is in the counts by door alone.
const MAX_NAMES: usize = 10_000;

pub struct Series<T> {
    known: ArcSwap<HashMap<Box<str>, Arc<T>>>,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self { known: ArcSwap::default() }
    }
}

impl<T: Default> Series<T> {
    /// Adds to the counts of a name. `exists` says that there is such a thing, so that the name may be taken up.
    pub fn count(&self, name: &str, exists: bool, add: impl FnOnce(&T)) {
        if let Some(counts) = self.known.load().get(name) {
            return add(counts);
        }
        if !exists {
            return;
        }
        let fresh = Arc::new(T::default());
        self.known.rcu(|known| {
            let mut known: HashMap<Box<str>, Arc<T>> = (**known).clone();
            if known.len() < MAX_NAMES {
                known.entry(name.into()).or_insert_with(|| fresh.clone());
            }
            known
        });
        // Somebody else may have been first.
        if let Some(counts) = self.known.load().get(name) {
            add(counts);
        }
    }

    /// The counts of a name, if it has any.
    pub fn get(&self, name: &str) -> Option<Arc<T>> {
        self.known.load().get(name).cloned()
    }

    /// Lets go of the names that are not wanted any more.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        if self.known.load().keys().all(|name| wanted(name)) {
            return;
        }
        self.known.rcu(|known| {
            let mut known: HashMap<Box<str>, Arc<T>> = (**known).clone();
            known.retain(|name, _| wanted(name));
            known
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::Count;
    use super::*;

    #[test]
    fn a_name_is_taken_up_by_success_alone() {
        let series = Series::<Count>::default();
        series.count("guessed", false, |count| count.add(1));
        assert!(series.get("guessed").is_none());
        series.count("risk", true, |count| count.add(1));
        series.count("risk", false, |count| count.add(1));
        assert_eq!(series.get("risk").unwrap().get(), 2);
        series.keep(|name| name != "risk");
        assert!(series.get("risk").is_none());
    }

    #[test]
    fn names_are_bounded() {
        let series = Series::<Count>::default();
        let full = (0..MAX_NAMES).map(|number| (number.to_string().into(), Arc::default())).collect();
        series.known.store(Arc::new(full));
        series.count("one more", true, |count| count.add(1));
        assert!(series.get("one more").is_none());
    }
}
