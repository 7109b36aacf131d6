//! `holdfast`: the one binary. Reads the command line and joins the rooms.
//!
//! Exit codes: 0 done; 1 it failed, with the reason on standard error; 2 the command line is wrong.
//! A process that is told a second time to stop ends with 128 + the signal's number, as shells
//! expect.

mod admin;
mod bench;
mod check_config;
mod cli;
mod config;
mod endpoint;
mod logging;
mod serve;
mod sign;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Bench(args) => bench::run(args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` gives the whole chain of causes in one line.
            eprintln!("holdfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}
