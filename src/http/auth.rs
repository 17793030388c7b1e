//! Bearer tokens: who a request is from.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{CustomerId, MerchantId};
use crate::error::Error;
use crate::store::staff::Member;

/// For whom a token is: what keeps customers' tokens apart from the staff's, which the same secret signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Customers.
    Customers,
    /// The merchant's staff.
    Staff,
}

impl Audience {
    const fn name(self) -> &'static str {
        match self {
            Self::Customers => "rowlock/customer",
            Self::Staff => "rowlock/staff",
        }
    }
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    merchant: MerchantId,
    aud: String,
    iat: i64,
    exp: i64,
    /// Not-before. We never set it, but honour it in tokens that another holder of the secret signed.
    #[serde(default, skip_serializing)]
    nbf: Option<i64>,
    /// Of staff: their account's `tokens_from`, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
}

/// A token that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The merchant it is good for.
    pub merchant: MerchantId,
    /// Whose it is.
    pub subject: Uuid,
    /// Of staff: what their account's `tokens_from` was when they logged in.
    pub tokens_from: Option<DateTime<Utc>>,
}

/// Signs and verifies tokens (JWT, HS256).
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    lifetime: TimeDelta,
}

impl Tokens {
    /// Tokens signed with `secret` that are good for `hours`.
    pub fn new(secret: &[u8], hours: u32) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            lifetime: TimeDelta::hours(hours.into()),
        }
    }

    /// A customer's token, and when it expires.
    ///
    /// # Errors
    /// [`Error::Internal`] when signing fails.
    pub fn issue(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Error> {
        self.sign(Audience::Customers, merchant, customer.0, None, now)
    }

    /// A token of a member of the staff, and when it expires. It repeats their account's `tokens_from`, and is good for as long as that
    /// stays: what a token says of its time could not tell logins of one second apart, nor those of instances whose clocks differ.
    ///
    /// # Errors
    /// [`Error::Internal`] when signing fails.
    pub fn issue_staff(
        &self,
        merchant: MerchantId,
        member: &Member,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Error> {
        self.sign(Audience::Staff, merchant, member.id.0, Some(member.tokens_from), now)
    }

    fn sign(
        &self,
        audience: Audience,
        merchant: MerchantId,
        subject: Uuid,
        tokens_from: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Error> {
        let expires_at = now + self.lifetime;
        let claims = Claims {
            sub: subject,
            merchant,
            aud: audience.name().to_owned(),
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
            nbf: None,
            from: tokens_from.map(|from| from.timestamp_micros()),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| Error::Internal(format!("cannot sign a token: {error}")))?;
        Ok((token, expires_at))
    }

    /// What a token says.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anything we did not sign for this audience, [`Error::TokenExpired`] afterwards.
    pub fn verify(&self, audience: Audience, token: &str, now: DateTime<Utc>) -> Result<Token, Error> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[audience.name()]);
        // Times are held against our own clock, which tests have in hand.
        validation.validate_exp = false;
        let data = decode::<Claims>(token, &self.decoding, &validation).map_err(|_| Error::Unauthenticated)?;
        if data.claims.nbf.is_some_and(|from| from > now.timestamp()) {
            return Err(Error::Unauthenticated);
        }
        if data.claims.exp <= now.timestamp() {
            return Err(Error::TokenExpired);
        }
        let tokens_from = data.claims.from.and_then(DateTime::from_timestamp_micros);
        Ok(Token { merchant: data.claims.merchant, subject: data.claims.sub, tokens_from })
    }
}
