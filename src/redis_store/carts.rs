//! Carts in Redis: one value a customer, replaced only by who has seen what it replaces.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Script};

use super::Redis;
use crate::domain::cart::Cart;
use crate::domain::{CartId, CustomerId, MerchantId};
use crate::store::Unavailable;

/// Replaces a cart if it is still the one that was seen: the key; what was seen, empty for none; the new value, empty for none;
/// milliseconds to keep it.
const SWAP: &str = "
    if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
    if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
    return 1";

/// The carts.
pub struct Carts {
    redis: Arc<Redis>,
    swap: Script,
    kept: Duration,
}

/// A cart as it was read, for [`Carts::swap`] to recognize.
pub struct Seen(String);

impl Carts {
    /// Carts that are forgotten when nobody changes them for `days`.
    pub fn new(redis: Arc<Redis>, days: u32) -> Self {
        Self { redis, swap: Script::new(SWAP), kept: Duration::from_secs(u64::from(days) * 86_400) }
    }

    /// A customer's cart; an empty one, under the id `fresh`, where there is none.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn find(&self, merchant: MerchantId, customer: CustomerId, fresh: CartId) -> Result<(Cart, Seen), Unavailable> {
        let key = key(merchant, customer);
        let value: Option<String> = self.redis.run(|conn| redis::cmd("GET").arg(&key).query(conn))?;
        let value = value.unwrap_or_default();
        let cart = match value.as_str() {
            "" => Cart::new(fresh),
            value => serde_json::from_str(value).unwrap_or_else(|error| {
                log::error!(merchant_id:% = merchant; "{key} holds no cart, and is taken for an empty one: {error}");
                Cart::new(fresh)
            }),
        };
        Ok((cart, Seen(value)))
    }

    /// Puts `cart` in the place of the one that was seen; tells whether that was still there. Empty ones are not kept.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn swap(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        seen: &Seen,
        cart: &Cart,
    ) -> Result<bool, Unavailable> {
        let value = if cart.lines.is_empty() {
            String::new()
        } else {
            serde_json::to_string(cart).expect("a cart is plain data")
        };
        let mut call = self.swap.prepare_invoke();
        call.key(key(merchant, customer)).arg(&seen.0).arg(&value).arg(self.kept.as_millis().to_string());
        self.redis.run(|conn| -> RedisResult<bool> { call.invoke(conn) })
    }
}

fn key(merchant: MerchantId, customer: CustomerId) -> String {
    format!("rowlock:cart:{merchant}:{customer}")
}
