//! The queue and the wake-ups over Redis, or what speaks its language (Valkey): version 6.2 or later,
//! one primary behind one address, not a Cluster.
//!
//! | name | is | lives |
//! |---|---|---|
//! | `{prefix}:queue` | sorted set: the ids of the tasks that wait for an executor, in the order in which they were pushed | gone when nothing waits |
//! | `{prefix}:pushed` | channel: something was pushed to a queue that was empty; says nothing | |
//! | `{prefix}:wake` | channel: [`Wake`](crate::wake::Wake)s, as ids | |
//!
//! Nothing else is kept there: no record of workers, of deliveries, of results. Who has which task is
//! a row in the database, leased and fenced; what Redis loses, the database's dispatcher pushes
//! again. So Redis needs neither persistence nor a clean-up, and may be emptied at any time.

mod link;
mod options;
mod probe;
mod queue;
pub(crate) mod wire;

pub use options::{Prefix, RedisOptions, RedisOptionsError};
pub use queue::RedisQueue;
