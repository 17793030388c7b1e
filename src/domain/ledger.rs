//! Points, votes and tips: what they are worth, and how amounts are divided so that nothing is created or lost.

use std::fmt;

use super::money::Money;
use super::names::names;
use super::{OrderId, RefundId};

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// A customer's points, which pay for orders.
    Points,
    /// Votes, counted in whole ones.
    Votes,
    /// Tips, counted in fen.
    Tips,
}

names!(AccountKind { Points = "points", Votes = "votes", Tips = "tips" });

/// Where the merchant credits the points that an order earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarnedOn {
    /// When it is paid.
    Paid,
    /// When it is completed.
    Completed,
}

names!(EarnedOn { Paid = "paid", Completed = "completed" });

/// What an entry comes from: it is made once for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryCause {
    /// Points spent on an order.
    Spent(OrderId),
    /// Points that came back with the order they were spent on.
    SpentBack(OrderId),
    /// Points an order earned.
    Earned(OrderId),
    /// Points taken back with the order that earned them.
    EarnedBack(OrderId),
    /// Points taken back with a part of the money that earned them.
    RefundEarnedBack(RefundId),
    /// What goods granted, taken back with a part of the money that paid for them.
    RefundGrantedBack(RefundId),
    /// What the goods of an order grant when it is paid.
    Granted(OrderId),
    /// The same, taken back.
    GrantedBack(OrderId),
    /// A correction by the staff, under a key of theirs.
    Correction(String),
}

impl fmt::Display for EntryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spent(order) => write!(f, "order {order} spent"),
            Self::SpentBack(order) => write!(f, "order {order} spent back"),
            Self::Earned(order) => write!(f, "order {order} earned"),
            Self::EarnedBack(order) => write!(f, "order {order} earned back"),
            Self::RefundEarnedBack(refund) => write!(f, "refund {refund} earned back"),
            Self::RefundGrantedBack(refund) => write!(f, "refund {refund} granted back"),
            Self::Granted(order) => write!(f, "order {order} granted"),
            Self::GrantedBack(order) => write!(f, "order {order} granted back"),
            Self::Correction(key) => write!(f, "correction {key}"),
        }
    }
}

/// What `points` take off a price where `points_per_yuan` of them pay one yuan, rounded down to the fen.
pub fn points_amount(points: u64, points_per_yuan: u32) -> Money {
    match points_per_yuan {
        0 => Money::ZERO,
        per_yuan => Money::from_fen(points * 100 / u64::from(per_yuan)),
    }
}

/// The most points that can be spent on `amount`: the fewest that pay all of it.
pub fn points_for(amount: Money, points_per_yuan: u32) -> u64 {
    (amount.fen() * u64::from(points_per_yuan)).div_ceil(100)
}

/// The points that `paid` earns at `per_yuan` a yuan, rounded down.
pub fn points_earned(paid: Money, per_yuan: u32) -> u64 {
    paid.fen() * u64::from(per_yuan) / 100
}

/// The value of the first `part` of `of` equal parts of `whole`, rounded down to the fen. So consecutive parts add up: parts 3 and 4 are
/// worth the share of 4 less the share of 2, and all parts together the whole.
///
/// # Panics
/// When `part` is more than `of`, or `of` is zero.
pub fn share(whole: Money, part: u32, of: u32) -> Money {
    assert!(part <= of && of > 0, "{part} of {of} parts");
    let fen = u128::from(whole.fen()) * u128::from(part) / u128::from(of);
    Money::from_fen(u64::try_from(fen).expect("a share is no more than the whole"))
}

/// Divides `whole` among `weights`, in proportion to them and to the fen: each gets its share rounded down, and the fen that are left
/// over go one each to those that lost most by rounding, the first ones among equals. Where all weights are zero, they count as equal.
pub fn split(whole: Money, weights: &[Money]) -> Vec<Money> {
    let mut weights: Vec<u128> = weights.iter().map(|weight| u128::from(weight.fen())).collect();
    if weights.iter().all(|weight| *weight == 0) {
        weights.fill(1);
    }
    let sum: u128 = weights.iter().sum();
    let fen = u128::from(whole.fen());
    let mut shares: Vec<u128> = weights.iter().map(|weight| fen * weight / sum).collect();
    let left = fen - shares.iter().sum::<u128>();
    let mut by_loss: Vec<usize> = (0..shares.len()).collect();
    by_loss.sort_by_key(|index| std::cmp::Reverse(fen * weights[*index] % sum));
    for index in by_loss.into_iter().take(usize::try_from(left).expect("less than one fen a weight is left")) {
        shares[index] += 1;
    }
    shares
        .into_iter()
        .map(|fen| Money::from_fen(u64::try_from(fen).expect("a share is no more than the whole")))
        .collect()
}

/// The units that remain of `units`, which came with money, when `refunded` of the remaining `left` goes back:
/// `units × (left − refunded) / left`, rounded up. So none remain when all of it goes back.
pub fn kept(units: i64, left: Money, refunded: Money) -> i64 {
    if left == Money::ZERO {
        return units;
    }
    let (before, after) = (i128::from(left.fen()), i128::from(left.minus(refunded).unwrap_or_default().fen()));
    let kept = (i128::from(units) * after + before - 1) / before;
    i64::try_from(kept).expect("a part is no more than the whole")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts() -> impl Strategy<Value = Money> {
        (0..=99_999_999_999_999_u64).prop_map(Money::from_fen)
    }

    proptest! {
        #[test]
        fn splitting_neither_creates_nor_loses(whole in amounts(), weights in prop::collection::vec(amounts(), 1..20)) {
            let shares = split(whole, &weights);
            prop_assert_eq!(shares.len(), weights.len());
            prop_assert_eq!(shares.iter().map(|share| share.fen()).sum::<u64>(), whole.fen());
            let sum: u128 = weights.iter().map(|weight| u128::from(weight.fen())).sum();
            for (share, weight) in shares.iter().zip(&weights).filter(|_| sum > 0) {
                let exact = u128::from(whole.fen()) * u128::from(weight.fen()) / sum;
                prop_assert!((exact..=exact + 1).contains(&u128::from(share.fen())), "nobody is off by a fen");
            }
        }

        #[test]
        fn shares_taken_one_after_the_other_are_the_whole(whole in amounts(), cuts in prop::collection::vec(1..9_u32, 1..9)) {
            let of = cuts.iter().sum();
            let (mut upto, mut paid) = (0, 0);
            for cut in cuts {
                let part = share(whole, upto + cut, of).minus(share(whole, upto, of));
                paid += part.expect("shares grow").fen();
                upto += cut;
            }
            prop_assert_eq!(paid, whole.fen());
        }

        /// However the money goes back: what it brought goes with it, never more than its part, and nothing stays of the whole.
        #[test]
        fn what_came_with_money_goes_with_it(units in 0..1_000_000_i64, cuts in prop::collection::vec(1..9_999_u64, 1..9)) {
            let whole: u64 = cuts.iter().sum();
            let (mut left, mut kept_units) = (whole, units);
            for cut in cuts {
                kept_units = kept(kept_units, Money::from_fen(left), Money::from_fen(cut));
                left -= cut;
                prop_assert!(i128::from(kept_units) * i128::from(whole) >= i128::from(units) * i128::from(left));
            }
            prop_assert_eq!(kept_units, 0);
        }

        #[test]
        fn points_never_pay_more_than_they_are_worth(points in 0..1_000_000_000_u64, per_yuan in 1..=10_000_u32) {
            let amount = points_amount(points, per_yuan);
            prop_assert!(amount.fen() * u64::from(per_yuan) <= points * 100);
            prop_assert!((amount.fen() + 1) * u64::from(per_yuan) > points * 100);
        }

        #[test]
        fn the_most_points_for_an_amount_pay_all_of_it(fen in 0..100_000_000_u64, per_yuan in 1..=10_000_u32) {
            let amount = Money::from_fen(fen);
            let points = points_for(amount, per_yuan);
            prop_assert!(points_amount(points, per_yuan) >= amount);
            prop_assert!(points == 0 || points_amount(points - 1, per_yuan) < amount);
        }
    }

    #[test]
    fn points_are_earned_for_whole_parts() {
        for (paid, per_yuan, points) in [("12.50", 2, 25), ("9.99", 1, 9), ("0.99", 1, 0), ("3.00", 0, 0)] {
            assert_eq!(points_earned(paid.parse().expect("an amount"), per_yuan), points, "{paid}");
        }
    }

    #[test]
    fn left_over_fen_go_to_whom_rounding_cost_most() {
        let money = |text: &str| text.parse::<Money>().expect("an amount");
        for (whole, weights, shares) in [
            ("1.00", vec!["1", "1", "1"], vec!["0.34", "0.33", "0.33"]),
            ("0.05", vec!["10", "30"], vec!["0.01", "0.04"]),
            ("10.00", vec!["0", "0"], vec!["5.00", "5.00"]),
            ("0.00", vec!["3"], vec!["0.00"]),
            // Neither to the greatest weights, nor to the first ones.
            ("0.02", vec!["1", "2", "3"], vec!["0.00", "0.01", "0.01"]),
            ("0.07", vec!["5", "3", "1"], vec!["0.04", "0.02", "0.01"]),
        ] {
            let weights: Vec<Money> = weights.into_iter().map(money).collect();
            let shares: Vec<Money> = shares.into_iter().map(money).collect();
            assert_eq!(split(money(whole), &weights), shares);
        }
    }
}
