//! Numbers that change with what they are of.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::tree::Tree;

/// Of everything that is built, as far as its path is wanted.
pub(crate) fn fingerprint(tree: &Tree, wanted: impl Fn(&str) -> bool) -> u64 {
    let is_built = |file: &str| {
        ["src/", "migrations/", "tests/it/", "config/"].iter().any(|folder| file.starts_with(folder))
            || file == "Cargo.lock"
    };
    let files = tree.files();
    let wanted = files.iter().filter(|file| is_built(file) && wanted(file));
    of(&wanted.map(|file| (file, tree.source(file))).collect::<Vec<_>>())
}

/// Of a value.
pub(crate) fn of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
