//! Use cases: one function each, all of it inside the transaction of its caller, where the function does not say otherwise.

pub mod carts;
pub mod demo;
pub mod people;
pub mod staff;
