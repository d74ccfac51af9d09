//! All stories, attacks, races and faults: one binary, so that it is linked once.

mod claim;
mod clocks;
mod devices;
mod forced;
mod guessing;
mod keys;
mod passwords;
mod pre_hijack;
mod push_shapes;
mod pushes;
mod randomness;
mod readme;
mod session_races;
mod sessions;
mod talk;
mod tokens;
