//! Customers' carts, wherever they are kept: in PostgreSQL, or in Redis.
//!
//! A cart is placed once. An order names the id of the cart it was placed from, and a unique index sees to it that no other order names
//! the same. The cart lives elsewhere than the order, so the two cannot change in one step; instead:
//!
//! 1. [`Carts::to_place`] reads the cart. Its id and what is selected become a placement, which the engine commits.
//! 2. [`Carts::settle`] takes what was ordered out of the cart, and gives it another id.
//! 3. Should 2 not happen (a crash, a Redis that is down), whoever reads or changes the cart next asks whether there is an order from its
//!    id, and if so does 2 first. A reader who finds no order has read the cart before the order was answered. So nobody who was told of
//!    the order still sees its lines in the cart.
//!
//! Contract: reads and changes of one cart are atomic against each other, by its row's lock in PostgreSQL, by compare and swap in
//! Redis. Transactions are begun and ended here, not by the caller: no connection is held while Redis is waited for.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::cart::{BadChange, Cart, CartChange};
use crate::domain::order::Order;
use crate::domain::placement::{IdempotencyKey, RequestHash};
use crate::domain::{CartId, CustomerId, GoodsId, MerchantId, Refusal};
use crate::error::Error;
use crate::redis_store;
use crate::store::catalog::CartGoods;
use crate::store::{Conn, Store, Unavailable, carts, catalog, orders};

/// Whose cart.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The merchant it is filled from.
    pub merchant: MerchantId,
    /// The customer.
    pub customer: CustomerId,
}

/// The carts.
pub struct Carts {
    store: Arc<Store>,
    redis: Option<redis_store::carts::Carts>,
}

/// A cart, and what the menu says of the goods in it.
pub struct Shown {
    /// The cart.
    pub cart: Cart,
    /// What is in it. Goods that no longer exist are absent.
    pub goods: HashMap<GoodsId, CartGoods>,
}

/// What a request to place the cart comes to, before it is placed.
pub enum ToPlace {
    /// The key has placed this order before.
    Placed(Box<Order>),
    /// The key stands for an order with other contents.
    Mismatched,
    /// To be placed: what is selected, never nothing.
    Selected(CartId, Vec<(GoodsId, u32)>),
}

/// How often a change of a cart in Redis is tried: at every try one of those that want the same cart succeeds.
const ATTEMPTS_MAX: u32 = 200;

impl Carts {
    /// Carts in Redis, or where there is none, in PostgreSQL.
    pub fn new(store: Arc<Store>, redis: Option<redis_store::carts::Carts>) -> Self {
        Self { store, redis }
    }

    /// A customer's cart.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when what keeps it is down.
    pub fn show(&self, owner: Owner, now: DateTime<Utc>) -> Result<Shown, Error> {
        self.read(owner, now, shown)
    }

    /// Changes a customer's cart.
    ///
    /// # Errors
    /// [`Error::CartFull`] at `lines_max`; [`Error::NotFound`] for a line that is not there; [`Error::Refused`] for goods that the
    /// merchant does not have, or that are new to the cart and not on sale.
    pub fn change(
        &self,
        owner: Owner,
        change: &CartChange,
        lines_max: usize,
        now: DateTime<Utc>,
    ) -> Result<Shown, Error> {
        self.update(owner, now, |conn, cart| {
            if let CartChange::Put { goods_id, .. } = change
                && cart.line(*goods_id).is_none()
            {
                let goods = catalog::cart_goods(conn, owner.merchant, &[*goods_id])?;
                let goods = goods.get(goods_id).ok_or(Refusal::UnknownGoods(vec![*goods_id]))?;
                if !goods.on_sale {
                    return Err(Refusal::NotOnSale(vec![*goods_id]).into());
                }
            }
            cart.apply(change, lines_max).map_err(|bad| match bad {
                BadChange::Full => Error::CartFull { lines_max },
                BadChange::NoSuchLine => Error::NotFound,
                BadChange::NotInCart(ids) => Refusal::UnknownGoods(ids).into(),
            })?;
            shown(conn, owner, cart)
        })
    }

    /// What a request to place the cart comes to. The key is looked up first, so that a repeat is answered whatever the cart holds by
    /// now, and whether or not it can be read; and again when the cart is empty, for the order may have been placed in between.
    ///
    /// # Errors
    /// [`Error::EmptyCart`] when nothing is selected.
    pub fn to_place(
        &self,
        owner: Owner,
        key: &IdempotencyKey,
        hash: &RequestHash,
        now: DateTime<Utc>,
    ) -> Result<ToPlace, Error> {
        if let Some(known) = self.look_up(owner, key, hash)? {
            return Ok(known);
        }
        let (id, selected) = self.read(owner, now, |_, _, cart| Ok((cart.id, cart.selected())))?;
        if selected.is_empty() {
            return self.look_up(owner, key, hash)?.ok_or(Error::EmptyCart);
        }
        Ok(ToPlace::Selected(id, selected))
    }

    fn look_up(&self, owner: Owner, key: &IdempotencyKey, hash: &RequestHash) -> Result<Option<ToPlace>, Error> {
        let found = self.store.read(owner.merchant, |conn| {
            orders::find_key(conn, owner.merchant, owner.customer, key).map_err(Error::from)
        })?;
        let same = |(order, kept)| if kept == *hash { ToPlace::Placed(Box::new(order)) } else { ToPlace::Mismatched };
        Ok(found.map(same))
    }

    /// Takes out of a cart what was ordered from it, unless somebody has done so already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when what keeps the cart is down: the next reader does it.
    pub fn settle(&self, owner: Owner, now: DateTime<Utc>) -> Result<(), Error> {
        // Every update begins with it.
        self.update(owner, now, |_, _| Ok(()))
    }

    /// Reads a cart without changing it, unless an order is to be taken out of it first.
    fn read<T>(
        &self,
        owner: Owner,
        now: DateTime<Utc>,
        view: impl Fn(&mut Conn, Owner, &Cart) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.redis.is_none() {
            let seen = self.store.read(owner.merchant, |conn| {
                let cart = carts::find(conn, owner.merchant, owner.customer)?;
                // The cart first, then the order: one that is placed in between is found.
                match cart {
                    None => view(conn, owner, &Cart::new(CartId(uuid_at(now)))).map(Some),
                    Some(cart) if orders::placed_from(conn, owner.merchant, owner.customer, cart.id)?.is_none() => {
                        view(conn, owner, &cart).map(Some)
                    }
                    Some(_) => Ok::<_, Error>(None),
                }
            })?;
            if let Some(seen) = seen {
                return Ok(seen);
            }
        }
        self.update(owner, now, |conn, cart| view(conn, owner, cart))
    }

    /// Runs `work` on a cart that no order was placed from, and keeps what it has made of it. It may run more than once.
    fn update<T>(
        &self,
        owner: Owner,
        now: DateTime<Utc>,
        mut work: impl FnMut(&mut Conn, &mut Cart) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Owner { merchant, customer } = owner;
        let fresh = || CartId(uuid_at(now));
        let heal = |conn: &mut Conn, cart: &mut Cart| {
            if let Some(ordered) = orders::placed_from(conn, merchant, customer, cart.id)? {
                cart.settle(&ordered, fresh());
            }
            Ok::<_, Error>(())
        };
        let Some(redis) = &self.redis else {
            return self.store.write(merchant, |tx| {
                let before = carts::lock(tx, customer, fresh(), now)?;
                let mut healed = before.clone();
                heal(tx.conn(), &mut healed)?;
                carts::update(tx, customer, &before, &healed, now)?;
                let mut cart = healed.clone();
                let done = work(tx.conn(), &mut cart)?;
                carts::update(tx, customer, &healed, &cart, now)?;
                Ok(done)
            });
        };
        for _ in 0..ATTEMPTS_MAX {
            let (before, seen) = redis.find(merchant, customer, fresh())?;
            let mut cart = before.clone();
            let done = self.store.read(merchant, |conn| {
                heal(conn, &mut cart)?;
                work(conn, &mut cart)
            })?;
            if cart == before || redis.swap(merchant, customer, &seen, &cart)? {
                return Ok(done);
            }
        }
        Err(Unavailable("too many want the same cart".to_owned()).into())
    }
}

fn shown(conn: &mut Conn, owner: Owner, cart: &Cart) -> Result<Shown, Error> {
    let ids: Vec<GoodsId> = cart.lines.iter().map(|line| line.goods_id).collect();
    Ok(Shown { goods: catalog::cart_goods(conn, owner.merchant, &ids)?, cart: cart.clone() })
}
