//! What is measured: systems, loads, client counts, and for how long.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Result;

/// Of every cell before the first round, for caches, plans and page splits of the young tables. A busy host may keep a second all for itself.
pub(crate) const WARM_UP_SECONDS: u32 = 2;
const ROUNDS: u32 = 3;
const SECONDS: u32 = 8;
const QUICK_ROUNDS: u32 = 2;
const QUICK_SECONDS: u32 = 3;

/// Client counts, and which of them bare SQL's best is sought among: more connections than these only hurt it.
pub(crate) const CLIENTS: [u32; 4] = [1, 8, 32, 128];
pub(crate) const PEER_CLIENTS: [u32; 2] = [8, 32];
/// Client counts at which no load may be slower than bare SQL.
pub(crate) const WORST_CLIENTS: [u32; 3] = [1, 8, 32];
pub(crate) const WORST_LOADS: [Load; 3] = [Load::Spread, Load::Hot, Load::Many];

/// What takes the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum System {
    /// One order a transaction, by pgbench.
    BareSql,
    /// The service as it is delivered.
    Groups,
    /// The service with at most one order a transaction.
    GroupsOfOne,
    /// The service without row locks.
    Optimistic,
}

impl System {
    pub(crate) const ALL: [Self; 4] = [Self::BareSql, Self::Groups, Self::GroupsOfOne, Self::Optimistic];
    pub(crate) const SERVICES: [Self; 3] = [Self::Groups, Self::GroupsOfOne, Self::Optimistic];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BareSql => "bare_sql",
            Self::Groups => "groups",
            Self::GroupsOfOne => "groups_of_one",
            Self::Optimistic => "optimistic",
        }
    }

    /// What sets this service apart from the default one.
    pub(crate) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::BareSql | Self::Groups => &[],
            Self::GroupsOfOne => &[("ROWLOCK_PLACEMENT_GROUP_ORDERS_MAX", "1")],
            // An order that others have overtaken this often is given up, and counted as an error.
            Self::Optimistic => {
                &[("ROWLOCK_PLACEMENT_LOCKING", "optimistic"), ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "100")]
            }
        }
    }
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// Three of one merchant's 1,000 goods.
    Spread,
    /// One goods row that all want.
    Hot,
    /// Three goods of one of 500 merchants.
    Many,
    /// A goods row with nothing left: all are refused.
    SoldOut,
}

impl Load {
    pub(crate) const ALL: [Self; 4] = [Self::Spread, Self::Hot, Self::Many, Self::SoldOut];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Hot => "hot",
            Self::Many => "many",
            Self::SoldOut => "sold_out",
        }
    }
}

/// One point of measurement. Their order is that of the tables: by load, then clients, then system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) clients: u32,
    pub(crate) system: System,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {:>3} clients  {:13}", self.load.name(), self.clients, self.system.name())
    }
}

impl Cell {
    /// Whether a ratio is made of it, or a comparison of the systems that is worth its seconds.
    fn is_telling(&self) -> bool {
        let is_row = matches!(self.load, Load::Spread | Load::Hot);
        match self.system {
            System::Groups => match self.load {
                Load::Spread | Load::Hot => true,
                Load::Many => WORST_CLIENTS.contains(&self.clients),
                Load::SoldOut => self.clients == 128,
            },
            System::BareSql => WORST_LOADS.contains(&self.load) && WORST_CLIENTS.contains(&self.clients),
            System::GroupsOfOne | System::Optimistic => is_row && self.clients == 32,
        }
    }
}

/// The cells of a round, in order, and how often and how long each is measured.
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) cells: Vec<Cell>,
}

impl Plan {
    /// The full plan, or with QUICK=1 the short one.
    pub(crate) fn from_env() -> Result<Self> {
        let is_quick = std::env::var("QUICK").is_ok_and(|value| !value.is_empty() && value != "0");
        let (rounds, seconds) = if is_quick { (QUICK_ROUNDS, QUICK_SECONDS) } else { (ROUNDS, SECONDS) };
        let mut cells = Vec::new();
        for load in Load::ALL {
            for clients in CLIENTS {
                cells.extend(System::ALL.map(|system| Cell { load, clients, system }));
            }
        }
        cells.retain(|cell| !is_quick || cell.is_telling());
        Ok(Self { rounds: from_env("ROUNDS", rounds)?, seconds: from_env("CELL_SECONDS", seconds)?, cells })
    }
}

/// A number of the environment, or the default.
pub(crate) fn from_env(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => match u32::from_str(&value) {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{name} is {value}, not a number above zero").into()),
        },
        _ => Ok(default),
    }
}
