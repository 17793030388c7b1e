//! A customer's cart: what is in it, how it changes, and what an order takes out of it.
//!
//! Contract: pure. Both places that keep carts read one, have it changed here and write it back, so there is one set of rules.

use serde::{Deserialize, Serialize};

use super::{CartId, GoodsId};

/// Goods in a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// What.
    pub goods_id: GoodsId,
    /// Units.
    pub count: u32,
    /// Whether the next order takes it.
    pub is_selected: bool,
}

/// A cart. Its goods stand once, in the order they were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// An order that is placed from it names this id, and no two name the same: afterwards the cart goes on under another.
    pub id: CartId,
    /// What is in it.
    pub lines: Vec<CartLine>,
}

/// What a customer does to their cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartChange {
    /// Puts goods into it, or changes them. Goods that are new to it are selected unless told otherwise.
    Put {
        /// What.
        goods_id: GoodsId,
        /// Units, in all.
        count: u32,
        /// Whether to select it; none leaves it as it is.
        is_selected: Option<bool>,
    },
    /// Changes what is in it.
    Amend {
        /// What.
        goods_id: GoodsId,
        /// Units, in all; none leaves them.
        count: Option<u32>,
        /// Whether to select it; none leaves it as it is.
        is_selected: Option<bool>,
    },
    /// Selects everything, or nothing.
    SelectAll(bool),
    /// Selects these and nothing else.
    SelectOnly(Vec<GoodsId>),
    /// Takes goods out.
    Remove(GoodsId),
    /// Takes everything out.
    Clear,
}

/// Why a cart is not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadChange {
    /// It has as many lines as it may.
    Full,
    /// It has no such line.
    NoSuchLine,
    /// It lacks goods that are to be selected. In ascending order.
    NotInCart(Vec<GoodsId>),
}

impl Cart {
    /// An empty one.
    pub const fn new(id: CartId) -> Self {
        Self { id, lines: Vec::new() }
    }

    /// The line of goods, if it is there.
    pub fn line(&self, goods_id: GoodsId) -> Option<&CartLine> {
        self.lines.iter().find(|line| line.goods_id == goods_id)
    }

    /// What an order would take: goods and units.
    pub fn selected(&self) -> Vec<(GoodsId, u32)> {
        self.lines.iter().filter(|line| line.is_selected).map(|line| (line.goods_id, line.count)).collect()
    }

    /// Makes a change, or leaves all as it is.
    ///
    /// # Errors
    /// [`BadChange`], and nothing is changed.
    pub fn apply(&mut self, change: &CartChange, lines_max: usize) -> Result<(), BadChange> {
        match change {
            CartChange::Put { goods_id, count, is_selected } => {
                if self.line(*goods_id).is_some() {
                    return self.amend(*goods_id, Some(*count), *is_selected);
                }
                if self.lines.len() >= lines_max {
                    return Err(BadChange::Full);
                }
                let is_selected = is_selected.unwrap_or(true);
                self.lines.push(CartLine { goods_id: *goods_id, count: *count, is_selected });
            }
            CartChange::Amend { goods_id, count, is_selected } => return self.amend(*goods_id, *count, *is_selected),
            CartChange::SelectAll(is_selected) => {
                self.lines.iter_mut().for_each(|line| line.is_selected = *is_selected);
            }
            CartChange::SelectOnly(wanted) => {
                let mut strangers: Vec<GoodsId> =
                    wanted.iter().copied().filter(|id| self.line(*id).is_none()).collect();
                if !strangers.is_empty() {
                    strangers.sort_unstable();
                    strangers.dedup();
                    return Err(BadChange::NotInCart(strangers));
                }
                self.lines.iter_mut().for_each(|line| line.is_selected = wanted.contains(&line.goods_id));
            }
            CartChange::Remove(goods_id) => {
                let before = self.lines.len();
                self.lines.retain(|line| line.goods_id != *goods_id);
                if self.lines.len() == before {
                    return Err(BadChange::NoSuchLine);
                }
            }
            CartChange::Clear => self.lines.clear(),
        }
        Ok(())
    }

    fn amend(&mut self, goods_id: GoodsId, count: Option<u32>, is_selected: Option<bool>) -> Result<(), BadChange> {
        let line = self.lines.iter_mut().find(|line| line.goods_id == goods_id).ok_or(BadChange::NoSuchLine)?;
        line.count = count.unwrap_or(line.count);
        line.is_selected = is_selected.unwrap_or(line.is_selected);
        Ok(())
    }

    /// Takes out what was ordered from it, and goes on under another id.
    ///
    /// A line that has more units by now keeps the difference: a count says how many the customer wants in all, and that many less
    /// are wanted still. One that has fewer goes, whether it is selected by now or not: those units are ordered.
    pub fn settle(&mut self, ordered: &[(GoodsId, u32)], next: CartId) {
        self.id = next;
        for (goods_id, units) in ordered {
            if let Some(line) = self.lines.iter_mut().find(|line| line.goods_id == *goods_id) {
                line.count = line.count.saturating_sub(*units);
            }
        }
        self.lines.retain(|line| line.count > 0);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> CartId {
        CartId(Uuid::from_u128(number))
    }

    /// `1:2` is goods 1, two units, selected; `1:2-` is not selected.
    fn cart(lines: &str) -> Cart {
        let line = |text: &str| {
            let (goods, count) = text.split_once(':').expect("a line");
            CartLine {
                goods_id: GoodsId(goods.parse().expect("an id")),
                count: count.trim_end_matches('-').parse().expect("a count"),
                is_selected: !count.ends_with('-'),
            }
        };
        Cart { id: id(1), lines: lines.split_whitespace().map(line).collect() }
    }

    #[test]
    fn changes_do_what_they_say_or_nothing() {
        let goods = GoodsId;
        let put = |id, count, is_selected| CartChange::Put { goods_id: goods(id), count, is_selected };
        let amend = |id, count, is_selected| CartChange::Amend { goods_id: goods(id), count, is_selected };
        for (before, change, after) in [
            ("", put(1, 2, None), Ok("1:2")),
            ("1:2", put(2, 1, Some(false)), Ok("1:2 2:1-")),
            ("1:2-", put(1, 5, None), Ok("1:5-")),
            ("1:2-", put(1, 5, Some(true)), Ok("1:5")),
            ("1:1 2:1 3:1", put(4, 1, None), Err(BadChange::Full)),
            ("1:1 2:1 3:1", put(3, 9, None), Ok("1:1 2:1 3:9")),
            ("1:2", amend(1, None, Some(false)), Ok("1:2-")),
            ("1:2", amend(1, Some(3), None), Ok("1:3")),
            ("1:2", amend(2, Some(3), None), Err(BadChange::NoSuchLine)),
            ("1:2 2:1-", CartChange::SelectAll(true), Ok("1:2 2:1")),
            ("1:2 2:1-", CartChange::SelectAll(false), Ok("1:2- 2:1-")),
            ("1:2 2:1-", CartChange::SelectOnly(vec![goods(2)]), Ok("1:2- 2:1")),
            ("1:2 2:1-", CartChange::SelectOnly(Vec::new()), Ok("1:2- 2:1-")),
            (
                "1:2",
                CartChange::SelectOnly(vec![goods(9), goods(1), goods(8), goods(9)]),
                Err(BadChange::NotInCart(vec![goods(8), goods(9)])),
            ),
            ("1:2 2:1", CartChange::Remove(goods(1)), Ok("2:1")),
            ("2:1", CartChange::Remove(goods(1)), Err(BadChange::NoSuchLine)),
            ("1:2 2:1", CartChange::Clear, Ok("")),
        ] {
            let mut changed = cart(before);
            let result = changed.apply(&change, 3);
            assert_eq!(result, after.as_ref().map(|_| ()).map_err(Clone::clone), "{before} {change:?}");
            assert_eq!(changed, cart(after.unwrap_or(before)), "{before} {change:?}");
        }
    }

    #[test]
    fn an_order_takes_out_what_it_took() {
        for (before, ordered, after) in [
            ("1:2 2:1-", vec![(1, 2)], "2:1-"),
            ("1:3 2:1-", vec![(1, 2)], "1:1 2:1-"),
            ("1:1", vec![(1, 2)], ""),
            ("1:2-", vec![(1, 2)], ""),
            ("2:1", vec![(1, 2)], "2:1"),
        ] {
            let ordered: Vec<(GoodsId, u32)> = ordered.into_iter().map(|(id, units)| (GoodsId(id), units)).collect();
            let mut settled = cart(before);
            settled.settle(&ordered, id(2));
            assert_eq!(settled, Cart { id: id(2), ..cart(after) }, "{before}");
        }
    }
}
