//! Lanes on this machine's storage, with destinations that do what a test says.

mod answers;
mod crowd;
mod deaths;
mod faulty;
mod filters;
mod lab;
mod order;
mod outage;
mod refused;
mod rest;
mod secure;
mod sink;
mod survival;
mod trouble;
