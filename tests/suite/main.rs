//! All stories, attacks, races and faults: one binary, so that it is linked once.

mod authorization;
mod claim;
mod clocks;
mod contract;
mod conversation_lists;
mod conversations;
mod devices;
mod forced;
mod guessing;
mod keys;
mod log_secrets;
mod logs;
mod operations;
mod passwords;
mod pre_hijack;
mod profile;
mod push_shapes;
mod pushes;
mod randomness;
mod raw_http;
mod readme;
mod session_races;
mod sessions;
mod surface;
mod talk;
mod tokens;
