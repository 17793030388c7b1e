//! Who is placed next: a bounded queue per merchant, and the groups that are taken from it.
//!
//! Contract: no threads, no clock, no database. Orders for the same goods of a merchant leave in the order they came in.
//! In the pessimistic way groups of one merchant that are out at the same time want different goods, so that they never
//! wait for each other's locks; that saves time, and the locks are what is right. A merchant whose group was taken goes to
//! the end of the line.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::domain::{GoodsId, MerchantId};

/// How many orders may wait, and leave together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Orders that may wait in all.
    pub(super) orders_max: usize,
    /// Orders of one merchant that may wait.
    pub(super) merchant_orders_max: usize,
    /// Orders of one group.
    pub(super) group_orders_max: usize,
    /// Groups of one merchant that may be out at the same time.
    pub(super) merchant_groups_max: usize,
    /// Groups that are out at the same time want different goods.
    pub(super) apart: bool,
}

/// What waits: it names the goods it wants.
pub(super) trait Wants {
    /// The goods.
    fn goods(&self) -> impl Iterator<Item = GoodsId>;
}

/// Orders of one merchant that leave together, in the order they came in; never empty.
pub(super) struct Group<T> {
    pub(super) merchant: MerchantId,
    pub(super) orders: Vec<T>,
    /// Gives the goods back; see [`Queue::done`].
    pub(super) ticket: Ticket,
}

/// Goods that nobody else may want before the group is back.
#[derive(Debug)]
pub(super) struct Ticket {
    merchant: MerchantId,
    busy: HashSet<GoodsId>,
}

/// The orders that wait.
pub(super) struct Queue<T> {
    bounds: Bounds,
    merchants: HashMap<MerchantId, Merchant<T>>,
    /// Merchants of whom a group may be taken, the one that has waited longest first. Each stands here once.
    line: VecDeque<MerchantId>,
    len: usize,
}

struct Merchant<T> {
    waiting: VecDeque<T>,
    /// What the groups want that are out.
    busy: HashSet<GoodsId>,
    groups_out: usize,
    is_in_line: bool,
}

impl<T: Wants> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, merchants: HashMap::new(), line: VecDeque::new(), len: 0 }
    }

    /// How many orders wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether a group may be taken now.
    pub(super) fn is_ready(&self) -> bool {
        !self.line.is_empty()
    }

    /// Whether an order of the merchant may be added.
    pub(super) fn has_room(&self, merchant: MerchantId) -> bool {
        let theirs = self.merchants.get(&merchant).map_or(0, |known| known.waiting.len());
        self.len < self.bounds.orders_max && theirs < self.bounds.merchant_orders_max
    }

    /// Adds an order, or gives it back when there is no room.
    pub(super) fn push(&mut self, merchant: MerchantId, order: T) -> Result<(), T> {
        if !self.has_room(merchant) {
            return Err(order);
        }
        let known = self.merchants.entry(merchant).or_insert_with(|| Merchant {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            groups_out: 0,
            is_in_line: false,
        });
        let may_leave =
            known.groups_out < self.bounds.merchant_groups_max && !order.goods().any(|id| known.busy.contains(&id));
        known.waiting.push_back(order);
        self.len += 1;
        if may_leave && !known.is_in_line {
            known.is_in_line = true;
            self.line.push_back(merchant);
        }
        Ok(())
    }

    /// Takes what waits for the merchant that has waited longest, as far as it may leave together. Whoever takes a group
    /// says when it is [`Queue::done`].
    pub(super) fn take(&mut self) -> Option<Group<T>> {
        while let Some(id) = self.line.pop_front() {
            let merchant = self.merchants.get_mut(&id).expect("who stands in line waits for something");
            merchant.is_in_line = false;
            let (orders, busy) = merchant.leave(&self.bounds);
            if orders.is_empty() {
                continue;
            }
            self.len -= orders.len();
            merchant.groups_out += 1;
            let may_have_more = orders.len() == self.bounds.group_orders_max;
            if may_have_more && !merchant.waiting.is_empty() && merchant.groups_out < self.bounds.merchant_groups_max {
                merchant.is_in_line = true;
                self.line.push_back(id);
            }
            return Some(Group { merchant: id, orders, ticket: Ticket { merchant: id, busy } });
        }
        None
    }

    /// A group is back.
    pub(super) fn done(&mut self, ticket: Ticket) {
        let id = ticket.merchant;
        let merchant = self.merchants.get_mut(&id).expect("a merchant stays known while a group of it is out");
        merchant.groups_out -= 1;
        for goods in ticket.busy {
            merchant.busy.remove(&goods);
        }
        if merchant.waiting.is_empty() {
            if merchant.groups_out == 0 {
                self.merchants.remove(&id);
            }
        } else if !merchant.is_in_line {
            merchant.is_in_line = true;
            self.line.push_back(id);
        }
    }
}

impl<T: Wants> Merchant<T> {
    /// The first orders whose goods are not busy. What is passed over keeps its place, and its goods from those behind it. Looks at
    /// all that wait, of which `merchant_orders_max` is the bound.
    fn leave(&mut self, bounds: &Bounds) -> (Vec<T>, HashSet<GoodsId>) {
        if !bounds.apart {
            let count = self.waiting.len().min(bounds.group_orders_max);
            return (self.waiting.drain(..count).collect(), HashSet::new());
        }
        // First who leaves: mostly nobody is passed over, or nobody leaves, and then nothing has to be moved.
        let mut held: HashSet<GoodsId> = HashSet::new();
        let mut leaves: Vec<usize> = Vec::new();
        for (place, order) in self.waiting.iter().enumerate() {
            if leaves.len() == bounds.group_orders_max {
                break;
            }
            if order.goods().any(|id| self.busy.contains(&id) || held.contains(&id)) {
                held.extend(order.goods());
            } else {
                leaves.push(place);
            }
        }
        let (mut leaving, mut passed_over) = (Vec::with_capacity(leaves.len()), Vec::new());
        let looked_at = leaves.last().map_or(0, |last| last + 1);
        let mut leaves = leaves.into_iter().peekable();
        for (place, order) in self.waiting.drain(..looked_at).enumerate() {
            let side = if leaves.next_if_eq(&place).is_some() { &mut leaving } else { &mut passed_over };
            side.push(order);
        }
        for order in passed_over.into_iter().rev() {
            self.waiting.push_front(order);
        }
        let busy: HashSet<GoodsId> = leaving.iter().flat_map(T::goods).collect();
        self.busy.extend(&busy);
        (leaving, busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Order(u32, Vec<i64>);

    impl Wants for Order {
        fn goods(&self) -> impl Iterator<Item = GoodsId> {
            self.1.iter().copied().map(GoodsId)
        }
    }

    const BOUNDS: Bounds =
        Bounds { orders_max: 8, merchant_orders_max: 6, group_orders_max: 3, merchant_groups_max: 2, apart: true };

    fn queue(bounds: Bounds, orders: &[(i64, u32, &[i64])]) -> Queue<Order> {
        let mut queue = Queue::new(bounds);
        for (merchant, number, goods) in orders {
            queue.push(MerchantId(*merchant), Order(*number, goods.to_vec())).expect("there is room");
        }
        queue
    }

    /// Merchant and numbers of the next group, and its ticket.
    fn take(queue: &mut Queue<Order>) -> Option<(i64, Vec<u32>, Ticket)> {
        let group = queue.take()?;
        Some((group.merchant.0, group.orders.iter().map(|order| order.0).collect(), group.ticket))
    }

    fn numbers(queue: &mut Queue<Order>) -> Option<(i64, Vec<u32>)> {
        take(queue).map(|(merchant, numbers, _)| (merchant, numbers))
    }

    #[test]
    fn what_waits_leaves_together_up_to_the_limit() {
        let mut queue = queue(BOUNDS, &[(1, 1, &[1]), (1, 2, &[1]), (1, 3, &[2]), (1, 4, &[3])]);
        assert_eq!(numbers(&mut queue), Some((1, vec![1, 2, 3])));
        assert_eq!(numbers(&mut queue), Some((1, vec![4])), "its goods are not busy");
        assert_eq!((numbers(&mut queue), queue.len()), (None, 0));
    }

    #[test]
    fn busy_goods_are_waited_for_and_nobody_overtakes_for_the_same_goods() {
        let mut queue = queue(BOUNDS, &[(1, 1, &[1])]);
        let (_, _, first) = take(&mut queue).expect("a group");
        for (number, goods) in [(2, vec![1, 2]), (3, vec![2]), (4, vec![3])] {
            queue.push(MerchantId(1), Order(number, goods)).expect("there is room");
        }
        // 3 wants what 2 wants, which waits for 1; only 4 may leave.
        let (_, left, second) = take(&mut queue).expect("a group");
        assert_eq!((left, queue.is_ready()), (vec![4], false));
        queue.done(first);
        assert_eq!(numbers(&mut queue), Some((1, vec![2, 3])));
        queue.done(second);
    }

    #[test]
    fn an_order_for_busy_goods_wakes_nobody() {
        let mut queue = queue(BOUNDS, &[(1, 1, &[1])]);
        let (_, _, first) = take(&mut queue).expect("a group");
        queue.push(MerchantId(1), Order(2, vec![1])).expect("there is room");
        assert!(!queue.is_ready());
        queue.done(first);
        assert!(queue.is_ready());
    }

    #[test]
    fn merchants_take_turns() {
        let mut queue = queue(
            BOUNDS,
            &[(1, 1, &[1]), (1, 2, &[1]), (1, 3, &[1]), (2, 4, &[1]), (1, 5, &[2]), (1, 6, &[2]), (1, 7, &[2])],
        );
        assert_eq!(numbers(&mut queue), Some((1, vec![1, 2, 3])));
        assert_eq!(numbers(&mut queue), Some((2, vec![4])), "whoever was served goes to the end of the line");
        assert_eq!(numbers(&mut queue), Some((1, vec![5, 6, 7])));
    }

    #[test]
    fn one_merchant_has_only_so_many_groups_out() {
        let mut queue = queue(BOUNDS, &[(1, 1, &[1])]);
        let (_, _, first) = take(&mut queue).expect("a group");
        queue.push(MerchantId(1), Order(2, vec![2])).expect("there is room");
        take(&mut queue).expect("a second group");
        queue.push(MerchantId(1), Order(3, vec![3])).expect("there is room");
        assert_eq!(numbers(&mut queue), None);
        queue.done(first);
        assert_eq!(numbers(&mut queue), Some((1, vec![3])));
    }

    #[test]
    fn in_the_optimistic_way_groups_want_the_same_goods() {
        let bounds = Bounds { apart: false, group_orders_max: 1, ..BOUNDS };
        let mut queue = queue(bounds, &[(1, 1, &[1]), (1, 2, &[1]), (1, 3, &[1])]);
        assert_eq!(numbers(&mut queue), Some((1, vec![1])));
        assert_eq!(numbers(&mut queue), Some((1, vec![2])));
        assert_eq!(numbers(&mut queue), None, "two groups are out");
    }

    #[test]
    fn a_full_queue_gives_back_and_one_merchant_cannot_fill_it() {
        let mut queue = Queue::new(BOUNDS);
        let accepted = |queue: &mut Queue<Order>, merchant| {
            (0..10).filter(|number| queue.push(MerchantId(merchant), Order(*number, vec![1])).is_ok()).count()
        };
        assert_eq!(accepted(&mut queue, 1), 6);
        assert_eq!(accepted(&mut queue, 2), 2);
        assert_eq!(accepted(&mut queue, 3), 0);
        assert_eq!(queue.len(), 8);
    }

    #[test]
    fn nothing_is_remembered_of_merchants_who_wait_for_nothing() {
        let mut queue = queue(BOUNDS, &[(1, 1, &[1]), (2, 2, &[1])]);
        while let Some((_, _, ticket)) = take(&mut queue) {
            queue.done(ticket);
        }
        assert!(queue.merchants.is_empty());
    }
}
