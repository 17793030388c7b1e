//! The moves of an order's life: from where to where, who may make them, and why.
//!
//! Contract: [`OrderState::next`] is total. A state or a move that is added does not compile until every pair is decided.

use std::fmt;

use super::names::names;
use super::order::OrderState;
use super::staff::{Permission, Role};
use super::{CustomerId, StaffId};

/// What is done to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Its payment is confirmed.
    Pay,
    /// The restaurant takes it on.
    Accept,
    /// The restaurant declines it.
    Reject,
    /// The kitchen begins.
    Prepare,
    /// The kitchen is done.
    Ready,
    /// It leaves the house.
    Deliver,
    /// The customer has it.
    Complete,
    /// It is called off.
    Cancel,
    /// The kitchen takes its last move back.
    Recall,
    /// The restaurant will need more time; the state stays.
    Delay,
    /// The customer asks where it is; the state stays.
    Nudge,
    /// Cash is taken in; the state stays.
    Collect,
    /// Money goes back; the state stays.
    Refund,
}

names!(Move {
    Pay = "pay",
    Accept = "accept",
    Reject = "reject",
    Prepare = "prepare",
    Ready = "ready",
    Deliver = "deliver",
    Complete = "complete",
    Cancel = "cancel",
    Recall = "recall",
    Delay = "delay",
    Nudge = "nudge",
    Collect = "collect",
    Refund = "refund",
});

impl OrderState {
    /// Where a move leads from here, or nothing if it is not to be made from here. Delay, nudge, collect and refund lead back to
    /// where they were made.
    pub const fn next(self, made: Move) -> Option<Self> {
        use Move::{
            Accept, Cancel, Collect, Complete, Delay, Deliver, Nudge, Pay, Prepare, Ready, Recall, Refund, Reject,
        };
        match self {
            Self::PendingPayment => match made {
                Pay => Some(Self::PendingAccept),
                Cancel => Some(Self::Cancelled),
                Accept | Reject | Prepare | Ready | Deliver | Complete | Recall | Delay | Nudge | Collect | Refund => {
                    None
                }
            },
            Self::PendingAccept => match made {
                Accept => Some(Self::Accepted),
                Reject => Some(Self::Rejected),
                Cancel => Some(Self::Cancelled),
                Nudge => Some(self),
                Pay | Prepare | Ready | Deliver | Complete | Recall | Delay | Collect | Refund => None,
            },
            Self::Accepted => match made {
                Prepare => Some(Self::Preparing),
                Ready => Some(Self::Ready),
                Cancel => Some(Self::Cancelled),
                Delay | Nudge | Collect | Refund => Some(self),
                Pay | Accept | Reject | Deliver | Complete | Recall => None,
            },
            Self::Preparing => match made {
                Ready => Some(Self::Ready),
                Recall => Some(Self::Accepted),
                Cancel => Some(Self::Cancelled),
                Delay | Nudge | Collect | Refund => Some(self),
                Pay | Accept | Reject | Prepare | Deliver | Complete => None,
            },
            Self::Ready => match made {
                Deliver => Some(Self::Delivering),
                Complete => Some(Self::Completed),
                Recall => Some(Self::Preparing),
                Cancel => Some(Self::Cancelled),
                Delay | Nudge | Collect | Refund => Some(self),
                Pay | Accept | Reject | Prepare | Ready => None,
            },
            Self::Delivering => match made {
                Complete => Some(Self::Completed),
                Cancel => Some(Self::Cancelled),
                Nudge | Collect | Refund => Some(self),
                Pay | Accept | Reject | Prepare | Ready | Deliver | Recall | Delay => None,
            },
            Self::Completed => match made {
                Refund => Some(self),
                Pay | Accept | Reject | Prepare | Ready | Deliver | Complete | Cancel | Recall | Delay | Nudge
                | Collect => None,
            },
            Self::Cancelled | Self::Rejected => match made {
                Pay | Accept | Reject | Prepare | Ready | Deliver | Complete | Cancel | Recall | Delay | Nudge
                | Collect | Refund => None,
            },
        }
    }

    /// Whether the restaurant has taken the order on and the customer does not have it yet.
    pub const fn is_in_hand(self) -> bool {
        match self {
            Self::Accepted | Self::Preparing | Self::Ready | Self::Delivering => true,
            Self::PendingPayment | Self::PendingAccept | Self::Completed | Self::Cancelled | Self::Rejected => false,
        }
    }
}

/// Who makes a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The customer whose order it is.
    Customer(CustomerId),
    /// One of the merchant's staff.
    Staff(StaffId, Role),
    /// A deadline that has passed.
    Timer,
    /// A payment gateway that has been verified.
    Gateway,
}

impl fmt::Display for Actor {
    /// As it is stored: `customer`, `staff <id>`, `timer`, `gateway`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(_) => f.write_str("customer"),
            Self::Staff(id, _) => write!(f, "staff {id}"),
            Self::Timer => f.write_str("timer"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

impl Actor {
    /// Whether the actor may make a move from a state, where the state allows it at all. For staff it is a question of their
    /// role: see [`Permission`].
    pub const fn may(self, made: Move, from: OrderState) -> bool {
        match self {
            Self::Customer(_) => match made {
                Move::Cancel => matches!(from, OrderState::PendingPayment | OrderState::PendingAccept),
                Move::Nudge | Move::Complete => true,
                _ => false,
            },
            Self::Staff(_, role) => match Permission::to_make(made) {
                Some(permission) => role.has(permission),
                None => false,
            },
            Self::Timer => match made {
                Move::Cancel => matches!(from, OrderState::PendingPayment),
                Move::Accept | Move::Reject | Move::Complete => true,
                _ => false,
            },
            Self::Gateway => matches!(made, Move::Pay | Move::Accept),
        }
    }
}

/// Why an order is rejected, cancelled or paid back, as a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The customer has changed their mind.
    ChangedMind,
    /// The customer has made a mistake.
    OrderedByMistake,
    /// The customer has waited too long.
    TookTooLong,
    /// Something in it is sold out.
    SoldOut,
    /// The restaurant cannot keep up.
    TooBusy,
    /// The restaurant closes.
    Closing,
    /// The address is out of reach.
    OutOfReach,
    /// Something is wrong with what was made or brought.
    BadQuality,
    /// Nobody came for it.
    NoShow,
    /// The payment did not come in time.
    PayTimeout,
    /// The restaurant did not answer in time.
    AcceptTimeout,
    /// The money came too late, twice, or as another amount.
    PaymentNotWanted,
    /// Something else, told in the note.
    Other,
}

names!(Reason {
    ChangedMind = "changed_mind",
    OrderedByMistake = "ordered_by_mistake",
    TookTooLong = "took_too_long",
    SoldOut = "sold_out",
    TooBusy = "too_busy",
    Closing = "closing",
    OutOfReach = "out_of_reach",
    BadQuality = "bad_quality",
    NoShow = "no_show",
    PayTimeout = "pay_timeout",
    AcceptTimeout = "accept_timeout",
    PaymentNotWanted = "payment_not_wanted",
    Other = "other",
});

impl Reason {
    /// The code in words, Chinese and English.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ChangedMind => ("改变主意", "Changed their mind"),
            Self::OrderedByMistake => ("下错单", "Ordered by mistake"),
            Self::TookTooLong => ("等待太久", "Took too long"),
            Self::SoldOut => ("售罄", "Sold out"),
            Self::TooBusy => ("太忙", "Too busy"),
            Self::Closing => ("即将打烊", "Closing"),
            Self::OutOfReach => ("超出配送范围", "Out of reach"),
            Self::BadQuality => ("品质问题", "Bad quality"),
            Self::NoShow => ("无人取餐", "Nobody came"),
            Self::PayTimeout => ("超时未支付", "Not paid in time"),
            Self::AcceptTimeout => ("商家超时未接单", "Not accepted in time"),
            Self::PaymentNotWanted => ("款项与订单不符", "The payment did not fit the order"),
            Self::Other => ("其他", "Something else"),
        }
    }

    /// Whether people may give this reason; the others are those of timers and gateways.
    pub const fn is_for_people(self) -> bool {
        !matches!(self, Self::PayTimeout | Self::AcceptTimeout | Self::PaymentNotWanted)
    }
}

/// A reason with the words of whoever gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The code.
    pub reason: Reason,
    /// Words that go with it; not empty where the code is `other`.
    pub note: String,
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Self {
        Self { reason, note: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole matrix: a row a state, a column a move, and where it leads.
    #[test]
    fn the_machine_is_this_one() {
        let mut matrix = String::new();
        for state in OrderState::ALL {
            let led: Vec<String> =
                Move::ALL.iter().filter_map(|made| Some(format!("{made} → {}", state.next(*made)?))).collect();
            matrix += &format!("{state}: {}\n", if led.is_empty() { "nothing".to_owned() } else { led.join(", ") });
        }
        assert_eq!(
            matrix,
            "\
pending_payment: pay → pending_accept, cancel → cancelled
pending_accept: accept → accepted, reject → rejected, cancel → cancelled, nudge → pending_accept
accepted: prepare → preparing, ready → ready, cancel → cancelled, delay → accepted, nudge → accepted, collect → accepted, refund → accepted
preparing: ready → ready, cancel → cancelled, recall → accepted, delay → preparing, nudge → preparing, collect → preparing, refund → preparing
ready: deliver → delivering, complete → completed, cancel → cancelled, recall → preparing, delay → ready, nudge → ready, collect → ready, refund → ready
delivering: complete → completed, cancel → cancelled, nudge → delivering, collect → delivering, refund → delivering
completed: refund → completed
cancelled: nothing
rejected: nothing
"
        );
    }

    /// The whole matrix: a row an actor, a column a move, and from where they may make it, of the states that allow it.
    #[test]
    fn these_may_make_these_moves() {
        let nobody = uuid::Uuid::nil();
        let mut matrix = String::new();
        for (who, actor) in [
            ("customer", Actor::Customer(CustomerId(nobody))),
            ("owner", Actor::Staff(StaffId(nobody), Role::Owner)),
            ("kitchen", Actor::Staff(StaffId(nobody), Role::Kitchen)),
            ("timer", Actor::Timer),
            ("gateway", Actor::Gateway),
        ] {
            let from = |made: &Move| {
                let allows = OrderState::ALL.iter().filter(|state| state.next(*made).is_some());
                let (may, may_not): (Vec<&OrderState>, Vec<&OrderState>) =
                    allows.partition(|state| actor.may(*made, **state));
                let states: Vec<&str> = may.iter().map(|state| state.name()).collect();
                match (may.is_empty(), may_not.is_empty()) {
                    (true, _) => None,
                    (false, true) => Some(made.to_string()),
                    (false, false) => Some(format!("{made} from {}", states.join(" or "))),
                }
            };
            matrix += &format!("{who}: {}\n", Move::ALL.iter().filter_map(from).collect::<Vec<_>>().join(", "));
        }
        assert_eq!(
            matrix,
            "\
customer: complete, cancel from pending_payment or pending_accept, nudge
owner: accept, reject, prepare, ready, deliver, complete, cancel, recall, delay, collect, refund
kitchen: prepare, ready, recall
timer: accept, reject, complete, cancel from pending_payment
gateway: pay, accept
"
        );
    }

    #[test]
    fn these_are_in_the_restaurants_hands() {
        let in_hand = OrderState::ALL.iter().filter(|state| state.is_in_hand()).map(|state| state.name());
        assert_eq!(in_hand.collect::<Vec<_>>(), ["accepted", "preparing", "ready", "delivering"]);
    }

    #[test]
    fn reasons_have_words_and_some_are_for_people() {
        for reason in Reason::ALL {
            let (zh, en) = reason.words();
            assert!(!zh.is_ascii() && en.starts_with(char::is_uppercase), "{reason}");
        }
        let not_for_people = Reason::ALL.iter().filter(|reason| !reason.is_for_people()).map(|reason| reason.name());
        let not_for_people: Vec<&str> = not_for_people.collect();
        assert_eq!(not_for_people, ["pay_timeout", "accept_timeout", "payment_not_wanted"]);
    }

    #[test]
    fn nothing_leads_out_of_a_terminal_state() {
        for state in [OrderState::Completed, OrderState::Cancelled, OrderState::Rejected] {
            assert!(Move::ALL.iter().filter_map(|made| state.next(*made)).all(|to| to == state), "{state}");
        }
    }

    #[test]
    fn names_lead_back_to_their_values() {
        for made in Move::ALL {
            assert_eq!(made.name().parse(), Ok(*made));
        }
        for reason in Reason::ALL {
            assert_eq!(reason.name().parse(), Ok(*reason));
        }
    }
}
