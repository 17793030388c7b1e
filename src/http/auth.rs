//! Bearer tokens: who a request is from.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::domain::{CustomerId, MerchantId};
use crate::error::Error;

/// What a customer's token says. `aud` keeps it apart from tokens of other kinds that the same secret signs.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: CustomerId,
    merchant: MerchantId,
    aud: String,
    iat: i64,
    exp: i64,
}

const AUDIENCE: &str = "rowlock/customer";

/// Signs and verifies tokens (JWT, HS256).
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: TimeDelta,
}

impl Tokens {
    /// Tokens signed with `secret` that are good for `hours`.
    pub fn new(secret: &[u8], hours: u32) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        // Expiry is held against our own clock, which tests have in hand.
        validation.validate_exp = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            lifetime: TimeDelta::hours(hours.into()),
        }
    }

    /// A token for a customer, and when it expires.
    ///
    /// # Errors
    /// [`Error::Internal`] when signing fails.
    pub fn issue(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), Error> {
        let expires_at = now + self.lifetime;
        let claims = Claims {
            sub: customer,
            merchant,
            aud: AUDIENCE.to_owned(),
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| Error::Internal(format!("cannot sign a token: {error}")))?;
        Ok((token, expires_at))
    }

    /// The customer a token was issued to.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anything we did not sign for a customer, [`Error::TokenExpired`] afterwards.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<(MerchantId, CustomerId), Error> {
        let data = decode::<Claims>(token, &self.decoding, &self.validation).map_err(|_| Error::Unauthenticated)?;
        if data.claims.exp <= now.timestamp() {
            return Err(Error::TokenExpired);
        }
        Ok((data.claims.merchant, data.claims.sub))
    }
}
