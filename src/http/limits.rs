//! How often a customer, or a network address, may ask.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::App;
use crate::config::Http;
use crate::domain::{CustomerId, MerchantId, StaffId};
use crate::error::Error;

/// Passwords that are hashed, or wait for it, at most. A hash takes 19 MiB and a tenth of a second, and whoever guesses takes another name each time.
const HASHING_MAX: usize = 8;

/// Token buckets in this process's memory: N instances let N times as much through.
pub struct RateLimits {
    customers: DefaultKeyedRateLimiter<(MerchantId, CustomerId)>,
    staff: DefaultKeyedRateLimiter<(MerchantId, StaffId)>,
    logins: DefaultKeyedRateLimiter<IpAddr>,
    /// Of one address, and of all of them: who guesses from one does not keep the member out.
    staff_logins: DefaultKeyedRateLimiter<(MerchantId, String, Option<IpAddr>)>,
    all_staff_logins: DefaultKeyedRateLimiter<(MerchantId, String)>,
    /// Room for those whose passwords are hashed, or wait for their turn.
    hashing: Semaphore,
    turn: Mutex<()>,
    trusted_proxies: Vec<IpNet>,
    clock: DefaultClock,
}

impl RateLimits {
    /// Limits as configured.
    pub fn new(config: &Http) -> Self {
        let positive = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let customers = Quota::per_second(positive(config.customer_requests_per_second))
            .allow_burst(positive(config.customer_requests_burst));
        let staff = Quota::per_second(positive(config.staff_requests_per_second))
            .allow_burst(positive(config.staff_requests_per_second.saturating_mul(3)));
        Self {
            customers: RateLimiter::keyed(customers),
            staff: RateLimiter::keyed(staff),
            staff_logins: RateLimiter::keyed(Quota::per_minute(positive(config.staff_logins_per_minute))),
            all_staff_logins: RateLimiter::keyed(Quota::per_minute(positive(
                config.staff_logins_per_minute.saturating_mul(10),
            ))),
            logins: RateLimiter::keyed(Quota::per_minute(positive(config.logins_per_minute))),
            hashing: Semaphore::new(HASHING_MAX),
            turn: Mutex::default(),
            trusted_proxies: config.trusted_proxies.clone(),
            clock: DefaultClock::default(),
        }
    }

    /// Who asks: the last address that no trusted proxy has, of those that the request has passed. What stands before it in X-Forwarded-For is
    /// what it says of itself.
    pub fn address(&self, req: &HttpRequest) -> Option<IpAddr> {
        let mut address = req.peer_addr()?.ip().to_canonical();
        // What a client sends need not be text; what a proxy adds behind it is.
        let passed = req.headers().get_all("x-forwarded-for").map(|value| String::from_utf8_lossy(value.as_bytes()));
        let passed: Vec<Cow<'_, str>> = passed.collect();
        let mut passed: Vec<&str> = passed.iter().flat_map(|value| value.split(',')).collect();
        while self.trusted_proxies.iter().any(|network| network.contains(&address))
            && let Some(before) = passed.pop().map(str::trim)
        {
            // Some proxies add the port.
            let before = before.parse().or_else(|_| before.parse::<SocketAddr>().map(|socket| socket.ip()));
            let Ok(before) = before else { break };
            address = before.to_canonical();
        }
        Some(address)
    }

    /// Counts a request of a customer.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] beyond `http.customer_requests_…`.
    pub fn customer(&self, merchant: MerchantId, customer: CustomerId) -> Result<(), Error> {
        self.customers
            .check_key(&(merchant, customer))
            .map_err(|until| Error::TooManyRequests { retry_after: until.wait_time_from(self.clock.now()) })
    }

    /// Counts a request of a member of the staff.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] beyond `http.staff_requests_per_second`.
    pub fn staff(&self, merchant: MerchantId, member: StaffId) -> Result<(), Error> {
        self.staff
            .check_key(&(merchant, member))
            .map_err(|until| Error::TooManyRequests { retry_after: until.wait_time_from(self.clock.now()) })
    }

    /// Counts a try at the password of a member of the staff.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] beyond `http.staff_logins_per_minute` from one address, ten times as many from all.
    pub fn staff_login(&self, merchant: MerchantId, login: &str, address: Option<IpAddr>) -> Result<(), Error> {
        self.staff_logins
            .check_key(&(merchant, login.to_owned(), address.map(network)))
            .and_then(|()| self.all_staff_logins.check_key(&(merchant, login.to_owned())))
            .map_err(|until| Error::TooManyRequests { retry_after: until.wait_time_from(self.clock.now()) })
    }

    /// Counts a login from an address.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] beyond `http.logins_per_minute`.
    pub fn login(&self, address: IpAddr) -> Result<(), Error> {
        self.logins
            .check_key(&network(address))
            .map_err(|until| Error::TooManyRequests { retry_after: until.wait_time_from(self.clock.now()) })
    }

    /// Does what hashes passwords, one at a time.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`] when too many wait; what `work` returns.
    pub fn hashing<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let full = |_| Error::TooManyRequests { retry_after: Duration::from_secs(1) };
        let _room = self.hashing.try_acquire().map_err(full)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Drops, once a minute, the buckets that have filled up again, so that memory follows the customers of now.
    pub(super) fn forget_idle_customers(&self, app: &Data<App>) {
        let app = app.clone();
        actix_web::rt::spawn(async move {
            loop {
                actix_web::rt::time::sleep(Duration::from_secs(60)).await;
                app.limits.forget_idle();
            }
        });
    }

    fn forget_idle(&self) {
        self.customers.retain_recent();
        self.staff.retain_recent();
        self.logins.retain_recent();
        self.staff_logins.retain_recent();
        self.all_staff_logins.retain_recent();
    }
}

/// Whom an address belongs to: a subscriber has 2⁶⁴ of version 6, and could come from another one each time.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use uuid::Uuid;

    use super::*;
    use crate::config::Config;

    fn limits(variables: &[(&str, &str)]) -> RateLimits {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RateLimits::new(&Config::from_parts("", variables).expect("valid").http)
    }

    #[test]
    fn a_subscriber_has_one_budget() {
        let limits = limits(&[("ROWLOCK_HTTP_LOGINS_PER_MINUTE", "2")]);
        let log_in = |address: &str| limits.login(address.parse().expect("an address")).is_ok();
        assert!(log_in("2001:db8:1:1::1") && log_in("2001:db8:1:1:ffff::2") && !log_in("2001:db8:1:1::3"));
        assert!(log_in("2001:db8:1:2::1"), "a neighbour");
        assert!(log_in("192.0.2.1") && log_in("::ffff:192.0.2.1") && !log_in("192.0.2.1"));
        assert!(log_in("192.0.2.2"));
    }

    #[test]
    fn proxies_that_are_trusted_say_who_asks() {
        let limits = limits(&[("ROWLOCK_HTTP_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")]);
        let asks = |peer: &str, forwarded: &[&str]| {
            let request = TestRequest::default().peer_addr((peer.parse::<IpAddr>().expect("an address"), 1).into());
            let request =
                forwarded.iter().fold(request, |request, hops| request.append_header(("x-forwarded-for", *hops)));
            limits.address(&request.to_http_request()).map(|address| address.to_string())
        };
        let cases: &[(&str, &[&str], &str)] = &[
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["192.0.2.9"], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.9"], "192.0.2.9"),
            ("::ffff:127.0.0.1", &["192.0.2.9"], "192.0.2.9"),
            ("127.0.0.1", &["192.0.2.9, 10.1.2.3"], "192.0.2.9"),
            ("127.0.0.1", &["192.0.2.9", "10.1.2.3"], "192.0.2.9"),
            ("127.0.0.1", &["192.0.2.8, 192.0.2.9"], "192.0.2.9"),
            ("127.0.0.1", &["192.0.2.8, 127.0.0.1, 192.0.2.9, 10.0.0.1"], "192.0.2.9"),
            ("127.0.0.1", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            ("127.0.0.1", &["192.0.2.9:4711"], "192.0.2.9"),
            ("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("127.0.0.1", &["192.0.2.9, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["\u{ff}, 192.0.2.9"], "192.0.2.9"),
            ("127.0.0.1", &[""], "127.0.0.1"),
        ];
        for (peer, forwarded, expected) in cases {
            assert_eq!(asks(peer, forwarded).as_deref(), Some(*expected), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn what_has_filled_up_again_is_forgotten() {
        let often = [
            "CUSTOMER_REQUESTS_PER_SECOND",
            "STAFF_REQUESTS_PER_SECOND",
            "LOGINS_PER_MINUTE",
            "STAFF_LOGINS_PER_MINUTE",
        ]
        .map(|key| format!("ROWLOCK_HTTP_{key}"));
        let often: Vec<(&str, &str)> = often.iter().map(|name| (name.as_str(), "100000")).collect();
        let limits = limits(&often);
        for number in 0..1000_u32 {
            let (merchant, id) = (MerchantId(number.into()), Uuid::from_u128(number.into()));
            limits.customer(merchant, CustomerId(id)).expect("the first");
            limits.staff(merchant, StaffId(id)).expect("the first");
            limits.login(IpAddr::V4(number.into())).expect("the first");
            limits.staff_login(merchant, "owner", None).expect("the first");
        }
        let kept = || {
            [
                limits.customers.len(),
                limits.staff.len(),
                limits.logins.len(),
                limits.staff_logins.len(),
                limits.all_staff_logins.len(),
            ]
        };
        assert_eq!(kept(), [1000; 5]);
        std::thread::sleep(Duration::from_millis(100));
        limits.forget_idle();
        assert_eq!(kept(), [0; 5]);
    }
}
