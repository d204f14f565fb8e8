//! How things may be called, and what was probably meant by a name that nothing has.

use super::Problems;
use crate::model::{About, Manifest};

/// Longest name, so that names fit file names and table columns everywhere.
pub(super) const MAX_NAME: usize = 128;
/// How many known names a mend lists.
const LISTED: usize = 8;
/// Bytes of names that are compared with each other: it takes time by the square of their length.
const COMPARED: usize = 1024;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems<'_>) {
    check_kind("entity", manifest.entities.iter().map(|object| object.name.as_str()), problems);
    check_kind("source", manifest.sources.iter().map(|object| object.name.as_str()), problems);
    check_kind("view", manifest.views.iter().map(|object| object.name.as_str()), problems);
    check_kind("on_demand", manifest.on_demand.iter().map(|object| object.name.as_str()), problems);
    check_kind("service", manifest.services.iter().map(|object| object.name.as_str()), problems);
    check_kind("training_set", manifest.training_sets.iter().map(|object| object.name.as_str()), problems);
    for (object, about) in abouts(manifest) {
        check_namespace(&object, about, problems);
    }
}

fn abouts(manifest: &Manifest) -> impl Iterator<Item = (String, &About)> {
    let entities = manifest.entities.iter().map(|object| ("entity", &object.name, &object.about));
    let sources = manifest.sources.iter().map(|object| ("source", &object.name, &object.about));
    let views = manifest.views.iter().map(|object| ("view", &object.name, &object.about));
    let on_demand = manifest.on_demand.iter().map(|object| ("on_demand", &object.name, &object.about));
    let services = manifest.services.iter().map(|object| ("service", &object.name, &object.about));
    let sets = manifest.training_sets.iter().map(|object| ("training_set", &object.name, &object.about));
    let all = entities.chain(sources).chain(views).chain(on_demand).chain(services).chain(sets);
    all.map(|(kind, name, about)| (format!("{kind}:{name}"), about))
}

fn check_kind<'n>(kind: &str, names: impl Iterator<Item = &'n str>, problems: &mut Problems<'_>) {
    let mut seen = Vec::new();
    for name in names {
        let object = format!("{kind}:{name}");
        check_name(&object, name, problems);
        check_unique(&object, name, &mut seen, problems);
    }
}

/// Says so when a name of the same list was there before.
pub(super) fn check_unique<'n>(
    object: &str,
    name: &'n str,
    seen: &mut Vec<&'n str>,
    problems: &mut Problems<'_>,
) -> bool {
    if seen.contains(&name) {
        problems.add(object, format!("the name `{name}` is declared twice"), "rename or remove one of the two");
        return false;
    }
    seen.push(name);
    true
}

pub(super) fn check_name(object: &str, name: &str, problems: &mut Problems<'_>) {
    if !is_identifier(name) {
        problems.add(
            object,
            format!("the name `{name}` is not an identifier"),
            "use letters, digits and underscores, and begin with a letter",
        );
    } else if name.len() > MAX_NAME {
        problems.add(object, format!("the name is longer than {MAX_NAME} characters"), "choose a shorter name");
    } else if name.starts_with("__") {
        problems.add(object, format!("the name `{name}` begins with `__`"), "such names are reserved; choose another");
    } else if name == "request" {
        problems.add(
            object,
            "the name `request` is reserved for the columns of a request",
            "choose another name, such as `requests`",
        );
    }
}

/// A namespace begins the names of what its direct features stand for, so that the same holds for it.
pub(super) fn check_namespace(object: &str, about: &About, problems: &mut Problems<'_>) {
    let namespace = about.namespace();
    if !is_identifier(namespace) || namespace.starts_with("__") {
        problems.add(
            object,
            format!("the namespace `{namespace}` is not an identifier"),
            "use letters, digits and underscores, and begin with a letter",
        );
    } else if namespace.len() > MAX_NAME {
        problems.add(object, format!("the namespace is longer than {MAX_NAME} characters"), "choose a shorter one");
    }
}

pub(super) fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Every name under which something can be read: `view.output` and the on-demand features.
pub(super) fn readable(manifest: &Manifest) -> Vec<String> {
    let outputs = manifest
        .views
        .iter()
        .flat_map(|view| view.outputs().map(|(_, _, output)| format!("{}.{output}", view.name)).collect::<Vec<_>>());
    outputs.chain(manifest.on_demand.iter().map(|feature| feature.name.clone())).collect()
}

/// The mend for an unknown name.
pub(super) fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.collect();
    let tolerated = (name.chars().count() / 3).max(1);
    let comparable = known.iter().filter(|candidate| name.len().max(candidate.len()) <= COMPARED);
    let nearest = comparable.map(|candidate| (distance(name, candidate), *candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= tolerated => format!("did you mean `{candidate}`?"),
        _ if known.is_empty() => "declare it".to_owned(),
        _ if known.len() <= LISTED => format!("declare it, or use one of: {}", known.join(", ")),
        _ => format!("declare it, or use one of: {}, ...", known[..LISTED].join(", ")),
    }
}

/// The Levenshtein distance, regardless of case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
