//! What the provider does wrong on demand: for all payments, or for one.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::book::{Manner, RefundState};
use crate::domain::money::Money;

/// Payments that have switches of their own; the oldest lose them.
const PAYMENTS_MAX: usize = 1_000;

/// What a merchant can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    /// Announce a payment.
    Create,
    /// Ask about a payment.
    Query,
    /// Close a payment.
    Close,
    /// Send money back.
    Refund,
    /// Ask about money that goes back.
    QueryRefund,
}

impl Call {
    pub(super) const ALL: [Self; 5] = [Self::Create, Self::Query, Self::Close, Self::Refund, Self::QueryRefund];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Query => "query",
            Self::Close => "close",
            Self::Refund => "refund",
            Self::QueryRefund => "query_refund",
        }
    }
}

/// What becomes of refunds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// The customer gets the money.
    #[default]
    Succeed,
    /// Given up.
    Fail,
    /// Stuck.
    Abnormal,
}

impl Fate {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("succeed", Self::Succeed), ("fail", Self::Fail), ("abnormal", Self::Abnormal)];
}

/// The switches. All off, the provider is as good as one can be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Switches {
    /// Paying makes two transactions under the number.
    pub(super) pay_twice: bool,
    /// A payment can be made although it is closed, or its deadline has passed.
    pub(super) pay_late: bool,
    /// What is paid instead of what was asked for, in yuan.
    pub(super) pay_amount: Option<Money>,
    /// Two forged notices come before the right one.
    pub(super) forge: bool,
    /// Ten of the same notice come at once.
    pub(super) repeat: bool,
    /// A notice waits until the next one was sent.
    pub(super) reorder: bool,
    /// Seconds before a notice is sent.
    pub(super) delay_s: u32,
    /// No notices at all.
    pub(super) never_call: bool,
    /// What is done, and then answered with 500.
    pub(super) fail_after: BTreeSet<Call>,
    /// What is done, and then answered later than anybody waits.
    pub(super) hang_after: BTreeSet<Call>,
    /// What becomes of refunds,
    pub(super) refund: Fate,
    /// after having been asked about so many times.
    pub(super) refund_asks: u32,
}

impl Switches {
    pub(super) fn manner(&self) -> Manner {
        Manner { late: self.pay_late, twice: self.pay_twice, amount: self.pay_amount }
    }

    pub(super) fn fate(&self) -> (RefundState, u32) {
        let state = match self.refund {
            Fate::Succeed => RefundState::Succeeded,
            Fate::Fail => RefundState::Failed,
            Fate::Abnormal => RefundState::Abnormal,
        };
        (state, self.refund_asks)
    }

    /// As a form sends them: what is ticked is there, what is not is not.
    pub(super) fn of_form(fields: &[(String, String)]) -> Result<Self, &'static str> {
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
        let count = |name: &str| match field(name) {
            None | Some("") => Ok(0),
            Some(text) => text.parse().map_err(|_| "a whole number is expected"),
        };
        let calls = |prefix: &str| {
            Call::ALL.into_iter().filter(|call| field(&format!("{prefix}_{}", call.name())).is_some()).collect()
        };
        let fate = field("refund").and_then(|name| Fate::ALL.into_iter().find(|(known, _)| *known == name));
        Ok(Self {
            pay_twice: field("pay_twice").is_some(),
            pay_late: field("pay_late").is_some(),
            pay_amount: match field("pay_amount") {
                None | Some("") => None,
                Some(text) => Some(text.parse().map_err(|_| "an amount in yuan is expected")?),
            },
            forge: field("forge").is_some(),
            repeat: field("repeat").is_some(),
            reorder: field("reorder").is_some(),
            delay_s: count("delay_s")?,
            never_call: field("never_call").is_some(),
            fail_after: calls("fail"),
            hang_after: calls("hang"),
            refund: fate.map(|(_, fate)| fate).unwrap_or_default(),
            refund_asks: count("refund_asks")?,
        })
    }
}

/// The switches of all payments, and those of single ones, which replace them.
#[derive(Default)]
pub(super) struct SwitchBoard {
    all: Switches,
    single: VecDeque<(String, Switches)>,
}

impl SwitchBoard {
    /// What holds for a payment.
    pub(super) fn of(&self, number: Option<&str>) -> &Switches {
        let single = self.single.iter().find(|(known, _)| Some(known.as_str()) == number);
        single.map_or(&self.all, |(_, switches)| switches)
    }

    /// Sets them for a payment, be it announced or not, or for all that have none of their own.
    pub(super) fn set(&mut self, number: Option<String>, switches: Switches) {
        let Some(number) = number else {
            self.all = switches;
            return;
        };
        self.single.retain(|(known, _)| *known != number);
        self.single.truncate(PAYMENTS_MAX - 1);
        self.single.push_front((number, switches));
    }
}
