//! The stories, each for itself.

mod bench;
mod crowd;
mod drive_set;
mod drives;
mod encryption;
mod faults;
mod hostile;
mod kill;
mod lifecycle;
mod locks;
mod memory;
mod model;
mod power_cut;
mod rates;
mod reencode;
mod restore;
mod samples;
mod upkeep;
mod verify;
mod webhooks;
