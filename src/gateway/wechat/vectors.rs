//! What another implementation has signed and sealed, for the tests: `tests/vectors/wechat.json`, made by the script beside it.

use std::sync::OnceLock;

use serde_json::Value;

/// An object of the vectors.
#[derive(Clone, Copy)]
pub(super) struct Vectors<'a>(&'a Value);

pub(super) fn vectors() -> Vectors<'static> {
    static VECTORS: OnceLock<Value> = OnceLock::new();
    let text = include_str!("../../../tests/vectors/wechat.json");
    Vectors(VECTORS.get_or_init(|| serde_json::from_str(text).expect("the vectors are JSON")))
}

impl<'a> Vectors<'a> {
    pub(super) fn value(self) -> &'a Value {
        self.0
    }

    pub(super) fn text(self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or_else(|| panic!("there is no text {name}"))
    }

    pub(super) fn number(self, name: &str) -> i64 {
        self.0[name].as_i64().unwrap_or_else(|| panic!("there is no number {name}"))
    }

    pub(super) fn object(self, name: &str) -> Self {
        Self(&self.0[name])
    }

    pub(super) fn list(self, name: &str) -> Vec<Self> {
        self.0[name].as_array().unwrap_or_else(|| panic!("there is no list {name}")).iter().map(Self).collect()
    }

    /// A header of a message, by its lower-case name.
    pub(super) fn header(self, name: &str) -> Option<&'a str> {
        self.0["headers"][name].as_str()
    }
}
