//! Finds the name that someone who misspelt one most likely meant.

/// The nearest of `names`, unless all are too far away to be meant.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, remove, replace or swap with their neighbour, from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 0..from.len() {
        let mut here = Vec::with_capacity(to.len() + 1);
        here.push(row + 1);
        for at in 0..to.len() {
            let replaced = above[at] + usize::from(from[row] != to[at]);
            let mut least = replaced.min(above[at + 1] + 1).min(here[at] + 1);
            if row > 0 && at > 0 && from[row] == to[at - 1] && from[row - 1] == to[at] {
                least = least.min(before[at - 1] + 1);
            }
            here.push(least);
        }
        before = std::mem::replace(&mut above, here);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_may_be_meant_is_named() {
        let names = ["carrier", "origin", "dest"];
        assert_eq!(nearest("carier", names), Some("carrier"));
        assert_eq!(nearest("dst", names), Some("dest"));
        assert_eq!(nearest("dets", names), Some("dest"));
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("tailnum", names), None);
    }
}
