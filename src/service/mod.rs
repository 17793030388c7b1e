//! Use cases: one function each, all of it inside the transaction of its caller.

pub mod demo;
pub mod people;
pub mod staff;
pub mod stock;
