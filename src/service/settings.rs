//! The staff change their merchant's settings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::store::merchants::Merchant;
use crate::store::{Tx, events, settings, webhooks};

/// What is to become of the webhook.
#[derive(Clone, Debug, Default)]
pub enum Webhook {
    /// It stays as it is.
    #[default]
    Stay,
    /// Nobody is told any more: the secret is forgotten, and what was to be delivered is parked.
    Off,
    /// It goes to this address.
    To(String),
}

/// The settings, with the secret where one was made just now: it is not shown again.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The settings.
    pub merchant: Merchant,
    /// After how many minutes orders that are ready or on their way are completed by themselves, if ever.
    pub complete_after_minutes: Option<i32>,
    /// Where the merchant is told of what happens.
    pub webhook_url: Option<String>,
    /// What its messages are signed with.
    pub new_secret: Option<String>,
    /// How many events were given their number.
    pub published: usize,
}

/// Changes settings; `complete_after` minutes where they change. Where there was no webhook, a new one gets a secret, and is told of
/// nothing that happened before.
///
/// # Errors
/// [`Error::NotFound`] when there is no such merchant.
pub fn change(
    tx: &mut Tx<'_>,
    change: impl FnOnce(&mut Merchant),
    complete_after: Option<Option<i32>>,
    webhook: &Webhook,
    now: DateTime<Utc>,
) -> Result<Changed, Error> {
    let mut merchant = settings::lock(tx)?.ok_or(Error::NotFound)?;
    change(&mut merchant);
    settings::update(tx, &merchant)?;
    if let Some(minutes) = complete_after {
        settings::set_complete_after(tx, minutes)?;
    }
    let complete_after_minutes = settings::complete_after_minutes(tx.conn(), merchant.id)?;
    let before = settings::webhook_url(tx.conn(), merchant.id)?;
    let mut published = 0;
    let (webhook_url, new_secret) = match webhook {
        Webhook::Stay => (before, None),
        Webhook::Off => {
            events::lock_counter(tx)?;
            webhooks::park_pending(tx)?;
            (None, None)
        }
        Webhook::To(url) if before.is_some() => (Some(url.clone()), None),
        Webhook::To(url) => {
            // Before the address stands there, so that no deliveries come of it.
            published = events::publish_all(tx, now)?;
            // Of one that an earlier version took away, which parked nothing.
            webhooks::park_pending(tx)?;
            (Some(url.clone()), Some(secret()?))
        }
    };
    if !matches!(webhook, Webhook::Stay) {
        settings::set_webhook(tx, webhook_url.as_deref(), new_secret.as_deref())?;
    }
    Ok(Changed { merchant, complete_after_minutes, webhook_url, new_secret, published })
}

/// Puts a delivery in again.
///
/// # Errors
/// [`Error::NotFound`] when there is no such delivery, [`Error::AlreadyDelivered`], [`Error::NoWebhook`].
pub fn retry_delivery(tx: &mut Tx<'_>, seq: i64, now: DateTime<Utc>) -> Result<(), Error> {
    // Nobody takes the webhook away meanwhile.
    let merchant = settings::lock(tx)?.ok_or(Error::NotFound)?;
    match webhooks::retry(tx, seq, now)? {
        None => Err(Error::NotFound),
        Some(false) => Err(Error::AlreadyDelivered),
        Some(true) if settings::webhook_url(tx.conn(), merchant.id)?.is_none() => Err(Error::NoWebhook),
        Some(true) => Ok(()),
    }
}

/// Gives the webhook another secret and returns it.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no webhook.
pub fn renew_secret(tx: &mut Tx<'_>) -> Result<String, Error> {
    let merchant = settings::lock(tx)?.ok_or(Error::NotFound)?;
    let url = settings::webhook_url(tx.conn(), merchant.id)?.ok_or(Error::NotFound)?;
    let secret = secret()?;
    settings::set_webhook(tx, Some(&url), Some(&secret))?;
    Ok(secret)
}

fn secret() -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Internal("the system gives no random bytes".to_owned()))?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}
