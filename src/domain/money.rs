//! Amounts in yuan (CNY), exact to the fen.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A non-negative amount with exactly two places, at most [`Money::MAX`]. Travels as a decimal string, `"12.50"`.
///
/// There is no way from a float: what is written as a JSON number has been rounded by someone already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(Decimal);

/// Why a text or a decimal is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMoney;

impl fmt::Display for NotMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount is a decimal string with at most two places, from \"0\" to \"999999999999.99\"")
    }
}

impl std::error::Error for NotMoney {}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);
    /// The largest amount, 999,999,999,999.99: what a `numeric(14, 2)` column holds.
    pub const MAX: Self = Self(Decimal::from_parts(276_447_231, 23_283, 0, false, 2));

    /// Checks range and places.
    ///
    /// # Errors
    /// [`NotMoney`] for negative amounts, more than two places, or more than [`Money::MAX`].
    pub fn new(mut amount: Decimal) -> Result<Self, NotMoney> {
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(NotMoney);
        }
        if amount.normalize().scale() > 2 || amount > Self::MAX.0 {
            return Err(NotMoney);
        }
        amount.rescale(2);
        amount.set_sign_positive(true);
        Ok(Self(amount))
    }

    /// The amount as a decimal with two places.
    pub fn decimal(self) -> Decimal {
        let mut amount = self.0;
        amount.rescale(2);
        amount
    }

    /// An amount of whole fen.
    ///
    /// # Panics
    /// Beyond [`Money::MAX`]: what is computed from amounts is no larger than they are.
    pub fn from_fen(fen: u64) -> Self {
        let fen = i64::try_from(fen).expect("amounts in fen fit an i64");
        Self::new(Decimal::new(fen, 2)).expect("a part of an amount is an amount")
    }

    /// The amount in fen.
    pub fn fen(self) -> u64 {
        u64::try_from(self.decimal().mantissa()).expect("an amount is not negative, and small enough")
    }

    /// What is left after taking `other` away, or nothing where `other` is more.
    pub fn minus(self, other: Self) -> Option<Self> {
        Self::new(self.0 - other.0).ok()
    }

    /// This price for `count` units.
    ///
    /// # Panics
    /// Beyond [`Money::MAX`]. The bounds of price (1,000,000), count and lines keep every order far below it.
    pub fn times(self, count: u32) -> Self {
        Self::new(self.0 * Decimal::from(count)).expect("price and count are bounded, so their product is an amount")
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.0 + other.0).expect("the amounts of an order are bounded, so their sum is an amount")
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decimal().fmt(f)
    }
}

impl FromStr for Money {
    type Err = NotMoney;

    /// Digits, then perhaps a point and one or two digits: no sign, no exponent, no blanks.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(places) || whole.len() > 12 || places.len() > 2 {
            return Err(NotMoney);
        }
        Self::new(Decimal::from_str_exact(text).map_err(|_| NotMoney)?)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_two_places() {
        for (text, shown) in [("0", "0.00"), ("19.8", "19.80"), ("19.80", "19.80"), ("007.5", "7.50")] {
            assert_eq!(text.parse::<Money>().map(|money| money.to_string()), Ok(shown.to_owned()));
        }
        assert_eq!(Money::MAX.to_string(), "999999999999.99");
        assert_eq!("999999999999.99".parse(), Ok(Money::MAX));
        assert_eq!(Money::ZERO.to_string(), "0.00");
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in [
            "",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.005",
            "1.000",
            "0000000000001",
            "1e3",
            " 1",
            "1,0",
            "NaN",
            "1000000000000",
            "¥1",
            "1_000",
            "१",
        ] {
            assert_eq!(text.parse::<Money>(), Err(NotMoney), "{text}");
        }
        assert_eq!(Money::new(Decimal::new(-1, 2)), Err(NotMoney));
        assert_eq!(Money::new(Decimal::new(1_005, 3)), Err(NotMoney));
    }

    #[test]
    fn counts_without_rounding() {
        let price: Money = "0.10".parse().expect("an amount");
        assert_eq!(price.times(3).to_string(), "0.30");
        assert_eq!([price; 10].into_iter().sum::<Money>().to_string(), "1.00");
    }

    #[test]
    fn json_carries_strings_only() {
        assert_eq!(serde_json::to_string(&Money::ZERO).expect("serializes"), "\"0.00\"");
        assert!(serde_json::from_str::<Money>("1.5").is_err());
        assert_eq!(serde_json::from_str::<Money>("\"1.5\"").expect("parses").to_string(), "1.50");
    }
}
