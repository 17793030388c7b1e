//! The provider's keys, by the serial numbers that messages name: a public key that was handed over with the credentials, certificates
//! that are downloaded, or both while an account moves from the one to the other.
//!
//! Contract: a certificate is believed because the APIv3 key has sealed it, and its list because a certificate in it has signed it. The
//! list is fetched at most once a minute, whoever sends whatever serial, and again once it is twelve hours old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::api::{Ask, Caller};
use super::seal::Sealed;
use super::verify::{PublicKey, Signed};
use crate::gateway::GatewayError;

/// The provider wants the list to be fetched at least this often.
const REFRESH_AFTER: TimeDelta = TimeDelta::hours(12);

/// No more often than this: a forged message that names a serial nobody knows is not to make us call.
const REFRESH_APART: TimeDelta = TimeDelta::minutes(1);

/// The keys there are.
pub(super) struct Keys {
    own: Option<(String, Arc<PublicKey>)>,
    platform: Option<Platform>,
}

/// The downloaded certificates.
#[derive(Default)]
struct Platform {
    held: RwLock<Held>,
    /// When the list was last asked for; locked while it is.
    asked_at: Mutex<Option<DateTime<Utc>>>,
}

#[derive(Default)]
struct Held {
    keys: HashMap<String, Certificate>,
    taken_at: Option<DateTime<Utc>>,
}

struct Certificate {
    key: Arc<PublicKey>,
    expires_at: DateTime<Utc>,
}

impl Keys {
    /// With the account's public key and its id, if it has one, and with certificates, if it uses them.
    pub(super) fn new(own: Option<(String, PublicKey)>, has_certificates: bool) -> Self {
        let own = own.map(|(id, key)| (id, Arc::new(key)));
        Self { own, platform: has_certificates.then(Platform::default) }
    }

    /// The id of the account's public key: what the provider is asked to sign its answers with.
    pub(super) fn own_id(&self) -> Option<&str> {
        self.own.as_ref().map(|(id, _)| id.as_str())
    }

    /// Sees to it that answers can be verified, before anything is asked. Certificates that are old are used on if no newer ones come.
    ///
    /// # Errors
    /// [`GatewayError`] when there are none: nothing else has been sent.
    pub(super) fn prepare(&self, caller: &Caller, deadline: Instant) -> Result<(), GatewayError> {
        let Some(platform) = &self.platform else { return Ok(()) };
        if !platform.is_stale(caller.now()) {
            return Ok(());
        }
        let asked_at = platform.turn();
        // Another may have done it meanwhile.
        if !platform.is_stale(caller.now()) {
            return Ok(());
        }
        match platform.refresh(asked_at, caller, deadline) {
            Err(error) if self.own.is_none() && platform.is_empty() => {
                Err(GatewayError::Unsent(format!("there are no platform certificates: {error}")))
            }
            Err(error) => {
                log::warn!("WeChat Pay's platform certificates are not refreshed: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The key of a serial number, fetched if it is not known yet.
    ///
    /// # Errors
    /// When there is none, in words.
    pub(super) fn find(
        &self,
        serial: &str,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<Arc<PublicKey>, &'static str> {
        if let Some((_, key)) = self.own.as_ref().filter(|(id, _)| id == serial) {
            return Ok(Arc::clone(key));
        }
        let unknown = "it was signed with a key that is not known";
        // Public keys are not in the list.
        let platform = self.platform.as_ref().filter(|_| !serial.starts_with("PUB_KEY_ID_")).ok_or(unknown)?;
        if let Some(key) = platform.find(serial, caller.now()) {
            return Ok(key);
        }
        // Anybody can send a serial that nobody knows. Who comes while another asks does not wait: the provider repeats what it sends.
        let asked_at = match platform.asked_at.try_lock() {
            Ok(asked_at) => asked_at,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(unknown),
        };
        if let Some(key) = platform.find(serial, caller.now()) {
            return Ok(key);
        }
        if let Err(error) = platform.refresh(asked_at, caller, deadline) {
            log::warn!("WeChat Pay's platform certificates are not refreshed: {error}");
        }
        platform.find(serial, caller.now()).ok_or(unknown)
    }
}

impl Platform {
    fn find(&self, serial: &str, now: DateTime<Utc>) -> Option<Arc<PublicKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.keys.get(serial).filter(|certificate| now < certificate.expires_at).map(|it| Arc::clone(&it.key))
    }

    fn is_empty(&self) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).keys.is_empty()
    }

    fn is_stale(&self, now: DateTime<Utc>) -> bool {
        let taken_at = self.held.read().unwrap_or_else(PoisonError::into_inner).taken_at;
        taken_at.is_none_or(|taken_at| now - taken_at >= REFRESH_AFTER)
    }

    /// Waits until nobody else is asking.
    fn turn(&self) -> MutexGuard<'_, Option<DateTime<Utc>>> {
        self.asked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(
        &self,
        mut asked_at: MutexGuard<'_, Option<DateTime<Utc>>>,
        caller: &Caller,
        deadline: Instant,
    ) -> Result<(), String> {
        let now = caller.now();
        if asked_at.is_some_and(|asked_at| (now - asked_at).abs() < REFRESH_APART) {
            return Err("they were asked for less than a minute ago".to_owned());
        }
        *asked_at = Some(now);
        let keys = download(caller, deadline)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { keys, taken_at: Some(now) };
        Ok(())
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    serial_no: String,
    expire_time: DateTime<Utc>,
    encrypt_certificate: Sealed,
}

/// <https://pay.weixin.qq.com/doc/v3/merchant/4012551764>
fn download(caller: &Caller, deadline: Instant) -> Result<HashMap<String, Certificate>, String> {
    let response =
        caller.exchange(&Ask::get("/v3/certificates".to_owned()), deadline).map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(format!("the list was answered {}", response.status));
    }
    let list: List = serde_json::from_slice(&response.body).map_err(|_| "the list is not understood")?;
    let mut keys = HashMap::new();
    for item in list.data {
        let pem = caller.account.seal_key.open(&item.encrypt_certificate)?;
        let key = PublicKey::of_certificate(&pem).ok_or("a certificate is none")?;
        keys.insert(item.serial_no, Certificate { key: Arc::new(key), expires_at: item.expire_time });
    }
    let signed = Signed::read(|name| response.header(name), caller.now())?;
    // During a migration the list may be signed with the public key.
    let own = caller.account.keys.own.as_ref().filter(|(id, _)| id == signed.serial).map(|(_, key)| key);
    let key =
        own.or_else(|| keys.get(signed.serial).map(|it| &it.key)).ok_or("the list is signed by none of its own")?;
    signed.check(key, &response.body)?;
    Ok(keys)
}
