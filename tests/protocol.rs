//! Cancel against pay, and the way of a refund, as a model: every order in which the steps of customer, gateway, network, staff, timers and
//! two instances may follow each other is tried, with crashes between any two. There are no leases: nothing may rest on them.
//!
//! | step | in the service |
//! | --- | --- |
//! | `Begin`, `AnnounceAgain` | `service::payments::begin`, and the call after it: one attempt is open at a time |
//! | `Start`, `CallOff` | `service::orders::cancel`, as a request or a timer calls it: it stops at an open attempt, and is run again after that is closed; `service::payments::begin_closing` |
//! | `Close`, `Query` | the calls in `service::till::closing`: only a plain success of the close is believed |
//! | `Write` | `service::payments::end_closing`, or `confirm` |
//! | `Notice`, `Look`, `Reconcile` | a notice, a query and the day's bill; each ends in `service::payments::confirm` |
//! | `Accept`, `Reject`, `CancelPaid` | the staff's moves in `service::orders` |
//! | `AskBack`, `WriteBack`, `RefundNotice`, `PutInAgain` | `service::till::refunding` and `service::refunds` |
//!
//! What money becomes is decided by [`PaymentState::settled`], here as there. Whoever changes one of these functions changes its step.
//!
//! One gap is known, and belongs to the gateways: what they say they have never heard of may arrive later, and be paid. Such money goes back.
//!
//! A check that cannot fail is worth nothing: for each [`Mistake`] the checker must find what comes of it.

#![expect(clippy::unit_arg, reason = "a step that can be taken is an assignment in Some")]

#[path = "protocol/model.rs"]
mod model;

use rowlock::domain::order::OrderState;
use rowlock::domain::payment::{PaymentState, RefundState};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::model::{Attempt, Mistake, Protocol, Step, Trade, World};

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, _: &World, steps: &mut Vec<Step>) {
        steps.extend(self.certain().into_iter().chain(self.optional()));
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        self.after(world, &step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("stock is back once, and only when the order has ended", |_, world: &World| {
                world.shelf == u8::from(has_ended(world))
            }),
            Property::always("an end is final", |_, world: &World| {
                world.ended.is_none_or(|ended| ended == world.order)
            }),
            Property::always("nothing is called off for want of money while money may come", |_, world: &World| {
                !world.is_unpaid || world.attempts.iter().all(cannot_be_paid)
            }),
            Property::always("an order is paid by one payment, and stays so", |_, world: &World| {
                let paid = world.attempts.iter().filter(|attempt| attempt.state == Some(PaymentState::Paid)).count();
                paid == usize::from(world.order != OrderState::PendingPayment && !world.is_unpaid)
            }),
            Property::always("what does not pay a live order is owed back, once", |_, world: &World| {
                world.attempts.iter().all(|attempt| {
                    let is_kept = attempt.state == Some(PaymentState::Paid) && !has_ended(world);
                    attempt.owed == u8::from(attempt.has_money() && !is_kept)
                })
            }),
            Property::always("no more goes back than came in", |_, world: &World| {
                world.attempts.iter().all(|attempt| attempt.gone_back() <= usize::from(attempt.trade == Trade::Paid))
            }),
            Property::always("what is said to be back is back", |_, world: &World| {
                let is_said = |attempt: &Attempt| attempt.owed > 0 && attempt.refund == RefundState::Succeeded;
                world.attempts.iter().all(|attempt| !is_said(attempt) || attempt.gone_back() > 0)
            }),
            Property::always(
                "when nothing is left to do, money is where it belongs",
                |protocol: &Self, world: &World| {
                    protocol.certain().iter().any(|step| protocol.after(world, step).is_some()) || is_settled(world)
                },
            ),
            // The model can do what it is about.
            Property::sometimes("an order is paid and made", |_, world: &World| world.order == OrderState::Accepted),
            Property::sometimes("money comes late and goes back", |_, world: &World| {
                let is_back = |attempt: &Attempt| {
                    attempt.state == Some(PaymentState::PaidLate) && attempt.refund == RefundState::Succeeded
                };
                world.attempts.iter().any(is_back)
            }),
            Property::sometimes("money comes first, and the close finds it", |_, world: &World| {
                let found = |worker: &model::Worker| matches!(worker, model::Worker::Found(_, Trade::Paid));
                world.order == OrderState::PendingPayment && world.workers.iter().all(found)
            }),
        ];
        if self.attempts > 1 {
            properties.push(Property::sometimes("two attempts are paid", |_, world: &World| {
                world.attempts.iter().any(|attempt| attempt.state == Some(PaymentState::PaidDuplicate))
            }));
        }
        if self.with_refunds {
            properties.push(Property::sometimes("a refund needs a second number", |_, world: &World| {
                world.attempts.iter().any(|attempt| attempt.round == 1 && attempt.refund == RefundState::Succeeded)
            }));
        }
        properties
    }
}

fn has_ended(world: &World) -> bool {
    matches!(world.order, OrderState::Cancelled | OrderState::Rejected)
}

/// Whether the gateway takes no money for it, or has denied that it could.
fn cannot_be_paid(attempt: &Attempt) -> bool {
    attempt.was_denied || matches!(attempt.trade, Trade::Unknown | Trade::Closed)
}

/// Whether all money is known, and what is kept is what the order is worth.
fn is_settled(world: &World) -> bool {
    let came = world.attempts.iter().filter(|attempt| attempt.trade == Trade::Paid).count();
    let went: usize = world.attempts.iter().map(Attempt::gone_back).sum();
    let known = world.attempts.iter().filter(|attempt| attempt.has_money()).count();
    let is_back = |attempt: &Attempt| attempt.owed == 0 || attempt.refund == RefundState::Succeeded;
    let worth = usize::from(!has_ended(world));
    known == came && came == went + worth && world.attempts.iter().all(is_back)
}

#[track_caller]
fn holds(protocol: Protocol) {
    let checker = protocol.clone().checker().threads(2).spawn_bfs().join();
    println!("{protocol:?}: {} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.is_done());
}

#[test]
fn one_attempt_with_all_that_befalls_a_refund() {
    holds(Protocol { attempts: 1, with_refunds: true, mistake: None });
}

#[test]
fn two_attempts() {
    holds(Protocol { attempts: 2, with_refunds: false, mistake: None });
}

/// What the checker must find, for each mistake.
#[test]
fn every_mistake_is_found() {
    let mistakes = [
        (Mistake::NotClosed, "nothing is called off for want of money while money may come"),
        (Mistake::CodeBelieved, "nothing is called off for want of money while money may come"),
        (Mistake::NotCheckedAgain, "an order is paid by one payment, and stays so"),
        (Mistake::CountedTwice, "what does not pay a live order is owed back, once"),
        (Mistake::LateMoneyKept, "what does not pay a live order is owed back, once"),
        (Mistake::NewNumber, "no more goes back than came in"),
        (Mistake::TakenOnIsDone, "what is said to be back is back"),
    ];
    for (mistake, breaks) in mistakes {
        let with_refunds = matches!(mistake, Mistake::NewNumber | Mistake::TakenOnIsDone);
        let attempts = if with_refunds { 1 } else { 2 };
        let protocol = Protocol { attempts, with_refunds, mistake: Some(mistake) };
        let found = HasDiscoveries::AnyOf([breaks].into());
        let checker = protocol.checker().threads(2).finish_when(found).spawn_bfs().join();
        let path = checker.discovery(breaks).unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?} breaks that {breaks}:");
        path.into_actions().iter().for_each(|step| println!("    {step:?}"));
    }
}
