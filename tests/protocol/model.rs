//! The model: what there is, and every step that anybody may take next.

use rowlock::domain::order::OrderState;
use rowlock::domain::payment::{PaymentState, RefundState};

/// A payment at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trade {
    Unknown,
    Open,
    Paying,
    Paid,
    Closed,
}

/// A refund at the gateway, under one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Back {
    Unknown,
    Processing,
    Succeeded,
    Failed,
}

/// One attempt to pay, here and at the gateway. It is for the order's whole amount, which is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// Its row; none before it is begun.
    pub(crate) state: Option<PaymentState>,
    /// Its announcement is on the way to the gateway.
    pub(crate) is_announced: bool,
    pub(crate) trade: Trade,
    /// The gateway has said that it does not know it.
    pub(crate) was_denied: bool,
    /// A notice of it may come yet, or once more.
    pub(crate) may_be_told: bool,
    /// Rows of refunds.
    pub(crate) owed: u8,
    pub(crate) refund: RefundState,
    /// Which of the two numbers the refund is asked for under.
    pub(crate) round: usize,
    /// What the gateway has said about the refund, to the last who asked, who has not written it down.
    pub(crate) answer: Option<(usize, Back)>,
    pub(crate) backs: [Back; 2],
}

impl Attempt {
    fn is_open(&self) -> bool {
        self.state.is_some_and(PaymentState::is_open)
    }

    pub(crate) fn has_money(&self) -> bool {
        self.state.is_some_and(PaymentState::has_money)
    }

    pub(crate) fn gone_back(&self) -> usize {
        self.backs.iter().filter(|back| **back == Back::Succeeded).count()
    }
}

/// Whoever calls an unpaid order off: a request, or a timer, of any instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Worker {
    Idle,
    /// The attempt is noted as closing; the gateway is to be told.
    Closing(usize),
    /// The gateway did not say that it is closed, and is to be asked.
    Asking(usize),
    /// The gateway has said where it stands, which is to be written down.
    Found(usize, Trade),
    /// Nothing stood in the way a moment ago.
    CallingOff,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) order: OrderState,
    /// Of the one unit that the order took: how much of it is back.
    pub(crate) shelf: u8,
    /// What the order ended as first.
    pub(crate) ended: Option<OrderState>,
    /// It ended because nobody had paid.
    pub(crate) is_unpaid: bool,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) workers: [Worker; 2],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is answered.
    Answered,
    /// It takes effect, and the answer is lost.
    Unanswered,
    /// It does not arrive.
    Lost,
}

/// A step. Numbers are an attempt's, or a worker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    // The customer, and the network under them.
    Begin(usize),
    AnnounceAgain(usize),
    AnnouncementArrives(usize),
    AnnouncementIsLost(usize),
    TypePassword(usize),
    TypeWrongPassword(usize),
    Pay(usize),
    // The gateway.
    TradeExpires(usize),
    Notice(usize),
    NoticesEnd(usize),
    RefundSucceeds(usize, usize),
    RefundFails(usize, usize),
    RefundNotice(usize),
    // The staff.
    Accept,
    Reject,
    CancelPaid,
    PutInAgain(usize),
    // Timers.
    Look(usize),
    Reconcile(usize),
    AskBack(usize, Call),
    WriteBack(usize),
    ForgetAnswer(usize),
    // Workers.
    Start(usize),
    Close(usize, Call),
    Query(usize),
    Write(usize),
    CallOff(usize),
    Crash(usize),
}

/// A mistake that the protocol might be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The gateway is not told before the order is called off.
    NotClosed,
    /// A refused close is taken for a closed payment, without a query.
    CodeBelieved,
    /// What was so before the gateway was called is not looked at again.
    NotCheckedAgain,
    /// A transaction's number is not looked up before its money is counted.
    CountedTwice,
    /// Money that comes for an order that is called off is written down, and kept.
    LateMoneyKept,
    /// A refund that was not answered is asked for under another number.
    NewNumber,
    /// A refund that the gateway has taken on counts as done.
    TakenOnIsDone,
}

/// What is explored.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) attempts: usize,
    /// Refunds fail, and what is said of them gets lost. Otherwise they are done in one step.
    pub(crate) with_refunds: bool,
    pub(crate) mistake: Option<Mistake>,
}

impl Protocol {
    pub(crate) fn begin(&self) -> World {
        let attempt = Attempt {
            state: None,
            is_announced: false,
            trade: Trade::Unknown,
            was_denied: false,
            may_be_told: false,
            owed: 0,
            refund: RefundState::Due,
            round: 0,
            answer: None,
            backs: [Back::Unknown; 2],
        };
        World {
            order: OrderState::PendingPayment,
            shelf: 0,
            ended: None,
            is_unpaid: false,
            attempts: vec![attempt; self.attempts],
            workers: [Worker::Idle; 2],
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// What nobody can be relied on to do: customers and staff may do nothing, and nothing need go wrong.
    pub(crate) fn optional(&self) -> Vec<Step> {
        let mut steps = vec![Step::Accept, Step::Reject, Step::CancelPaid];
        for p in 0..self.attempts {
            steps.extend([Step::Begin(p), Step::AnnounceAgain(p), Step::TypePassword(p)]);
        }
        for w in 0..2 {
            steps.push(Step::Crash(w));
        }
        steps
    }

    /// What happens at last, if it can.
    pub(crate) fn certain(&self) -> Vec<Step> {
        let calls = [Call::Answered, Call::Unanswered, Call::Lost];
        let mut steps = Vec::new();
        for p in 0..self.attempts {
            steps.extend([Step::AnnouncementArrives(p), Step::AnnouncementIsLost(p), Step::TypeWrongPassword(p)]);
            steps.extend([Step::Pay(p), Step::TradeExpires(p), Step::Notice(p), Step::NoticesEnd(p)]);
            steps.extend([Step::Look(p), Step::Reconcile(p), Step::PutInAgain(p), Step::RefundNotice(p)]);
            steps.extend([Step::WriteBack(p), Step::ForgetAnswer(p)]);
            steps.extend([0, 1].into_iter().flat_map(|r| [Step::RefundSucceeds(p, r), Step::RefundFails(p, r)]));
            steps.extend(calls.map(|call| Step::AskBack(p, call)));
        }
        for w in 0..2 {
            steps.extend([Step::Start(w), Step::Query(w), Step::Write(w), Step::CallOff(w)]);
            steps.extend(calls.map(|call| Step::Close(w, call)));
        }
        steps
    }

    /// The world after a step, if the step can be taken and changes anything.
    pub(crate) fn after(&self, before: &World, step: &Step) -> Option<World> {
        let mut world = before.clone();
        self.take(&mut world, step)?;
        // It does not matter which worker does what.
        world.workers.sort_unstable();
        (world != *before).then_some(world)
    }

    fn take(&self, world: &mut World, step: &Step) -> Option<()> {
        match *step {
            Step::Start(w)
            | Step::Close(w, _)
            | Step::Query(w)
            | Step::Write(w)
            | Step::CallOff(w)
            | Step::Crash(w) => self.work(world, w, step),
            Step::RefundSucceeds(p, _)
            | Step::RefundFails(p, _)
            | Step::RefundNotice(p)
            | Step::PutInAgain(p)
            | Step::AskBack(p, _)
            | Step::WriteBack(p)
            | Step::ForgetAnswer(p) => self.send_back(&mut world.attempts[p], step),
            Step::Accept => world.turn(OrderState::PendingAccept, OrderState::Accepted),
            Step::Reject => {
                world.turn(OrderState::PendingAccept, OrderState::Rejected)?;
                world.call_off_paid()
            }
            Step::CancelPaid => {
                world.turn(OrderState::Accepted, OrderState::Cancelled)?;
                world.call_off_paid()
            }
            Step::Notice(p) => world.attempts[p].may_be_told.then(|| self.confirm(world, p)),
            Step::Look(p) => {
                let attempt = &world.attempts[p];
                (attempt.is_open() && attempt.trade == Trade::Paid).then(|| self.confirm(world, p))
            }
            Step::Reconcile(p) => {
                let attempt = &world.attempts[p];
                let is_missing = attempt.trade == Trade::Paid && !attempt.has_money() && !attempt.may_be_told;
                is_missing.then(|| self.confirm(world, p))
            }
            Step::Begin(p) => {
                let may = world.order == OrderState::PendingPayment && !world.attempts.iter().any(Attempt::is_open);
                let is_next = world.attempts.iter().position(|attempt| attempt.state.is_none()) == Some(p);
                let attempt = &mut world.attempts[p];
                (may && is_next).then(|| (attempt.state, attempt.is_announced) = (Some(PaymentState::Pending), true))
            }
            Step::AnnounceAgain(p) => {
                let attempt = &mut world.attempts[p];
                (attempt.state == Some(PaymentState::Pending)).then(|| attempt.is_announced = true)
            }
            Step::AnnouncementArrives(p) => {
                let attempt = &mut world.attempts[p];
                std::mem::take(&mut attempt.is_announced).then_some(())?;
                if attempt.trade == Trade::Unknown {
                    attempt.trade = Trade::Open;
                }
                Some(())
            }
            Step::AnnouncementIsLost(p) => Some(world.attempts[p].is_announced = false),
            Step::TypePassword(p) => world.trade(p, Trade::Open, Trade::Paying),
            Step::TypeWrongPassword(p) => world.trade(p, Trade::Paying, Trade::Open),
            Step::Pay(p) => {
                world.trade(p, Trade::Paying, Trade::Paid)?;
                Some(world.attempts[p].may_be_told = true)
            }
            Step::TradeExpires(p) => world.trade(p, Trade::Open, Trade::Closed),
            Step::NoticesEnd(p) => Some(world.attempts[p].may_be_told = false),
        }
    }

    /// One transaction: money counts once, and what does not fit is owed back.
    fn confirm(&self, world: &mut World, p: usize) {
        let is_paid = world.attempts.iter().any(|attempt| attempt.state == Some(PaymentState::Paid));
        let is_known = world.attempts[p].has_money();
        if is_known && !self.makes(Mistake::CountedTwice) {
            return;
        }
        let state = PaymentState::settled(world.order, is_paid, true);
        let attempt = &mut world.attempts[p];
        if !is_known {
            attempt.state = Some(state);
        }
        if state == PaymentState::Paid {
            world.order = OrderState::PendingAccept;
        } else if state != PaymentState::PaidLate || !self.makes(Mistake::LateMoneyKept) {
            // Two rows are as wrong as more.
            attempt.owed = (attempt.owed + 1).min(2);
        }
    }

    fn work(&self, world: &mut World, w: usize, step: &Step) -> Option<()> {
        world.workers[w] = match (world.workers[w], step) {
            (_, Step::Crash(_)) => Worker::Idle,
            (Worker::Idle, Step::Start(_)) if world.order == OrderState::PendingPayment => {
                match world.attempts.iter().position(Attempt::is_open) {
                    Some(_) if self.makes(Mistake::NotClosed) => Worker::CallingOff,
                    Some(p) => {
                        world.attempts[p].state = Some(PaymentState::Closing);
                        Worker::Closing(p)
                    }
                    None => Worker::CallingOff,
                }
            }
            (Worker::Closing(p), Step::Close(_, call)) => {
                let trade = &mut world.attempts[p].trade;
                let is_closed = matches!(trade, Trade::Open | Trade::Closed);
                if is_closed && *call != Call::Lost {
                    *trade = Trade::Closed;
                }
                match call {
                    Call::Answered if is_closed || self.makes(Mistake::CodeBelieved) => Worker::Found(p, Trade::Closed),
                    _ => Worker::Asking(p),
                }
            }
            (Worker::Asking(p), Step::Query(_)) => {
                let attempt = &mut world.attempts[p];
                attempt.was_denied |= attempt.trade == Trade::Unknown;
                Worker::Found(p, attempt.trade)
            }
            (Worker::Found(p, Trade::Paid), Step::Write(_)) => {
                self.confirm(world, p);
                Worker::Idle
            }
            (Worker::Found(p, found), Step::Write(_)) => {
                let is_closed = matches!(found, Trade::Closed | Trade::Unknown);
                let to = if is_closed { PaymentState::Closed } else { PaymentState::Pending };
                let attempt = &mut world.attempts[p];
                if attempt.is_open() {
                    attempt.state = Some(to);
                }
                if is_closed { Worker::CallingOff } else { Worker::Idle }
            }
            (Worker::CallingOff, Step::CallOff(_)) => {
                let is_pending = world.order == OrderState::PendingPayment || self.makes(Mistake::NotCheckedAgain);
                let is_open = world.attempts.iter().any(Attempt::is_open) && !self.makes(Mistake::NotClosed);
                if is_pending && !is_open {
                    world.order = OrderState::Cancelled;
                    world.is_unpaid = true;
                    world.end();
                }
                Worker::Idle
            }
            _ => return None,
        };
        Some(())
    }

    fn send_back(&self, attempt: &mut Attempt, step: &Step) -> Option<()> {
        let is_owed = attempt.owed > 0;
        let back = attempt.backs[attempt.round];
        match *step {
            Step::AskBack(_, Call::Answered) if is_owed && !self.with_refunds => {
                attempt.refund = RefundState::Succeeded;
                Some(attempt.backs[0] = Back::Succeeded)
            }
            _ if !self.with_refunds => None,
            Step::AskBack(_, call) if is_owed && attempt.refund == RefundState::Due => {
                if back == Back::Unknown && call != Call::Lost {
                    attempt.backs[attempt.round] = Back::Processing;
                }
                if call == Call::Answered {
                    attempt.answer = Some((attempt.round, attempt.backs[attempt.round]));
                } else if self.makes(Mistake::NewNumber) {
                    attempt.round = 1;
                }
                Some(())
            }
            Step::AskBack(_, Call::Answered) if attempt.refund == RefundState::Submitted => {
                Some(attempt.answer = Some((attempt.round, back)))
            }
            Step::WriteBack(_) => {
                let (round, said) = attempt.answer.take()?;
                self.settle(attempt, round, said)
            }
            Step::ForgetAnswer(_) => attempt.answer.take().map(drop),
            Step::RefundNotice(_) if matches!(back, Back::Succeeded | Back::Failed) => {
                self.settle(attempt, attempt.round, back)
            }
            Step::RefundSucceeds(_, round) if attempt.backs[round] == Back::Processing => {
                Some(attempt.backs[round] = Back::Succeeded)
            }
            // The second time all goes well, so that there is an end.
            Step::RefundFails(_, 0) if attempt.backs[0] == Back::Processing => Some(attempt.backs[0] = Back::Failed),
            Step::PutInAgain(_) if attempt.refund == RefundState::Failed => {
                (attempt.refund, attempt.round) = (RefundState::Due, 1);
                Some(())
            }
            _ => None,
        }
    }

    /// One transaction: what was said of a number counts while the refund is asked for under it, and has not ended.
    fn settle(&self, attempt: &mut Attempt, round: usize, said: Back) -> Option<()> {
        if round == attempt.round && !matches!(attempt.refund, RefundState::Succeeded | RefundState::Failed) {
            attempt.refund = match said {
                Back::Unknown => RefundState::Due,
                Back::Processing if self.makes(Mistake::TakenOnIsDone) => RefundState::Succeeded,
                Back::Processing => RefundState::Submitted,
                Back::Succeeded => RefundState::Succeeded,
                Back::Failed => RefundState::Failed,
            };
        }
        Some(())
    }
}

impl World {
    fn turn(&mut self, from: OrderState, to: OrderState) -> Option<()> {
        (self.order == from).then(|| self.order = to)
    }

    fn trade(&mut self, p: usize, from: Trade, to: Trade) -> Option<()> {
        let trade = &mut self.attempts[p].trade;
        (*trade == from).then(|| *trade = to)
    }

    /// The rest of a transaction that calls a paid order off.
    fn call_off_paid(&mut self) -> Option<()> {
        if let Some(paid) = self.attempts.iter_mut().find(|attempt| attempt.state == Some(PaymentState::Paid)) {
            paid.owed = (paid.owed + 1).min(2);
        }
        self.end();
        Some(())
    }

    fn end(&mut self) {
        self.shelf = (self.shelf + 1).min(2);
        self.ended = self.ended.or(Some(self.order));
    }
}
