//! What is measured: Restroy in its two modes, and its peers.

mod bullmq;
mod celery;
mod embedded;
mod peer;
mod process;
mod production;
mod team;

use std::error::Error;

pub(crate) use bullmq::BullMq;
pub(crate) use celery::{Celery, Pool};
pub(crate) use embedded::Embedded;
pub(crate) use peer::Peer;
pub(crate) use production::Production;
pub(crate) use team::{ATTACKER, Team, board, signed_in};

use crate::load::{Figures, Load};

/// How many runs, jobs or tasks each worker process of each subject takes at once.
pub(crate) const SLOTS: u32 = 10;

/// Something that takes a load.
pub(crate) trait Subject {
    /// What it is, in the table.
    fn name(&self) -> String;

    /// The commands of its processes and the settings that matter.
    fn setting(&self) -> String;

    /// Takes a load.
    async fn take(&mut self, load: Load) -> Result<Figures, Box<dyn Error>>;

    /// Ends its processes in good order and removes what it left.
    async fn end(self) -> Result<(), Box<dyn Error>>;
}
