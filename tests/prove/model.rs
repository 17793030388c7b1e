//! What everybody was answered, and what must have come of it. It knows nothing that the service keeps for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rowlock::domain::moves::Move;
use serde_json::Value;
use uuid::Uuid;

use crate::provider::fen;

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Something was answered, and is not there.
    Lost,
    /// More was sold than there was.
    Oversold,
    /// Something happened more often than it was asked for.
    Doubled,
    /// Any other.
    Other,
}

/// A broken promise.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    /// Words by which whatever the clients saw of it is found.
    pub(crate) about: Vec<String>,
}

/// An order that somebody was told of.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) customer: Uuid,
    pub(crate) key: String,
    pub(crate) lines: BTreeMap<i64, i64>,
    pub(crate) total: i64,
    pub(crate) points: i64,
}

/// A move that somebody asked for, and that was made, or may have been.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) made: Move,
    /// What it carries into history; by it one of several is known.
    pub(crate) note: String,
    /// A cancellation: the units that return; none means as the rule says.
    pub(crate) returned: Option<BTreeMap<i64, i64>>,
    /// A cancellation or a refund: the fen that go back; none means all that is left.
    pub(crate) refund: Option<i64>,
    /// It was answered with success. If not, nobody knows.
    pub(crate) is_certain: bool,
}

impl Deed {
    pub(crate) fn plain(made: Move) -> Self {
        Self { made, note: String::new(), returned: None, refund: None, is_certain: true }
    }
}

/// Everything that was answered.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) operations: usize,
    pub(crate) violations: Vec<Violation>,
    /// How often each thing was done.
    pub(crate) done: BTreeMap<&'static str, usize>,
    pub(crate) orders: HashMap<Uuid, Told>,
    /// Those that were answered as new, which happens once.
    created: BTreeSet<Uuid>,
    keys: HashMap<(Uuid, String), Uuid>,
    pub(crate) deeds: HashMap<Uuid, Vec<Deed>>,
    /// By the id that was answered.
    pub(crate) stock_moves: HashMap<Uuid, (i64, i64)>,
    pub(crate) corrections: BTreeMap<String, i64>,
    /// What was heard, in order: the order it was about, if it was about one.
    pub(crate) heard: HashMap<Uuid, usize>,
    last_heard: i64,
    /// Alerts that were heard of.
    pub(crate) alerts: i64,
}

impl Model {
    pub(crate) fn wrong(&mut self, kind: Kind, what: String, about: Vec<String>) {
        self.violations.push(Violation { kind, what, about });
    }

    /// Notes what must not be.
    pub(crate) fn expect(&mut self, holds: bool, kind: Kind, about: &[&dyn ToString], what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(kind, what(), about.iter().map(|word| (*word).to_string()).collect());
        }
    }

    /// Counts what was done.
    pub(crate) fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// A placement was answered with an order; its id.
    pub(crate) fn placed(&mut self, customer: Uuid, key: &str, status: u16, order: &Value) -> Uuid {
        let id = id_of(order);
        let told = Told {
            customer,
            key: key.to_owned(),
            lines: lines_of(order),
            total: fen(order["total"].as_str().unwrap()),
            points: order["points_used"].as_i64().unwrap(),
        };
        let before = self.keys.insert((customer, key.to_owned()), id);
        self.expect(before.is_none_or(|before| before == id), Kind::Doubled, &[&id, &key], || {
            format!("key {key} of customer {customer} placed {before:?} and {id}")
        });
        if let Some(before) = self.orders.insert(id, told) {
            let told = &self.orders[&id];
            let is_same = (before.total, before.points, &before.lines) == (told.total, told.points, &told.lines);
            self.expect(is_same, Kind::Other, &[&id], || format!("order {id} was answered in two ways"));
        }
        let is_new = status != 201 || self.created.insert(id);
        self.expect(is_new, Kind::Doubled, &[&id, &key], || format!("order {id} was placed twice"));
        id
    }

    /// A move was made, or may have been.
    pub(crate) fn moved(&mut self, order: Uuid, deed: Deed) {
        self.deeds.entry(order).or_default().push(deed);
    }

    /// Points were given or taken by hand, once a key.
    pub(crate) fn corrected(&mut self, key: &str, delta: i64) {
        let before = self.corrections.insert(key.to_owned(), delta);
        self.expect(before.is_none_or(|before| before == delta), Kind::Doubled, &[&key], || {
            format!("correction {key} was made as {before:?} and {delta}")
        });
        self.did("correct");
    }

    /// Somebody who listens has heard of this.
    pub(crate) fn heard(&mut self, seq: i64, kind: &str, order: Option<&str>) {
        let last = std::mem::replace(&mut self.last_heard, seq);
        let kind_of = if seq <= last { Kind::Doubled } else { Kind::Lost };
        self.expect(seq == last + 1, kind_of, &[], || format!("event {seq} was heard after {last}"));
        if kind == "alert_raised" {
            self.alerts += 1;
        } else if let Some(order) = order {
            *self.heard.entry(order.parse().unwrap()).or_default() += 1;
        }
    }
}

pub(crate) fn id_of(order: &Value) -> Uuid {
    order["id"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn lines_of(order: &Value) -> BTreeMap<i64, i64> {
    let lines = order["lines"].as_array().unwrap().iter();
    lines.map(|line| (line["goods_id"].as_i64().unwrap(), line["count"].as_i64().unwrap())).collect()
}
