//! What is bounded of requests under way: how many of one account, address or executor, and the memory of their answers.

pub mod in_flight;
pub mod lanes;
pub mod response_budget;
