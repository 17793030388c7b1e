//! Leases in Redis: a key a lease, with its holder's token and a time to live at every moment; and one with the last fence.
//!
//! Contract: every step is one command or one script, so that nothing comes between a comparison and what follows from it, and a client
//! that dies in the middle leaves nothing without an end. Times are the server's own.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Script};

use super::Redis;
use crate::domain::MerchantId;
use crate::store::Unavailable;

/// Takes the lease if nobody has it: the lease, the fence; a token, milliseconds to hold it, milliseconds to keep the fence. Returns the
/// new fence, 0 when somebody has the lease. The fence is the time in microseconds, or one more than the last one should that be greater:
/// so it grows even when Redis has forgotten everything, or its clock was set back. Formatted with `%.0f`, because Lua's default would give
/// 1.7e+15.
const ACQUIRE: &str = "
    local time = redis.call('TIME')
    local fence = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
    if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
    redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
    return fence";

/// Makes the lease last if it is the token's: the lease; the token, milliseconds from now.
const RENEW: &str = "
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Frees the lease if it is the token's: the lease; the token.
const RELEASE: &str = "
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])";

/// How long the last fence of a lease is kept that nobody takes any more. It is needed only where the server's clock is set back.
const FENCE_KEPT: Duration = Duration::from_secs(86_400);

/// The leases.
pub struct Leases {
    redis: Arc<Redis>,
    acquire: Script,
    renew: Script,
    release: Script,
}

impl Leases {
    /// Leases in `redis`.
    pub fn new(redis: Arc<Redis>) -> Self {
        let [acquire, renew, release] = [ACQUIRE, RENEW, RELEASE].map(Script::new);
        Self { redis, acquire, renew, release }
    }

    /// Takes the lease for `ttl` unless somebody has it. Returns its fence, greater than that of every holder before.
    ///
    /// # Errors
    /// [`Unavailable`]; it may have been taken.
    pub fn acquire(
        &self,
        merchant: MerchantId,
        name: &str,
        token: &str,
        ttl: Duration,
    ) -> Result<Option<i64>, Unavailable> {
        let mut call = self.acquire.prepare_invoke();
        call.key(key(merchant, name)).key(fence_key(merchant, name));
        call.arg(token).arg(milliseconds(ttl)).arg(milliseconds(FENCE_KEPT));
        let fence = self.redis.run(|conn| -> RedisResult<i64> { call.invoke(conn) })?;
        Ok(Some(fence).filter(|fence| *fence != 0))
    }

    /// Makes the lease last for `ttl` from now. False when it is not the token's any more.
    ///
    /// # Errors
    /// [`Unavailable`]; it may have been renewed.
    pub fn renew(&self, merchant: MerchantId, name: &str, token: &str, ttl: Duration) -> Result<bool, Unavailable> {
        let mut call = self.renew.prepare_invoke();
        call.key(key(merchant, name)).arg(token).arg(milliseconds(ttl));
        self.redis.run(|conn| -> RedisResult<bool> { call.invoke(conn) })
    }

    /// Frees the lease. False when it is not the token's any more.
    ///
    /// # Errors
    /// [`Unavailable`]; it may have been freed.
    pub fn release(&self, merchant: MerchantId, name: &str, token: &str) -> Result<bool, Unavailable> {
        let mut call = self.release.prepare_invoke();
        call.key(key(merchant, name)).arg(token);
        self.redis.run(|conn| -> RedisResult<bool> { call.invoke(conn) })
    }
}

fn key(merchant: MerchantId, name: &str) -> String {
    format!("rowlock:lease:{merchant}:{name}")
}

fn fence_key(merchant: MerchantId, name: &str) -> String {
    format!("rowlock:fence:{merchant}:{name}")
}

fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}
