//! What holds of the queue and of what passes between the services.

mod memory;
mod wire;
