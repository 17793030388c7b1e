//! Members of the staff as arguments of handlers: a handler takes `Staff<AcceptOrders>`, and is called only for those who may.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::auth::{Audience, Token};
use super::extract::{Admission, bearer, merchant_of};
use super::{read, write};
use crate::App;
use crate::clock::uuid_at;
use crate::domain::moves::Actor;
use crate::domain::staff::{Permission, Role};
use crate::domain::{MerchantId, StaffId};
use crate::error::Error;
use crate::store::staff::Member;
use crate::store::{Tx, staff};

/// What a handler requires of whoever calls it.
pub(super) trait Requires: 'static {
    /// The permission; none means that being one of the staff is enough.
    const PERMISSION: Option<Permission>;
}

macro_rules! required {
    ($($name:ident),+ $(,)?) => {
        $(
            #[doc = concat!("[`Permission::", stringify!($name), "`]")]
            pub(super) struct $name;

            impl Requires for $name {
                const PERMISSION: Option<Permission> = Some(Permission::$name);
            }
        )+
    };
}

required!(
    ReadOrders,
    AcceptOrders,
    CookOrders,
    HandOverOrders,
    CollectCash,
    CancelOrders,
    RefundOrders,
    ExportOrders,
    ReadMenu,
    MarkSoldOut,
    MoveStock,
    EditMenu,
    ReadAccounts,
    CorrectAccounts,
    ReadStatistics,
    EditSettings,
    ManageStaff,
    ReadActions,
);

/// Nothing but being one of the staff.
pub(super) struct Anything;

impl Requires for Anything {
    const PERMISSION: Option<Permission> = None;
}

/// A member of the staff of the merchant in the path, who may do what `P` requires. Their account is read for every request, so that
/// a change of role, or its end, is felt at once.
pub(super) struct Staff<P> {
    pub(super) merchant: MerchantId,
    pub(super) id: StaffId,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) role: Role,
    required: PhantomData<P>,
}

impl<P> Staff<P> {
    /// Who acts, as history tells it.
    pub(super) fn actor(&self) -> Actor {
        Actor::Staff(self.id, self.role)
    }
}

impl<P: Requires> FromRequest for Staff<P> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let req = req.clone();
        let admit = Admission::await_in(&req);
        Box::pin(async move {
            let app = req.app_data::<Data<App>>().expect("the server is built with its App");
            let asked = merchant_of(&req)?;
            let token = token_for(app, asked, bearer(&req)?)?;
            app.limits.staff(asked, StaffId(token.subject))?;
            let Member { id, login, name, role, .. } = member_behind(app, token, P::PERMISSION).await?;
            // Without a body nobody waits for it.
            let _ = admit.send(true);
            Ok(Self { merchant: asked, id, login, name, role, required: PhantomData })
        })
    }
}

fn token_for(app: &App, asked: MerchantId, token: &str) -> Result<Token, Error> {
    let token = app.tokens.verify(Audience::Staff, token, app.clock.now())?;
    if token.merchant == asked { Ok(token) } else { Err(Error::WrongMerchant) }
}

async fn member_behind(app: &Data<App>, token: Token, permission: Option<Permission>) -> Result<Member, Error> {
    let (merchant, id) = (token.merchant, StaffId(token.subject));
    let member = read(app, merchant, move |conn| Ok(staff::find(conn, merchant, id)?)).await?;
    let member = member.filter(|member| member.is_active && token.tokens_from == Some(member.tokens_from));
    let member = member.ok_or(Error::Unauthenticated)?;
    match permission.filter(|permission| !member.role.has(*permission)) {
        Some(permission) => Err(Error::Forbidden(permission)),
        None => Ok(member),
    }
}

/// Whether a token that was good at the beginning of a long answer still permits it.
///
/// # Errors
/// Why it does not; or what kept us from finding out.
pub(super) async fn still_permitted(
    app: &Data<App>,
    asked: MerchantId,
    token: &str,
    permission: Permission,
) -> Result<(), Error> {
    member_behind(app, token_for(app, asked, token)?, Some(permission)).await.map(|_| ())
}

/// What one of the staff does, as the trail tells it.
pub(super) struct Action {
    /// What is done: `accept_order`.
    pub(super) name: &'static str,
    /// To what: `order 0192…`.
    pub(super) subject: String,
    /// With what: the request's own words.
    pub(super) detail: Value,
}

/// Does, in one transaction, what one of the staff asked for, and writes down that they did. The only way for a handler of the staff
/// to change anything.
pub(super) async fn act<P, T: Send + 'static>(
    app: &Data<App>,
    who: &Staff<P>,
    action: Action,
    now: DateTime<Utc>,
    mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let Action { name, subject, detail } = action;
    act_and_tell(app, who, (name, subject), now, move |tx| Ok((work(tx)?, detail.clone()))).await
}

/// As [`act`], of work that itself tells with what it was done: where the request's own words say little.
pub(super) async fn act_and_tell<P, T: Send + 'static>(
    app: &Data<App>,
    who: &Staff<P>,
    (name, subject): (&'static str, String),
    now: DateTime<Utc>,
    mut work: impl FnMut(&mut Tx<'_>) -> Result<(T, Value), Error> + Send + 'static,
) -> Result<T, Error> {
    let id = who.id;
    write(app, who.merchant, move |tx| {
        let (done, detail) = work(tx)?;
        staff::record(tx, uuid_at(now), id, name, &subject, &detail, now)?;
        Ok(done)
    })
    .await
}
