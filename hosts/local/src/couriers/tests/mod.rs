//! Lanes on this machine's storage, with destinations that do what a test says.

mod answers;
mod lab;
mod order;
mod rest;
mod sink;
mod survival;
